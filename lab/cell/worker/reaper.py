"""The worker's offspring: whatever processes an experiment leaves behind come back to the worker, and are ended.

A process group is not enough to find them: a daemon leaves its group and its session. But orphans go to the nearest
ancestor that has declared itself their reaper, so in the end they are all the worker's own children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Iterator

# include/uapi/linux/prctl.h; see man 2 prctl.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on every descendant whose parent has ended becomes a child of this process.

    Without ctypes in this Python, or where the system forbids it, they go to PID 1 as ever.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, for whatever reason."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_all(seconds: float = 5.0) -> bool:
    """Kill every child of this process and, once they are orphans, its children's children.

    Returns whether none is left; ``False`` when that took longer than so many ``seconds``.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if not ended:
            for child in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.001)
        if time.monotonic() > until:
            return False


def _children() -> Iterator[int]:
    """The pids of this process's children: those whose field 4 in /proc/*/stat (man 5 proc) is its own pid. The newest
    come first, each as soon as it is found: one that goes on forking lives shorter than it takes to look at all."""
    for pid in sorted((int(entry) for entry in os.listdir("/proc") if entry.isdecimal()), reverse=True):
        try:
            with open("/proc/%d/stat" % pid, "rb") as stream:
                parent = stream.read().rpartition(b")")[2].split()[1]
        except OSError:
            continue  # it has just ended
        if int(parent) == os.getpid():
            yield pid


def _prctl(option: int, argument: int) -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass
