"""A limit on the memory of each worker, so that a target that leaks ends with MemoryError and costs nobody else."""

from __future__ import annotations

import contextlib

#: All workers together may take this share of the memory that is available.
SHARE = 0.8

#: Where a control group says how much memory it may have, in version 2 and in version 1 (cgroup-v2.rst and
#: cgroup-v1/memory.rst of the kernel's documentation).
_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


#: What this process had when its limit was set, and the share of a worker, in bytes; empty: it has no limit.
_granted: list[int] = []


def set_for(workers: int) -> None:
    """Let the data of this process grow by its share of the available memory, where it is one of so many workers.

    The limit is RLIMIT_DATA, which counts private memory that can be written (man 2 getrlimit). Children inherit it.
    """
    import resource

    available = _available()
    if available is None:
        return
    own, all_shares = _own_data(), int(SHARE * available)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)  # the parent may have set it, and nobody may raise it
    most = own + all_shares if most == resource.RLIM_INFINITY else min(most, own + all_shares)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (min(own + all_shares // workers, most), most))
        _granted[:] = own, all_shares // workers


def share_among(threads: int) -> None:
    """Let the data of this process grow by the shares of so many workers, which are threads of it.

    The limit is never lowered, because what these threads keep stays.
    """
    import resource

    if _granted:
        own, share = _granted
        now, most = resource.getrlimit(resource.RLIMIT_DATA)
        with contextlib.suppress(ValueError, OSError):  # the function has set a limit of its own
            resource.setrlimit(resource.RLIMIT_DATA, (max(now, min(own + threads * share, most)), most))


def _own_data() -> int:
    """Bytes that count for the limit now: those of VmData (man 5 proc, /proc/pid/status); 0 where they do not show."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/status") as stream:
        line = next((text for text in stream if text.startswith("VmData:")), "")
        return 1024 * int(line.split()[1])
    return 0


def _available() -> int | None:
    """Bytes of memory that this process's machine and group still have; ``None`` where that is not known."""
    known = []
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as stream:
        line = next((text for text in stream if text.startswith("MemAvailable:")), "")
        known.append(1024 * int(line.split()[1]))
    for path in _FILES:
        with contextlib.suppress(OSError, ValueError), open(path) as stream:
            known.append(int(stream.read()))  # "max" is no number
    return min(known, default=None)
