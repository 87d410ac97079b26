"""The processes that descend from this one: how many there are, and what memory and CPU time they have.

Sources: man 5 proc (``/proc/PID/task/TID/children``, ``stat``, ``status``) and the kernel's filesystems/proc.rst
(``smaps_rollup``). A process that ends while it is looked at is left out.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional

_KIBIBYTE = 1024

#: The lines with a size, of smaps_rollup and of status.
_SIZE = re.compile(rb"^(Pss|VmRSS|VmHWM):\s+([0-9]+) kB", re.MULTILINE)


class Member(NamedTuple):
    """A living process of the tree."""

    #: Its id.
    pid: int
    #: How many threads it has.
    threads: int


class Memory(NamedTuple):
    """How much memory some processes hold."""

    #: The sum over the processes, in bytes; what they share counts once where the system tells how much that is.
    total: int
    #: The most that one of them has held so far, in bytes.
    largest: int


def members() -> List[Member]:
    """The living descendants of this process. A zombie, which only waits for its parent, is none."""
    found, queue, parents = [], [os.getpid()], None
    for pid in queue:
        children = _children(pid)
        if children is None:  # a kernel without these files
            parents = _by_parent() if parents is None else parents
            children = parents.get(pid, [])
        queue += children
        if pid != os.getpid():
            with contextlib.suppress(OSError, ValueError):
                state, threads = _state_and_threads(pid)
                if state not in b"ZX":
                    found.append(Member(pid, threads))
    return found


def memory(pids: Iterable[int]) -> Optional[Memory]:
    """What these processes hold together; ``None`` where no process tells."""
    total = largest = 0
    seen = False
    for pid in pids:
        sizes = _sizes("/proc/%d/status" % pid)
        held = _sizes("/proc/%d/smaps_rollup" % pid).get(b"Pss", sizes.get(b"VmRSS"))
        if held is not None:
            seen = True
            total += held
            largest = max(largest, sizes.get(b"VmHWM", 0))
    return Memory(total, max(total, largest)) if seen else None


def cpu_seconds(pid: int) -> float:
    """The CPU seconds that a process has had; 0 where it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        user, system = _fields(pid)[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def own_peak() -> int:
    """The largest resident size that this process has had, in bytes. It does not count what was here before exec."""
    return _sizes("/proc/self/status").get(b"VmHWM", 0)


def _children(pid: int) -> Optional[List[int]]:
    """The children of a process, which each of its threads lists; ``None`` where the kernel has no such files."""
    children: List[int] = []
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, thread), "rb") as stream:
                children += map(int, stream.read().split())
    except FileNotFoundError:
        return None if os.path.exists("/proc/%d/task/%d" % (pid, pid)) else []
    except OSError:
        return []
    return children


def _by_parent() -> Dict[int, List[int]]:
    """Every parent with its children, from a look at all processes."""
    parents: Dict[int, List[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError):
            parents.setdefault(int(_fields(pid)[1]), []).append(pid)
    return parents


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _state_and_threads(pid: int) -> tuple[bytes, int]:
    fields = _fields(pid)
    return fields[0], int(fields[17])


def _fields(pid: int) -> List[bytes]:
    """The fields of /proc/PID/stat from the third on, which is the state."""
    with open("/proc/%d/stat" % pid, "rb") as stream:
        return stream.read().rpartition(b")")[2].split()


def _sizes(path: str) -> Dict[bytes, int]:
    try:
        with open(path, "rb") as stream:
            return {name: int(size) * _KIBIBYTE for name, size in _SIZE.findall(stream.read())}
    except OSError:
        return {}
