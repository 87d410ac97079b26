"""The CPUs of one machine and how they belong together, as :mod:`lab.cell.cpus.topology` reads them. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cell.cpus import cpulist

#: The number of a NUMA node or a cache that the kernel says nothing about.
UNKNOWN = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpu:
    """One CPU (hardware thread) that is on line."""

    #: The id by which the kernel numbers it.
    id: int
    #: The lowest id of the CPUs that share its physical core.
    core: int
    #: The kernel's number of its package (socket).
    package: int = 0
    #: The kernel's number of its NUMA node.
    node: int = UNKNOWN
    #: The place of its last-level cache in the topology's ``cache_levels``.
    cache: int = UNKNOWN
    #: The place of its kind of core in the topology's ``kinds``.
    kind: int = 0


@dataclass(frozen=True, kw_only=True)
class CoreKind:
    """A kind of core, such as performance or efficiency."""

    #: The name of the kind.
    name: str
    #: The relative speed among the kinds of one machine; 0: not known.
    speed: int = 0


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The CPUs of a machine, and how they belong together."""

    #: The CPUs on line, ascending.
    cpus: tuple[Cpu, ...]
    #: The kinds of core, the fastest first.
    kinds: tuple[CoreKind, ...]
    #: The level of each last-level cache.
    cache_levels: tuple[int, ...] = ()
    #: The ids of the CPUs that are off line.
    offline: tuple[int, ...] = ()
    #: The ids of the CPUs that the scheduler moves nothing to (``isolcpus``, or a CPU set that is not balanced).
    isolated: tuple[int, ...] = ()
    #: The ids of the CPUs that this process may use.
    allowed: tuple[int, ...]
    #: The NUMA nodes with CPUs on line whose memory this process may not use (``cpuset.mems``).
    forbidden_memory: tuple[int, ...] = ()
    #: The NUMA nodes with CPUs on line that have no memory.
    without_memory: tuple[int, ...] = ()
    #: The model name of the processor.
    model: str = ""
    #: Whether the processor says that it is virtual; ``None``: not known.
    is_virtual: bool | None = None

    @functools.cached_property
    def by_id(self) -> Mapping[int, Cpu]:
        """The CPUs by their ids."""
        return {cpu.id: cpu for cpu in self.cpus}

    @functools.cached_property
    def cores(self) -> Mapping[int, tuple[int, ...]]:
        """The ids of each core's CPUs on line, ascending, by the core's id."""
        by_core: dict[int, list[int]] = {}
        for cpu in self.cpus:
            by_core.setdefault(cpu.core, []).append(cpu.id)
        return {core: tuple(cpus) for core, cpus in by_core.items()}

    @functools.cached_property
    def usable(self) -> tuple[int, ...]:
        """The CPUs that ``all`` means: those that are allowed and not isolated, else all that are allowed."""
        isolated = {*self.isolated}
        return tuple(cpu for cpu in self.allowed if cpu not in isolated) or self.allowed

    @property
    def online(self) -> tuple[int, ...]:
        """The ids of the CPUs on line."""
        return tuple(cpu.id for cpu in self.cpus)

    @property
    def smt(self) -> bool:
        """Whether any physical core shows as more than one CPU."""
        return len(self.cores) < len(self.cpus)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The NUMA nodes that have CPUs on line; empty where the kernel names none."""
        return tuple(sorted({cpu.node for cpu in self.cpus} - {UNKNOWN}))

    @property
    def without_node(self) -> tuple[int, ...]:
        """The CPUs whose NUMA node the kernel does not name, though it names those of others."""
        return tuple(cpu.id for cpu in self.cpus if cpu.node == UNKNOWN) if self.nodes else ()

    @property
    def caches(self) -> tuple[int, ...]:
        """The last-level caches that CPUs on line have; empty where the kernel names none."""
        return tuple(sorted({cpu.cache for cpu in self.cpus} - {UNKNOWN}))

    @property
    def packages(self) -> tuple[int, ...]:
        """The packages (sockets) that have CPUs on line."""
        return tuple(sorted({cpu.package for cpu in self.cpus}))

    @functools.cached_property
    def foreign(self) -> frozenset[int]:
        """The CPUs on line that this process may not use: what runs on them is not ours."""
        return frozenset(self.online) - {*self.allowed}

    def kind(self, place: int) -> tuple[int, ...]:
        """The CPUs whose cores are of that kind."""
        return tuple(cpu.id for cpu in self.cpus if cpu.kind == place)


def from_stored(stored: Mapping[str, Any]) -> Topology:
    """The topology that a manifest has, in the form of ``dataclasses.asdict``. Raises TypeError for anything else."""
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    cpus = tuple(Cpu(**cpu) for cpu in stored["cpus"])
    return Topology(**plain | {"cpus": cpus, "kinds": tuple(CoreKind(**kind) for kind in stored["kinds"])})


def from_reading(reading: Mapping[str, Any]) -> Topology:
    """The topology in a reading of :mod:`lab.cell.cpus.topology`.

    Raises ValueError, KeyError or TypeError where the reading does not describe one.
    """
    ids = cpulist.parse(reading["online"])
    core = _places((min(cpus), cpus) for cpus in map(cpulist.parse, reading["cores"]))
    package = _places((int(number), cpulist.parse(text)) for number, text in reading["packages"].items())
    node = _places((int(number), cpulist.parse(text)) for number, text in reading["nodes"].items())
    cache = _places((place, cpulist.parse(text)) for place, (_, text) in enumerate(reading["caches"]))
    nodes = {*node.values()}
    have_memory = {*cpulist.parse(reading.get("has_memory") or "")} or nodes
    allowed_memory = {*cpulist.parse(reading.get("memory") or "")} or nodes
    kind = _places((place, cpulist.parse(core_kind["cpus"])) for place, core_kind in enumerate(reading["kinds"]))
    return Topology(
        cpus=tuple(
            Cpu(
                id=cpu,
                core=core.get(cpu, cpu),
                package=package.get(cpu, 0),
                node=node.get(cpu, UNKNOWN),
                cache=cache.get(cpu, UNKNOWN),
                kind=kind.get(cpu, 0),
            )
            for cpu in ids
        ),
        kinds=tuple(
            CoreKind(name=str(core_kind["name"]), speed=int(core_kind["speed"])) for core_kind in reading["kinds"]
        ),
        cache_levels=tuple(int(level) for level, _ in reading["caches"]),
        offline=cpulist.parse(reading["offline"]),
        isolated=cpulist.parse(reading["isolated"]),
        allowed=cpulist.parse(reading["allowed"]),
        forbidden_memory=tuple(sorted((nodes & have_memory) - allowed_memory)),
        without_memory=tuple(sorted(nodes - have_memory)),
        model=str(reading["model"]),
        is_virtual=reading.get("hypervisor"),
    )


def _places(groups: Iterable[tuple[int, tuple[int, ...]]]) -> dict[int, int]:
    """The number of each CPU's group, by the CPU's id."""
    return {cpu: number for number, cpus in groups for cpu in cpus}


def flat(cpus: Iterable[int]) -> Topology:
    """The topology of a machine of which only the CPU ids are known: each CPU is a core, and all are equal."""
    ids = tuple(sorted(set(cpus)))
    return Topology(cpus=tuple(Cpu(id=cpu, core=cpu) for cpu in ids), kinds=(CoreKind(name=""),), allowed=ids)
