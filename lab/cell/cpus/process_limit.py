"""The limit on the number of processes and threads, and whether it was met.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/pids.rst (``pids.max``, ``pids.events``);
man 2 fork and man 2 getrlimit (EAGAIN, ``RLIMIT_NPROC``).
"""

from __future__ import annotations

import errno
import os
import posixpath
from typing import List, Optional

from lab.cell.cpus.cgroups import statistics
from lab.cell.cpus.group_folders import OwnGroups
from lab.cell.cpus.kernel_files import Root, files_below

#: The line of /proc/self/limits (man 5 proc) with the limit on the processes of a user.
_OF_THE_USER = "Max processes"

#: What Python says where a thread cannot be started.
_NO_THREAD = "can't start new thread"


def refusals(root: Root = "/") -> int:
    """How often, so far, a control group has refused this process's group another process or thread."""
    counts = [statistics(posixpath.join(folder, "pids.events"), root) for folder in _folders(root)]
    return int(sum(count.get("max", 0) for count in counts))


def named_limit(root: Root = "/") -> str:
    """The limit on processes that is met first, in words."""
    files, limits = files_below(root), []
    for folder in _folders(root):
        most = _number(files.text(posixpath.join(folder, "pids.max")))
        if most is not None:
            limits.append((most, "pids limit %d" % most))
    for line in files.lines(files.path("proc/self/limits")):
        most = _number(line[len(_OF_THE_USER) :].split()[0]) if line.startswith(_OF_THE_USER) else None
        if most is not None:
            limits.append((most, "limit of %d processes for this user (ulimit -u)" % most))
    return min(limits)[1] if limits else "a limit on processes that is not visible here"


def _folders(root: Root) -> List[str]:
    """The visible levels whose processes are counted, the process's own group first."""
    groups = OwnGroups(files_below(root))
    return groups.folders(groups.hierarchy("pids")).levels


def is_met(error: BaseException) -> bool:
    """Whether the error says that no further process or thread may start."""
    if isinstance(error, OSError):
        return error.errno == errno.EAGAIN
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def says_it_is_met(text: Optional[str]) -> bool:
    """Whether the words of an error say the same."""
    return any(words in (text or "") for words in (_NO_THREAD, os.strerror(errno.EAGAIN)))


def not_started(started: int, wanted: int, root: Root = "/") -> str:
    """How many workers could not start, and why, in words."""
    return "%d of %d workers could not start: %s" % (wanted - started, wanted, named_limit(root))


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.isdecimal() else None
