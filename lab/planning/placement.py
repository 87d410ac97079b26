"""Which CPUs a cell gets: if possible, physical cores of one kind that are close together. Pure.

The rules and their reasons are in docs/topology.md.
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
    """CPUs for one cell, and where they are in the machine."""

    #: The ids of the CPUs, ascending.
    cpus: tuple[int, ...]
    #: For each physical core with several of these CPUs, the ids of these.
    siblings: tuple[tuple[int, ...], ...]
    #: The numbers of their kinds of core.
    kinds: tuple[int, ...]
    #: The numbers of their NUMA nodes.
    nodes: tuple[int, ...]
    #: The numbers of their packages.
    packages: tuple[int, ...]
    #: The numbers of their last-level caches.
    caches: tuple[int, ...]
    #: The CPUs that are isolated from the scheduler.
    isolated: tuple[int, ...]
    #: The CPUs that share a core with these and are not ours.
    foreign: tuple[int, ...]
    #: The CPUs whose NUMA node is not known, though those of others are.
    without_node: tuple[int, ...]
    #: The numbers of those of their NUMA nodes whose memory is forbidden.
    forbidden_memory: tuple[int, ...]
    #: The numbers of those of their NUMA nodes that have no memory.
    without_memory: tuple[int, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """What two choices must have in common, so that their measurements are comparable."""
        return (
            self.kinds,
            len(self.siblings),
            len(self.isolated),
            len(self.foreign),
            len(self.forbidden_memory),
            len(self.without_memory),
            len(self.nodes),
            len(self.packages),
            len(self.caches),
        )


def describe(topology: Topology, cpus: Iterable[int]) -> Choice:
    """These CPUs as a choice. Raises KeyError for a CPU that is not online."""
    ids = sorted(set(cpus))
    chosen = [topology.by_id[cpu] for cpu in ids]
    cores: dict[int, list[int]] = {}
    for cpu in chosen:
        cores.setdefault(cpu.core, []).append(cpu.id)
    return Choice(
        cpus=tuple(ids),
        siblings=tuple(tuple(threads) for threads in cores.values() if len(threads) > 1),
        kinds=tuple(sorted({cpu.kind for cpu in chosen})),
        nodes=tuple(sorted({cpu.node for cpu in chosen} - {UNKNOWN})),
        packages=tuple(sorted({cpu.package for cpu in chosen})),
        caches=tuple(sorted({cpu.cache for cpu in chosen} - {UNKNOWN})),
        isolated=tuple(sorted({*ids} & {*topology.isolated})),
        foreign=tuple(sorted(cpu for core in cores for cpu in topology.cores[core] if cpu in topology.foreign)),
        without_node=tuple(sorted({*ids} & {*topology.without_node})),
        forbidden_memory=tuple(sorted({cpu.node for cpu in chosen} & {*topology.forbidden_memory})),
        without_memory=tuple(sorted({cpu.node for cpu in chosen} & {*topology.without_memory})),
    )


def choose(
    topology: Topology, size: int, *, smt: bool = False, free: Collection[int] | None = None, spread: bool = False
) -> Choice | None:
    """The CPUs for a cell of that size, or ``None`` when there are not enough.

    ``free`` are the CPUs to choose from (default: all that are allowed). ``smt`` fills cores thread by thread instead
    of taking one thread of each. ``spread`` takes the group with the most room instead of the tightest. That keeps
    cells that run side by side away from each other's caches and memory.
    """
    allowed = topology.allowed if free is None else sorted({*free} & {*topology.allowed})
    if not 0 < size <= len(allowed):
        return None
    tiers: dict[tuple[bool, bool], list[int]] = {}
    isolated = {*topology.isolated}
    for cpu in allowed:
        far = topology.by_id[cpu].node in (*topology.forbidden_memory, *topology.without_memory)
        tiers.setdefault((cpu in isolated, far), []).append(cpu)
    chosen: list[int] = []
    for _, tier in sorted(tiers.items()):
        count = min(size - len(chosen), len(tier))
        if count:
            chosen += _Chooser(topology, tier, spread).take(count, smt=smt)
    return describe(topology, chosen)


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
        """That many of the CPUs. The caller makes sure that there are enough."""
        if smt:
            return self._whole_first(size, self._cores)
        firsts = [core[:1] for core in self._cores]
        chosen = self._whole_first(min(size, len(firsts)), firsts)
        # If that is not enough, all cores are in use: add the second thread of each core, and so on.
        rounds = itertools.zip_longest(*(core[1:] for core in self._cores))
        rest = (thread for threads in rounds for thread in sorted(cpu for cpu in threads if cpu is not None))
        return chosen + list(itertools.islice(rest, size - len(chosen)))

    def _whole_first(self, size: int, cores: Sequence[_Core]) -> list[int]:
        """CPUs of cores that are ours as a whole; if these are not enough, of the others too.

        What others run on a sibling slows a core down, and nobody knows when. Kinds are mixed before that is risked.
        """
        whole = [core for core in cores if self._is_whole(core)]
        return self._alike(size, whole if sum(map(len, whole)) >= size else cores)

    def _is_whole(self, core: _Core) -> bool:
        siblings = self._topology.cores[self._topology.by_id[core[0]].core]
        return self._topology.foreign.isdisjoint(siblings)

    def _alike(self, size: int, cores: Sequence[_Core]) -> list[int]:
        """CPUs of the fastest kind of core that has enough.

        If no kind has enough, the kinds are taken that are nearest to each other in speed, then the fewest, then the
        fastest. The faster kinds are used up, and the rest comes from the slowest of these kinds.
        """
        kinds: dict[int, list[_Core]] = {}
        for core in cores:
            kinds.setdefault(self._topology.by_id[core[0]].kind, []).append(core)
        have = {kind: sum(map(len, of_kind)) for kind, of_kind in kinds.items()}
        chosen = next(((kind,) for kind in sorted(kinds) if have[kind] >= size), None) or self._nearest(size, have)
        cpus: list[int] = []
        for kind in chosen:
            for is_whole in (True, False):
                part = [core for core in kinds[kind] if self._is_whole(core) is is_whole]
                count = min(size - len(cpus), sum(map(len, part)))
                cpus += self._close(count, part, 0) if count else []
        return cpus

    def _nearest(self, size: int, have: Mapping[int, int]) -> tuple[int, ...]:
        enough = [
            kinds
            for count in range(2, len(have) + 1)
            for kinds in itertools.combinations(sorted(have), count)
            if sum(have[kind] for kind in kinds) >= size
        ]

        def distance(kinds: tuple[int, ...]) -> tuple[float, int, tuple[int, ...]]:
            speeds = [self._topology.kinds[kind].speed for kind in kinds]
            apart = round(max(speeds) / min(speeds), 2) if min(speeds) else 1.0
            return (apart, len(kinds), kinds)

        return min(enough, key=distance)

    def _close(self, size: int, cores: Sequence[_Core], depth: int) -> list[int]:
        """CPUs from the smallest group that has enough: a cache, else a node, else a package.

        If no group has enough, as few groups as possible are taken: the largest groups whole, and the rest from one.
        All cores are in the same group down to level ``depth``.
        """
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
        chosen: list[int] = []
        whole = 0
        while size - len(chosen) > sum(map(len, largest[whole])):
            chosen += (thread for core in largest[whole] for thread in core)
            whole += 1
        rest = [core for group in largest[whole:] for core in group]
        return chosen + self._close(size - len(chosen), rest, depth)

    def _groups(self, cores: Sequence[_Core], depth: int) -> dict[_Path, list[_Core]]:
        """The cores, grouped by their paths down to that depth."""
        groups: dict[_Path, list[_Core]] = {}
        for core in cores:
            groups.setdefault(self._paths[core[0]][:depth], []).append(core)
        return groups

    def _best(self, size: int, paths: Sequence[_Path], cores: Sequence[_Core]) -> _Path:
        """The best of these groups, which all have enough room.

        The best group needs the fewest cores. Among equals it is the tightest, in the tightest surroundings, so that
        larger groups stay whole; or, to spread, the group with the most room. Among equals again, low ids win.
        """
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
            return (needed, [-count for count in around] if self._spread else around[::-1], groups[path][0])

        return min(paths, key=fit)


def _fullest(core: _Core) -> tuple[int, _Core]:
    return (-len(core), core)


#: The levels that group cores. Which level contains which differs from machine to machine.
_LEVELS = ("node", "package", "cache")


def _paths(cpus: Sequence[Cpu]) -> dict[int, _Path]:
    """CPU -> the numbers of its groups, the coarsest first. If a node is as large as a package, it is first."""
    count = {name: len({getattr(cpu, name) for cpu in cpus}) for name in _LEVELS}
    levels = sorted(_LEVELS, key=lambda name: (count[name], _LEVELS.index(name)))
    return {cpu.id: tuple(getattr(cpu, name) for name in levels) for cpu in cpus}


def notes(topology: Topology, choice: Choice) -> tuple[str, ...]:
    """What is special about these CPUs, in a sentence each; empty for equal cores that are close together."""
    sentences = []
    if choice.siblings:
        shown = "; ".join(cpulist.render(core) for core in choice.siblings[:4])
        more = f" and {len(choice.siblings) - 4} more" if len(choice.siblings) > 4 else ""
        where = "a core" if len(choice.siblings) == 1 else f"{len(choice.siblings)} cores"
        sentences.append(f"SMT siblings share {where}: CPUs {shown}{more}")
    if len(choice.kinds) > 1:
        of_kind = ((topology.kinds[kind].name, {*topology.kind(kind)} & {*choice.cpus}) for kind in choice.kinds)
        sentences.append(
            f"cores of {len(choice.kinds)} kinds: "
            + ", ".join(f"{name or 'kind'} {cpulist.render(cpus)}" for name, cpus in of_kind)
        )
    if choice.foreign:
        cores = len({topology.by_id[cpu].core for cpu in choice.foreign})
        sentences.append(
            f"shares {'a core' if cores == 1 else f'{cores} cores'} with {_named(choice.foreign)}, which"
            f" {'is' if len(choice.foreign) == 1 else 'are'} not ours"
        )
    if len(choice.nodes) > 1:
        sentences.append(f"spans {len(choice.nodes)} NUMA nodes: {cpulist.render(choice.nodes)}")
    elif len(choice.packages) > 1:
        sentences.append(f"spans {len(choice.packages)} packages: {cpulist.render(choice.packages)}")
    elif len(choice.caches) > 1:
        sentences.append(f"spans {len(choice.caches)} last-level caches")
    if choice.without_node:
        sentences.append(f"the kernel names no NUMA node of {_named(choice.without_node)}")
    if choice.forbidden_memory:
        sentences.append(
            f"the memory of NUMA node{'s' * (len(choice.forbidden_memory) > 1)}"
            f" {cpulist.render(choice.forbidden_memory)} is forbidden here (cpuset.mems): CPUs there use that of others"
        )
    if choice.without_memory:
        nodes, have = ("node", "has") if len(choice.without_memory) == 1 else ("nodes", "have")
        which = cpulist.render(choice.without_memory)
        sentences.append(f"NUMA {nodes} {which} {have} no memory: CPUs there use that of others")
    if choice.isolated:
        sentences.append(
            "isolated from the scheduler (isolcpus, or a CPU set that is not balanced):"
            f" CPUs {cpulist.render(choice.isolated)}; it moves nothing to them"
        )
    return tuple(sentences)


def _named(cpus: Collection[int]) -> str:
    return f"CPU{'s' * (len(cpus) > 1)} {cpulist.render(cpus)}"


def why(topology: Topology, choice: Choice) -> str:
    """The CPUs of a cell in a few words: ``4 cores, performance, 1 node, 1 cache``."""
    cores = len({topology.by_id[cpu].core for cpu in choice.cpus})
    parts = [f"{cores} core" + "s" * (cores > 1)]
    if len(topology.kinds) > 1:
        parts.append(" + ".join(topology.kinds[kind].name for kind in choice.kinds))
    for name, numbers in (("package", choice.packages), ("node", choice.nodes), ("cache", choice.caches)):
        if len(numbers) > (name == "package"):
            parts.append(f"{len(numbers)} {name}" + "s" * (len(numbers) > 1))
    return ", ".join(parts)
