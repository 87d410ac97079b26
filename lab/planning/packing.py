"""Which cells run at the same time: on disjoint physical cores, larger cells first. Pure.

Cells that run side by side never share a core, not even by its second thread, and none gets worse CPUs than it would on
an idle machine: it waits instead, since a cell on other kinds of core, or across more caches, does not compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lab.errors import UsageError
from lab.model.topology import Topology
from lab.planning import placement
from lab.planning.placement import Choice


def parse_jobs(text: str) -> int | None:
    """The most cells at a time that ``--jobs`` allows; ``None`` for ``auto``. Raises UsageError."""
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise UsageError(f"--jobs {text}: give the most cells to run at a time, such as 1 or 4, or auto")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A cell that waits for CPUs. ``seconds`` is how long it is expected to take; ``cpus`` are the ids that it has to
    have (empty: any ``size``); ``alone`` that it bears no other beside it, as one that no CPU set limits."""

    name: str
    size: int
    seconds: float = 1.0
    cpus: tuple[int, ...] = ()
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """A cell in a schedule: where, and from when to when, in seconds."""

    request: Request
    cpus: tuple[int, ...]
    began: float
    ends: float


class Packer:
    """Says which waiting cell may start next. ``jobs`` is the most cells at a time (``None``: as many as have room)."""

    def __init__(self, topology: Topology, *, jobs: int | None = None, smt: bool = False) -> None:
        self._topology = topology
        self._jobs = jobs
        self._smt = smt
        self._ideal: dict[tuple[int, tuple[int, ...]], Choice | None] = {}

    def next(
        self, running: Mapping[str, tuple[Request, tuple[int, ...]]], waiting: Iterable[Request]
    ) -> tuple[Request, tuple[int, ...]] | None:
        """The next cell to start and its CPUs; ``None`` when nothing can start before another one has ended.

        ``running`` are the cells under way and their CPUs. A cell that this machine can never run is left waiting.
        """
        if self._jobs is not None and len(running) >= self._jobs:
            return None
        if any(request.alone for request, _ in running.values()):
            return None
        busy = {self._topology.by_id[cpu].core for _, cpus in running.values() for cpu in cpus}
        free = [cpu.id for cpu in self._topology.cpus if cpu.core not in busy]
        tried: set[tuple[object, ...]] = set()
        overtaking = False
        for request in self.order(waiting):
            alike = (request.size, request.cpus, request.alone)
            if alike in tried:
                continue
            tried.add(alike)
            cpus = self._place(request, free, idle=not running, spread=not overtaking)
            if cpus:
                return request, cpus
            overtaking = True
        return None

    def order(self, waiting: Iterable[Request]) -> list[Request]:
        """The cells in the order in which they get their turn: those alone, then larger, then longer ones first."""
        return sorted(waiting, key=lambda one: (not self._alone(one), -self._cores(one), -one.seconds))

    def _place(self, request: Request, free: Collection[int], *, idle: bool, spread: bool) -> tuple[int, ...]:
        """The CPUs for a cell now, as good as on an idle machine; none where there are no such."""
        ideal = self.ideal(request)
        if ideal is None:
            return ()
        if self._alone(request):
            return ideal.cpus if idle else ()
        if request.cpus:
            return request.cpus if {*request.cpus} <= {*free} else ()
        # First where there is most room, off the others' caches, unless a larger cell still waits for room.
        for loosely in (True, False) if spread else (False,):
            found = placement.choose(self._topology, request.size, smt=self._smt, free=free, spread=loosely)
            if found and found.shape == ideal.shape:
                return found.cpus
        return ()

    def ideal(self, request: Request) -> Choice | None:
        """What the cell would get on an idle machine."""
        key = (request.size, request.cpus)
        if key not in self._ideal:
            if request.cpus:
                self._ideal[key] = placement.describe(self._topology, request.cpus)
            else:
                self._ideal[key] = placement.choose(self._topology, request.size, smt=self._smt)
        return self._ideal[key]

    def _cores(self, request: Request) -> int:
        ideal = self.ideal(request)
        return len({self._topology.by_id[cpu].core for cpu in ideal.cpus}) if ideal else 0

    def _alone(self, request: Request) -> bool:
        return request.alone or request.size >= len(self._topology.usable)


def schedule(
    topology: Topology, requests: Iterable[Request], *, jobs: int | None = None, smt: bool = False
) -> tuple[Run, ...]:
    """When and where every cell would run if each took as long as expected, in the order in which they start.

    Raises ValueError when a cell can never run on this machine, or two have the same name.
    """
    packer, waiting = Packer(topology, jobs=jobs, smt=smt), list(requests)
    names = [one.name for one in waiting]
    if len(set(names)) < len(names):
        raise ValueError("two cells have the same name")
    runs: list[Run] = []
    running: dict[str, Run] = {}
    now = 0.0
    while waiting or running:
        while found := packer.next({name: (run.request, run.cpus) for name, run in running.items()}, waiting):
            request, cpus = found
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
    """How many cells of a schedule run at the same time, at most."""
    runs = tuple(runs)
    return max((sum(other.began <= one.began < other.ends for other in runs) for one in runs), default=0)


def lower_bound(topology: Topology, requests: Iterable[Request], *, smt: bool = False) -> float:
    """The least time that any schedule without shared cores could take, in seconds.

    Cells that bear no other beside them take their time one after the other; the rest at least as long as the longest
    of them, and as all their core-seconds on all cores.
    """
    packer = Packer(topology, smt=smt)
    alone, beside, longest = 0.0, 0.0, 0.0
    for request in requests:
        ideal = packer.ideal(request)
        cores = {topology.by_id[cpu].core for cpu in ideal.cpus} if ideal else set()
        mine = {topology.by_id[cpu].core for cpu in topology.usable}
        if request.alone or mine <= cores:
            alone += request.seconds
        else:
            beside += request.seconds * len(cores) / len(mine)
            longest = max(longest, request.seconds)
    return alone + max(beside, longest)
