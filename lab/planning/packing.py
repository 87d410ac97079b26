"""Which cells run at the same time: on disjoint physical cores, larger cells first. Pure.

Cells that run side by side never share a core, not even through its second thread. No cell gets worse CPUs than on an
idle machine. It waits instead, because results from other kinds of core, or across more caches, are not comparable.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.errors import UsageError
from lab.model.topology import Topology
from lab.planning import placement
from lab.planning.placement import Choice


def parse_most_at_once(text: str) -> int | None:
    """The largest number of cells that ``--jobs`` lets run at a time; ``None`` for ``auto``. Raises UsageError."""
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise UsageError(f"--jobs {text}: give the largest number of cells to run at a time, such as 1 or 4, or auto")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class WaitingCell:
    """A cell that waits for CPUs."""

    #: The id of the cell.
    name: str
    #: How many CPUs it needs.
    size: int
    #: How long it is expected to take.
    seconds: float = 1.0
    #: The ids of the CPUs that it must have; empty if any CPUs will do.
    cpus: tuple[int, ...] = ()
    #: Whether no other cell may run at the same time: a cell without a CPU set uses all CPUs.
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """A cell in a schedule."""

    #: The cell.
    request: WaitingCell
    #: The CPUs that it runs on.
    cpus: tuple[int, ...]
    #: When it begins, in seconds from the start of the schedule.
    began: float
    #: When it ends, in seconds from the start of the schedule.
    ends: float


class Packer:
    """Chooses the waiting cell that starts next. ``jobs`` is the largest number at a time (``None``: any number)."""

    def __init__(self, topology: Topology, *, jobs: int | None = None, smt: bool = False) -> None:
        self._topology = topology
        self._jobs = jobs
        self._smt = smt
        self._usable = len(topology.usable)
        self._known: dict[tuple[int, tuple[int, ...]], tuple[Choice | None, int]] = {}

    def next(
        self, running: Mapping[str, tuple[WaitingCell, tuple[int, ...]]], waiting: Iterable[WaitingCell]
    ) -> tuple[WaitingCell, tuple[int, ...]] | None:
        """The next cell to start and its CPUs; ``None`` when no cell can start before another cell has ended.

        ``running`` are the running cells and their CPUs. A cell that this machine can never run stays in the queue.
        """
        return self.first(running, self.order(waiting))

    def first(
        self, running: Mapping[str, tuple[WaitingCell, tuple[int, ...]]], ordered: Sequence[WaitingCell]
    ) -> tuple[WaitingCell, tuple[int, ...]] | None:
        """The same, of cells that are in order already."""
        if self._jobs is not None and len(running) >= self._jobs:
            return None
        if any(request.alone for request, _ in running.values()):
            return None
        busy = {self._topology.by_id[cpu].core for _, cpus in running.values() for cpu in cpus}
        free = {cpu.id for cpu in self._topology.cpus if cpu.core not in busy}
        # The cells that need more cores than are free stand first.
        place = bisect.bisect_left(ordered, (True, -self._free_cores(free)), key=self._rank) if running else 0
        tried: set[tuple[object, ...]] = set()
        for request in itertools.islice(ordered, place, None):
            needs = (request.size, request.cpus, request.alone)
            if needs in tried:
                continue
            overtaking = bool(place or tried)
            tried.add(needs)
            cpus = self._place(request, free, idle=not running, spread=not overtaking)
            if cpus:
                return request, cpus
        return None

    def order(self, waiting: Iterable[WaitingCell]) -> list[WaitingCell]:
        """The cells in the order in which they are tried: those alone first, then larger, then longer cells."""
        return sorted(waiting, key=lambda request: (*self._rank(request), -request.seconds))

    def _rank(self, request: WaitingCell) -> tuple[bool, int]:
        return not self._alone(request), -self._cores(request)

    def _free_cores(self, free: Collection[int]) -> int:
        """How many of the cores have a free CPU that cells may use."""
        return len({self._topology.by_id[cpu].core for cpu in self._topology.allowed if cpu in free})

    def _place(self, request: WaitingCell, free: Collection[int], *, idle: bool, spread: bool) -> tuple[int, ...]:
        """Free CPUs for a cell, as good as on an idle machine; empty if there are no such CPUs now."""
        ideal = self.ideal(request)
        if ideal is None:
            return ()
        if self._alone(request):
            return ideal.cpus if idle else ()
        if request.cpus:
            return request.cpus if all(cpu in free for cpu in request.cpus) else ()
        # First try where there is most room, away from the caches of other cells, unless a larger cell still waits.
        for loosely in (True, False) if spread else (False,):
            choice = placement.choose(self._topology, request.size, smt=self._smt, free=free, spread=loosely)
            if choice and choice.shape == ideal.shape:
                return choice.cpus
        return ()

    def ideal(self, request: WaitingCell) -> Choice | None:
        """The CPUs that the cell would get on an idle machine."""
        return self._looked_up(request)[0]

    def _cores(self, request: WaitingCell) -> int:
        """How many cores these CPUs are on; 0 if the machine has no such CPUs."""
        return self._looked_up(request)[1]

    def _looked_up(self, request: WaitingCell) -> tuple[Choice | None, int]:
        key = (request.size, request.cpus)
        if key not in self._known:
            if request.cpus:
                ideal: Choice | None = placement.describe(self._topology, request.cpus)
            else:
                ideal = placement.choose(self._topology, request.size, smt=self._smt)
            cores = len({self._topology.by_id[cpu].core for cpu in ideal.cpus}) if ideal else 0
            self._known[key] = ideal, cores
        return self._known[key]

    def _alone(self, request: WaitingCell) -> bool:
        return request.alone or request.size >= self._usable


def schedule(
    topology: Topology, requests: Iterable[WaitingCell], *, jobs: int | None = None, smt: bool = False
) -> tuple[Run, ...]:
    """When and where every cell would run if each took as long as expected, in the order of their starts.

    Raises ValueError when a cell can never run on this machine, or two have the same name.
    """
    packer = Packer(topology, jobs=jobs, smt=smt)
    waiting = packer.order(requests)
    if len({request.name for request in waiting}) < len(waiting):
        raise ValueError("two cells have the same name")
    runs: list[Run] = []
    running: dict[str, Run] = {}
    now = 0.0
    while waiting or running:
        while start := packer.first({name: (run.request, run.cpus) for name, run in running.items()}, waiting):
            request, cpus = start
            waiting.remove(request)
            running[request.name] = Run(request=request, cpus=cpus, began=now, ends=now + request.seconds)
            runs.append(running[request.name])
        if not running:
            raise ValueError(f"the cell {waiting[0].name} of {waiting[0].size} CPUs can never run on this machine")
        now = min(run.ends for run in running.values())
        running = {name: run for name, run in running.items() if run.ends > now}
    return tuple(runs)


def makespan(runs: Iterable[Run]) -> float:
    """How long a schedule takes, in seconds."""
    return max((run.ends for run in runs), default=0.0)


def most_at_once(runs: Iterable[Run]) -> int:
    """The largest number of cells that run at the same time in this schedule."""
    runs = tuple(runs)
    starts, ends = sorted(run.began for run in runs), sorted(run.ends for run in runs)
    return max((bisect.bisect(starts, start) - bisect.bisect(ends, start) for start in starts), default=0)


def lower_bound(topology: Topology, requests: Iterable[WaitingCell], *, smt: bool = False) -> float:
    """The least time that any schedule without shared cores could take, in seconds.

    The cells that run alone take their time one after the other. The other cells take at least as long as the longest
    cell, and at least their core-seconds divided by the number of cores.
    """
    packer = Packer(topology, smt=smt)
    alone, together, longest = 0.0, 0.0, 0.0
    usable_cores = {topology.by_id[cpu].core for cpu in topology.usable}
    for request in requests:
        ideal = packer.ideal(request)
        cores = {topology.by_id[cpu].core for cpu in ideal.cpus} if ideal else set()
        if request.alone or usable_cores <= cores:
            alone += request.seconds
        else:
            together += request.seconds * len(cores) / len(usable_cores)
            longest = max(longest, request.seconds)
    return alone + max(together, longest)
