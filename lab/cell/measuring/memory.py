"""What workers take of memory: their proportional set size, in which what several processes share is divided among them
(PSS: man 5 proc, ``/proc/PID/smaps_rollup``; the kernel's Documentation/filesystems/proc.rst)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from typing import Any, Callable, Iterator

from lab.cell.measuring.process_tree import members


def pss_of(pid: int) -> int | None:
    """A process's memory in bytes; ``None`` where it does not show."""
    with contextlib.suppress(OSError), open("/proc/%d/smaps_rollup" % pid) as stream:
        for line in stream:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def memory_of(pid: int) -> float:
    """A process's memory in MiB; where its share does not show, all that it has mapped (RSS, the second field of
    statm)."""
    share = pss_of(pid)
    if share is not None:
        return share / 2**20
    with contextlib.suppress(OSError), open("/proc/%d/statm" % pid) as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def family_bytes() -> int | None:
    """The memory of this process, its parent and all its descendants, in bytes; ``None`` where it cannot be read."""
    family = {os.getpid(), os.getppid(), *(member.pid for member in members())}
    total = 0
    for pid in family:
        share = pss_of(pid)
        if share is None and pid != os.getppid():
            return None
        total += share or 0
    return total


def cost_of(executor: str) -> tuple[float, int | None]:
    """What one worker of that kind costs: seconds until it has run something, and bytes while it waits.

    The kinds are ``thread``, ``interpreter`` and the start methods. The bytes are those by which the memory of the
    whole process family grows, ``None`` where it cannot be read.
    """
    before = family_bytes()
    with waiting(executor) as seconds:
        after = family_bytes()
    return seconds, None if before is None or after is None else after - before


@contextlib.contextmanager
def waiting(executor: str) -> Iterator[float]:
    """A worker of that kind, which has run something and waits; the seconds that this has taken."""
    if executor == "interpreter":
        # Older Pythons, and the stubs for them, do not have it.
        from concurrent.interpreters import create  # type: ignore[import-not-found,unused-ignore]

        begun = time.monotonic()
        with contextlib.closing(create()) as interpreter:
            interpreter.exec("pass")
            yield time.monotonic() - begun
        return
    # The stubs do not know the Process of a context that is chosen by its name.
    context: Any = multiprocessing.get_context(None if executor == "thread" else executor)
    kind: Callable[..., Any] = threading.Thread if executor == "thread" else context.Process
    own_end, workers_end = context.Pipe()
    worker = kind(target=_wait, args=(workers_end,))
    begun = time.monotonic()
    worker.start()
    try:
        own_end.recv()
        yield time.monotonic() - begun
    finally:
        own_end.send(None)
        worker.join()
        own_end.close()
        workers_end.close()


def _wait(end: Any) -> None:
    end.send(None)
    end.recv()
