"""Everything that travels into a cell: Python 3.9's syntax, the standard library, and nothing else.

- ``cpus`` reads the CPUs of a process;
- ``claims`` is what an experiment declares and reports;
- ``measuring`` is the toolkit of the experiments;
- ``experiments`` has a file for each experiment;
- ``worker`` is the process that every engine starts.
"""
