"""The worker's offspring: whatever processes an experiment leaves behind come back to the worker, and are ended.

A process group is not enough to find them: a daemon leaves its group and its session. But orphans go to the nearest
ancestor that has declared itself their reaper, so in the end they are all the worker's own children.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from typing import Callable, Iterable, Iterator


def end_all(seconds: float = 5.0, strays: Callable[[], Iterable[int]] = tuple) -> bool:
    """Kill every child of this process and, once they are orphans, its children's children.

    ``strays`` finds processes of the cell that are no children of this one. Returns whether none is left; ``False``
    when that took longer than so many ``seconds``.
    """
    until = time.monotonic() + seconds
    while True:
        has_children, ended = True, 0
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            has_children = False
        if not ended:
            killed = sum(map(_kill, itertools.chain(_children() if has_children else (), strays())))
            if not (has_children or killed):
                return True
            time.sleep(0.001)
        if time.monotonic() > until:
            return False


def _kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    return True


class Strays:
    """The processes of a cell that are lost to a worker which cannot adopt orphans.

    They are found by a ``variable`` of their environment, ``NAME=VALUE``, which each inherits. Where the cell is
    ``alone``, as in a container, each process counts that was not there before.
    """

    def __init__(self, alone: bool, variable: bytes) -> None:
        self._variable = variable
        self._known = set(_pids()) if alone else None

    def __call__(self) -> list[int]:
        """The strays that live now; zombies wait for their parent and are not counted."""
        found = []
        for pid in _pids():
            if pid == os.getpid() or pid in (self._known or ()):
                continue
            with contextlib.suppress(OSError):  # it has just ended, or is another user's
                state, _ = _state_and_parent(pid)
                if state not in "ZX" and (self._known is not None or self._has_variable(pid)):
                    found.append(pid)
        return found

    def _has_variable(self, pid: int) -> bool:
        with open("/proc/%d/environ" % pid, "rb") as stream:
            return bool(self._variable) and self._variable in stream.read().split(b"\0")


def _children() -> Iterator[int]:
    """The pids of this process's children. The newest come first, each as soon as it is found: one that goes on forking
    lives shorter than it takes to look at all."""
    for pid in _pids():
        with contextlib.suppress(OSError):  # it has just ended
            if _state_and_parent(pid)[1] == os.getpid():
                yield pid


def _pids() -> list[int]:
    return sorted((int(entry) for entry in os.listdir("/proc") if entry.isdecimal()), reverse=True)


def _state_and_parent(pid: int) -> tuple[str, int]:
    """The fields 3 and 4 of /proc/PID/stat (man 5 proc)."""
    with open("/proc/%d/stat" % pid, "rb") as stream:
        state, parent = stream.read().rpartition(b")")[2].split()[:2]
    return state.decode(), int(parent)
