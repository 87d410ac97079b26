"""Which cores one of several processes beside each other may use, and the pinning of a process to some of them.

Standard library only, in Python 3.9's syntax: a test runs wherever pytest does.
"""

from __future__ import annotations

import contextlib
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from lab.cell.cpus.effective import EffectiveCpus, effective_cpus
from lab.cell.cpus.sysfs import Tree
from lab.cell.cpus.topology import Core, cores_of


class Share(NamedTuple):
    """What one of several processes may use."""

    #: The first CPU of each of its cores.
    cpus: Tuple[int, ...]
    #: The CPU seconds per second that it may count on.
    rate: float
    #: Why it has no more, in words.
    why: str


def share_of(cores: Sequence[Core], rate: float, place: Optional[int], count: int) -> Share:
    """The share of the process with the number ``place`` among ``count`` processes; ``None``: no number was free."""
    firsts = [core[0] for core in cores]
    if count <= 1:
        parts = [counted(len(firsts), "core")] + ["a quota of %g CPUs" % rate] * (rate < len(firsts))
        return Share(tuple(firsts), rate, "this process may use %s" % " and ".join(parts))
    words = "%d workers of pytest-xdist share %s" % (count, counted(len(firsts), "core"))
    if rate < sum(map(len, cores)):
        words += " and a quota of %g CPUs" % rate
    if place is None:
        return Share((), 0.0, "no cores are free for this worker of pytest-xdist; %s" % words)
    own = firsts[len(firsts) * place // count : len(firsts) * (place + 1) // count]
    return Share(tuple(own), rate / count if rate < sum(map(len, cores)) else rate, words)


def share_here(place: Optional[int], count: int) -> Share:
    """The share of this process, of the CPUs that it may use now."""
    cpus: EffectiveCpus = effective_cpus()
    usable = sorted(set(cpus.cpus) - set(cpus.isolated)) or list(cpus.cpus)
    return share_of(cores_of(Tree("/"), usable), cpus.rate, place, count)


def missing(share: Share, wanted: int) -> str:
    """Why so many cores cannot be had; empty where they can."""
    if len(share.cpus) >= wanted and share.rate >= wanted:
        return ""
    return "%s needed, but %s" % (counted(wanted, "core"), share.why)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``2 cores``."""
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")


def pin(cpus: Sequence[int]) -> Dict[int, Set[int]]:
    """Pin every thread of this process to these CPUs. Returns the mask that each thread had.

    Raises OSError where that is not possible; then no thread is pinned.
    """
    masks: Dict[int, Set[int]] = {}
    try:
        for thread in _threads():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                masks[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, cpus)
    except OSError:
        unpin(masks)
        raise
    return masks


def unpin(masks: Dict[int, Set[int]]) -> None:
    """Give every thread the mask that it had. A thread that was started since gets that of the first thread."""
    first = masks.get(os.getpid()) or next(iter(masks.values()))
    for thread in _threads():
        with contextlib.suppress(OSError):  # it has ended, or the CPU set has become smaller meanwhile
            os.sched_setaffinity(thread, masks.get(thread, first))


def _threads() -> List[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]


class Places:
    """Numbers that processes of one run take, each its own. A number is free again when its process has ended.

    A number is an abstract socket that only one process can bind (man 7 unix). So nothing is left behind.
    """

    def __init__(self, run: str, count: int) -> None:
        import socket  # late: a small Python may lack it

        #: The number of this process; ``None``: all are taken.
        self.place: Optional[int] = None
        for place in range(count):
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind("\0multicore-lab-%s-%d" % (run, place))
            except OSError:
                claim.close()
                continue
            self.place, self._claim = place, claim
            break

    def close(self) -> None:
        """Let the number go."""
        if self.place is not None:
            self._claim.close()
            self.place = None
