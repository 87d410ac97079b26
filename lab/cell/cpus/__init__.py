"""The CPUs of a process, read from the kernel's files: affinity, control groups, topology, and P, R and D."""
