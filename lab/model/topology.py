"""The CPUs of one machine and how they belong together, as data: what :mod:`lab.cell.cpus.topology` reads, in ids.

Pure, and below the model: a machine has a topology.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cell.cpus import cpulist

#: The number of a NUMA node or a cache that the kernel does not tell of.
UNKNOWN = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpu:
    """One CPU (hardware thread) that is on line. ``core`` is the lowest id of those that share its physical core;
    ``package`` and ``node`` are the kernel's numbers; ``cache`` and ``kind`` are places in the topology's tuples."""

    id: int
    core: int
    package: int = 0
    node: int = UNKNOWN
    cache: int = UNKNOWN
    kind: int = 0


@dataclass(frozen=True, kw_only=True)
class CoreKind:
    """A kind of core. ``speed`` compares kinds of one machine; 0 where nothing tells it."""

    name: str
    speed: int = 0


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A machine: its CPUs on line, ascending; its kinds of core, the fastest first; the level of each last-level cache;
    ids that are there but off line, set apart from the scheduler (``isolcpus``), and allowed to us."""

    cpus: tuple[Cpu, ...]
    kinds: tuple[CoreKind, ...]
    cache_levels: tuple[int, ...] = ()
    offline: tuple[int, ...] = ()
    isolated: tuple[int, ...] = ()
    allowed: tuple[int, ...]
    model: str = ""

    @functools.cached_property
    def by_id(self) -> Mapping[int, Cpu]:
        return {cpu.id: cpu for cpu in self.cpus}

    @functools.cached_property
    def cores(self) -> Mapping[int, tuple[int, ...]]:
        """Core -> its CPUs on line, ascending."""
        found: dict[int, list[int]] = {}
        for cpu in self.cpus:
            found.setdefault(cpu.core, []).append(cpu.id)
        return {core: tuple(cpus) for core, cpus in found.items()}

    @functools.cached_property
    def usable(self) -> tuple[int, ...]:
        """What ``all`` means: the CPUs allowed to us without the isolated ones, or these where there are no others."""
        isolated = {*self.isolated}
        return tuple(cpu for cpu in self.allowed if cpu not in isolated) or self.allowed

    @property
    def online(self) -> tuple[int, ...]:
        return tuple(cpu.id for cpu in self.cpus)

    @property
    def smt(self) -> bool:
        """Whether any physical core shows as more than one CPU."""
        return len(self.cores) < len(self.cpus)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The NUMA nodes that have CPUs on line; without any word of them, one."""
        return tuple(sorted({cpu.node for cpu in self.cpus}))

    @property
    def packages(self) -> tuple[int, ...]:
        return tuple(sorted({cpu.package for cpu in self.cpus}))

    def kind(self, place: int) -> tuple[int, ...]:
        """The CPUs whose cores are of that kind."""
        return tuple(cpu.id for cpu in self.cpus if cpu.kind == place)


def from_stored(stored: Mapping[str, Any]) -> Topology:
    """A topology that ``dataclasses.asdict`` and JSON have taken apart. Raises TypeError for anything else."""
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    cpus = tuple(Cpu(**one) for one in stored["cpus"])
    return Topology(**plain | {"cpus": cpus, "kinds": tuple(CoreKind(**one) for one in stored["kinds"])})


def from_reading(reading: Mapping[str, Any]) -> Topology:
    """The topology that :func:`lab.cell.cpus.topology.read` describes. Raises ValueError, KeyError or TypeError where
    it does not describe one."""
    ids = cpulist.parse(reading["online"])
    core = _places((min(cpus), cpus) for cpus in map(cpulist.parse, reading["cores"]))
    package = _places((int(number), cpulist.parse(text)) for number, text in reading["packages"].items())
    node = _places((int(number), cpulist.parse(text)) for number, text in reading["nodes"].items())
    cache = _places((place, cpulist.parse(text)) for place, (_, text) in enumerate(reading["caches"]))
    kind = _places((place, cpulist.parse(one["cpus"])) for place, one in enumerate(reading["kinds"]))
    return Topology(
        cpus=tuple(
            Cpu(
                id=one,
                core=core.get(one, one),
                package=package.get(one, 0),
                node=node.get(one, UNKNOWN),
                cache=cache.get(one, UNKNOWN),
                kind=kind.get(one, 0),
            )
            for one in ids
        ),
        kinds=tuple(CoreKind(name=str(one["name"]), speed=int(one["speed"])) for one in reading["kinds"]),
        cache_levels=tuple(int(level) for level, _ in reading["caches"]),
        offline=cpulist.parse(reading["offline"]),
        isolated=cpulist.parse(reading["isolated"]),
        allowed=cpulist.parse(reading["allowed"]),
        model=str(reading["model"]),
    )


def _places(groups: Iterable[tuple[int, tuple[int, ...]]]) -> dict[int, int]:
    """CPU -> the number of its group."""
    return {cpu: number for number, cpus in groups for cpu in cpus}


def flat(cpus: Iterable[int]) -> Topology:
    """A machine of which only the CPU ids are known: a core each, all alike."""
    ids = tuple(sorted(set(cpus)))
    return Topology(cpus=tuple(Cpu(id=one, core=one) for one in ids), kinds=(CoreKind(name=""),), allowed=ids)
