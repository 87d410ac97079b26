"""Which CPUs a cell gets: distinct physical cores that are alike and close together, where the machine has them. Pure.

The rules, with the reasons for them, stand in docs/topology.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.cell.cpus import cpulist
from lab.model.topology import UNKNOWN, Cpu, Topology

#: Free threads of one physical core, ascending.
_Core = tuple[int, ...]
#: The numbers of the groups that a core is in, the coarsest first.
_Path = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """CPUs for one cell, and what they are: ``siblings``, a tuple for each physical core that several of them share;
    the ``kinds`` of core, NUMA ``nodes``, ``packages`` and last-level ``caches`` among them; the ``isolated`` ones."""

    cpus: tuple[int, ...]
    siblings: tuple[tuple[int, ...], ...]
    kinds: tuple[int, ...]
    nodes: tuple[int, ...]
    packages: tuple[int, ...]
    caches: tuple[int, ...]
    isolated: tuple[int, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """What two choices have to have in common for their measurements to compare."""
        return (
            self.kinds,
            len(self.siblings),
            len(self.isolated),
            len(self.nodes),
            len(self.packages),
            len(self.caches),
        )


def describe(topology: Topology, cpus: Iterable[int]) -> Choice:
    """These CPUs as a choice, whoever made it. Raises KeyError for one that is not on line."""
    mine = sorted(set(cpus))
    found = [topology.by_id[cpu] for cpu in mine]
    cores: dict[int, list[int]] = {}
    for cpu in found:
        cores.setdefault(cpu.core, []).append(cpu.id)
    return Choice(
        cpus=tuple(mine),
        siblings=tuple(tuple(threads) for threads in cores.values() if len(threads) > 1),
        kinds=tuple(sorted({cpu.kind for cpu in found})),
        nodes=tuple(sorted({cpu.node for cpu in found} - {UNKNOWN})),
        packages=tuple(sorted({cpu.package for cpu in found})),
        caches=tuple(sorted({cpu.cache for cpu in found} - {UNKNOWN})),
        isolated=tuple(sorted({*mine} & {*topology.isolated})),
    )


def choose(
    topology: Topology, size: int, *, smt: bool = False, free: Collection[int] | None = None, spread: bool = False
) -> Choice | None:
    """The CPUs for a cell of that size, or ``None`` when there are not as many.

    ``free`` are the CPUs to choose from (default: all that are allowed). ``smt`` fills cores thread by thread instead
    of taking one thread of each. ``spread`` takes the group with most room instead of the tightest, which keeps cells
    that run side by side off each other's caches and memory.
    """
    allowed = topology.allowed if free is None else sorted({*free} & {*topology.allowed})
    if not 0 < size <= len(allowed):
        return None
    isolated = {*topology.isolated}
    tiers = ([cpu for cpu in allowed if cpu not in isolated], [cpu for cpu in allowed if cpu in isolated])
    found: list[int] = []
    for tier in tiers:
        want = min(size - len(found), len(tier))
        if want:
            found += _Chooser(topology, tier, spread).take(want, smt=smt)
    return describe(topology, found)


class _Chooser:
    """Chooses among some CPUs of a machine."""

    def __init__(self, topology: Topology, cpus: Sequence[int], spread: bool) -> None:
        self._topology = topology
        self._spread = spread
        cores: dict[int, list[int]] = {}
        for cpu in cpus:
            cores.setdefault(topology.by_id[cpu].core, []).append(cpu)
        self._cores: list[_Core] = [tuple(threads) for threads in cores.values()]
        self._paths = _paths([topology.by_id[core[0]] for core in self._cores])

    def take(self, size: int, *, smt: bool) -> list[int]:
        """That many of the CPUs; there are as many."""
        if smt:
            return self._alike(size, self._cores)
        firsts = [core[:1] for core in self._cores]
        found = self._alike(min(size, len(firsts)), firsts)
        # Nothing but siblings is left: a second thread of each core, and so on. All cores are in use by then.
        rounds = itertools.zip_longest(*(core[1:] for core in self._cores))
        rest = (thread for threads in rounds for thread in sorted(one for one in threads if one is not None))
        return found + list(itertools.islice(rest, size - len(found)))

    def _alike(self, size: int, cores: Sequence[_Core]) -> list[int]:
        """From the fastest kind of core that has enough; else from the kinds that are nearest to each other in speed,
        then the fewest, then the fastest: the faster ones whole, the rest from the slowest of them."""
        kinds: dict[int, list[_Core]] = {}
        for core in cores:
            kinds.setdefault(self._topology.by_id[core[0]].kind, []).append(core)
        have = {kind: sum(map(len, of_kind)) for kind, of_kind in kinds.items()}
        chosen = next(((kind,) for kind in sorted(kinds) if have[kind] >= size), None) or self._nearest(size, have)
        found: list[int] = []
        for kind in chosen:
            found += self._close(min(size - len(found), have[kind]), kinds[kind], 0)
        return found

    def _nearest(self, size: int, have: Mapping[int, int]) -> tuple[int, ...]:
        enough = [
            some
            for count in range(2, len(have) + 1)
            for some in itertools.combinations(sorted(have), count)
            if sum(have[kind] for kind in some) >= size
        ]

        def distance(some: tuple[int, ...]) -> tuple[float, int, tuple[int, ...]]:
            speeds = [self._topology.kinds[kind].speed for kind in some]
            apart = round(max(speeds) / min(speeds), 2) if min(speeds) else 1.0
            return (apart, len(some), some)

        return min(enough, key=distance)

    def _close(self, size: int, cores: Sequence[_Core], depth: int) -> list[int]:
        """From the smallest group that they fit into (a cache, else a node, else a package); else from as few groups
        as can be: the largest ones whole, the rest from one. ``depth`` levels need not be looked at any more."""
        if size >= sum(map(len, cores)) or depth == len(_LEVELS):
            return [thread for core in sorted(cores, key=_fullest) for thread in core][:size]
        for finest in range(len(_LEVELS), depth, -1):
            groups = self._groups(cores, finest)
            fits = [path for path, group in groups.items() if sum(map(len, group)) >= size]
            if fits:
                best = self._best(size, fits, cores)
                return self._close(size, groups[best], finest)
        groups = self._groups(cores, depth + 1)
        largest = sorted(groups.values(), key=lambda group: (-sum(map(len, group)), group[0]))
        found: list[int] = []
        while size - len(found) > max(sum(map(len, group)) for group in largest):
            found += (thread for core in largest.pop(0) for thread in core)
        rest = [core for group in largest for core in group]
        return found + self._close(size - len(found), rest, depth)

    def _groups(self, cores: Sequence[_Core], depth: int) -> dict[_Path, list[_Core]]:
        """The cores by where they are, down to that depth."""
        groups: dict[_Path, list[_Core]] = {}
        for core in cores:
            groups.setdefault(self._paths[core[0]][:depth], []).append(core)
        return groups

    def _best(self, size: int, paths: Sequence[_Path], cores: Sequence[_Core]) -> _Path:
        """Of these groups, into each of which they fit, the one that takes the fewest cores; then the tightest, in the
        tightest surroundings, so that larger groups stay whole (to spread: that with most room); then low ids."""
        depth = len(paths[0])
        room: dict[_Path, int] = {}
        for core in cores:
            for level in range(1, depth + 1):
                path = self._paths[core[0]][:level]
                room[path] = room.get(path, 0) + len(core)
        groups = self._groups(cores, depth)

        def fit(path: _Path) -> tuple[int, list[int], _Core]:
            threads = sorted(map(len, groups[path]), reverse=True)
            needed = next(count for count, total in enumerate(itertools.accumulate(threads), 1) if total >= size)
            around = [room[path[:level]] for level in range(1, depth + 1)]
            return (needed, [-one for one in around] if self._spread else around[::-1], groups[path][0])

        return min(paths, key=fit)


def _fullest(core: _Core) -> tuple[int, _Core]:
    return (-len(core), core)


#: What groups cores. Which of them contains which differs from machine to machine.
_LEVELS = ("node", "package", "cache")


def _paths(cpus: Sequence[Cpu]) -> dict[int, _Path]:
    """CPU -> the numbers of its groups, the coarsest first; of a node and a package as large, the node."""
    count = {name: len({getattr(cpu, name) for cpu in cpus}) for name in _LEVELS}
    levels = sorted(_LEVELS, key=lambda name: (count[name], _LEVELS.index(name)))
    return {cpu.id: tuple(getattr(cpu, name) for name in levels) for cpu in cpus}


def notes(topology: Topology, choice: Choice) -> tuple[str, ...]:
    """What a cell on these CPUs has to say of them, a sentence each; nothing where they are equal cores, close by."""
    found = []
    if choice.siblings:
        shown = "; ".join(cpulist.render(core) for core in choice.siblings[:4])
        more = f" and {len(choice.siblings) - 4} more" if len(choice.siblings) > 4 else ""
        where = "a core" if len(choice.siblings) == 1 else f"{len(choice.siblings)} cores"
        found.append(f"SMT siblings share {where}: CPUs {shown}{more}")
    if len(choice.kinds) > 1:
        of_kind = ((topology.kinds[kind].name, {*topology.kind(kind)} & {*choice.cpus}) for kind in choice.kinds)
        found.append(
            f"cores of {len(choice.kinds)} kinds: "
            + ", ".join(f"{name or 'kind'} {cpulist.render(cpus)}" for name, cpus in of_kind)
        )
    if len(choice.nodes) > 1:
        found.append(f"spans {len(choice.nodes)} NUMA nodes: {cpulist.render(choice.nodes)}")
    elif len(choice.packages) > 1:
        found.append(f"spans {len(choice.packages)} packages: {cpulist.render(choice.packages)}")
    elif len(choice.caches) > 1:
        found.append(f"spans {len(choice.caches)} last-level caches")
    if choice.isolated:
        found.append(
            f"isolated from the scheduler (isolcpus): CPUs {cpulist.render(choice.isolated)}; it moves nothing to them"
        )
    return tuple(found)


def why(topology: Topology, choice: Choice) -> str:
    """What the CPUs of a cell are, in a few words: ``4 cores, performance, 1 node, 1 cache``."""
    cores = len({topology.by_id[cpu].core for cpu in choice.cpus})
    parts = [f"{cores} core" + "s" * (cores > 1)]
    if len(topology.kinds) > 1:
        parts.append(" + ".join(topology.kinds[kind].name for kind in choice.kinds))
    for name, numbers in (("package", choice.packages), ("node", choice.nodes), ("cache", choice.caches)):
        if len(numbers) > (name == "package"):
            parts.append(f"{len(numbers)} {name}" + "s" * (len(numbers) > 1))
    return ", ".join(parts)
