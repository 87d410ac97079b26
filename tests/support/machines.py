"""Machines that nobody has at hand: kernel trees built from a short description, and topologies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.cell.cpus import cpulist
from lab.cell.cpus import topology as reader
from lab.model import topology as hardware
from lab.model.topology import CoreKind, Cpu, Topology
from tests.support.memory_files import MemoryFiles


@dataclass(frozen=True, kw_only=True)
class Core:
    """A core of a described machine: its CPU ids, and what the kernel says of each of them."""

    cpus: tuple[int, ...]
    package: int = 0
    node: int | None = 0
    cache: int | None = 0  # cores with the same number share their last-level cache
    unit: str | None = None
    capacity: int | None = None
    midr: str | None = None
    max_khz: int | None = None
    base_khz: int | None = None
    l1: str | None = None
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Cores, and how much of them the kernel tells: ``masks`` is an old one's way, without a list of CPUs on line."""

    cores: tuple[Core, ...]
    offline: tuple[int, ...] = ()
    isolated: tuple[int, ...] = ()
    masks: bool = False
    topology: bool = True
    extra: Mapping[str, str] | None = None

    @property
    def online(self) -> list[int]:
        return sorted({cpu for core in self.cores for cpu in core.cpus} - {*self.offline})


def cores(count: int, threads: int = 1, *, first: int = 0, apart: int | None = None, **same: Any) -> list[Core]:
    """That many equal cores from CPU ``first`` on; ``apart`` is the distance of two siblings (default: neighbours)."""
    made = []
    for place in range(count):
        start = first + place * (threads if apart is None else 1)
        ids = tuple(start + thread * (1 if apart is None else apart) for thread in range(threads))
        made.append(replace(Core(cpus=ids, number=place), **same))
    return made


def machine(*groups: Sequence[Core], **more: Any) -> Machine:
    """A machine of these groups of cores."""
    return replace(Machine(cores=tuple(core for group in groups for core in group)), **more)


def build(made: Machine, root: Path) -> Path:
    """Write the machine's tree below ``root``."""
    for name, text in files(made).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def files(made: Machine) -> dict[str, str]:
    """The machine's tree: path -> text."""
    off = {*made.offline}
    everyone = sorted(cpu for core in made.cores for cpu in core.cpus)
    shown: Callable[[Collection[int]], str] = mask if made.masks else cpulist.render
    suffix = "" if made.masks else "_list"
    cpus = "sys/devices/system/cpu"
    tree = {f"{cpus}/kernel_max": "1023"}
    if not made.masks:
        tree |= {f"{cpus}/online": cpulist.render(made.online), f"{cpus}/present": cpulist.render(everyone)}
        tree |= {f"{cpus}/offline": cpulist.render(off), f"{cpus}/isolated": cpulist.render(made.isolated)}
    caches, nodes, units = _members(made, "cache"), _members(made, "node"), _members(made, "unit")
    for core in made.cores:
        threads = {*core.cpus} - off
        for cpu in core.cpus:
            here = f"{cpus}/cpu{cpu}"
            if cpu or cpu in off:
                tree[f"{here}/online"] = "0" if cpu in off else "1"
            if cpu in off:
                continue
            if made.topology:
                tree[f"{here}/topology/thread_siblings{suffix}"] = shown(threads)
                tree[f"{here}/topology/core_id"] = str(core.number)
                tree[f"{here}/topology/physical_package_id"] = str(core.package)
            # The order of the indices is not that of the levels.
            tree |= _cache(f"{here}/cache/index0", 1, "Data", threads, shown, suffix, core.l1)
            if core.cache is not None:
                tree |= _cache(f"{here}/cache/index1", 3, "Unified", caches[core.cache], shown, suffix, None)
                tree |= _cache(f"{here}/cache/index2", 2, "Unified", threads, shown, suffix, None)
            for name, value in (
                ("cpu_capacity", core.capacity),
                ("regs/identification/midr_el1", core.midr),
                ("cpufreq/cpuinfo_max_freq", core.max_khz),
                ("cpufreq/base_frequency", core.base_khz),
            ):
                if value is not None:
                    tree[f"{here}/{name}"] = str(value)
    for node, members in nodes.items():
        tree[f"sys/devices/system/node/node{node}/" + ("cpumap" if made.masks else "cpulist")] = shown(members)
    for unit, members in units.items():
        tree[f"sys/devices/{unit}/cpus"] = cpulist.render(members)
    return {**tree, **(made.extra or {})}


def _members(made: Machine, name: str) -> dict[object, set[int]]:
    members: dict[object, set[int]] = {}
    for core in made.cores:
        group = getattr(core, name)
        if group is not None:
            members.setdefault(group, set()).update({*core.cpus} - {*made.offline})
    return members


def _cache(
    folder: str,
    level: int,
    kind: str,
    cpus: Collection[int],
    shown: Callable[[Collection[int]], str],
    suffix: str,
    size: str | None,
) -> dict[str, str]:
    name = "shared_cpu_map" if not suffix else "shared_cpu_list"
    tree = {f"{folder}/level": str(level), f"{folder}/type": kind, f"{folder}/{name}": shown(cpus)}
    return {**tree, f"{folder}/size": size} if size else tree


def mask(cpus: Collection[int]) -> str:
    """A kernel mask: hexadecimal, 32 bits a group."""
    bits = sum(1 << cpu for cpu in cpus)
    groups: list[str] = []
    while bits or not groups:
        groups.append(f"{bits & 0xFFFFFFFF:08x}")
        bits >>= 32
    return ",".join(reversed(groups))


def in_memory(made: Machine) -> MemoryFiles:
    """The machine's tree, which needs no file system."""
    return MemoryFiles({name.encode(): f"{text}\n".encode() for name, text in files(made).items()})


def topology_of(made: Machine) -> Topology:
    """The machine's topology, read from its tree."""
    return hardware.from_reading(reader.read_topology(in_memory(made)))


def simulated(
    cores: int,
    *,
    threads: int = 1,
    packages: int = 1,
    nodes: int = 1,
    per_cache: int = 8,
    first: int = 0,
    step: int = 1,
) -> Topology:
    """A regular machine without a tree: siblings as far apart as there are cores; ids ``step`` apart."""

    def cpu(number: int) -> Cpu:
        core = number % cores
        return Cpu(
            id=first + number * step,
            core=first + core * step,
            package=core * packages // cores,
            node=core * nodes // cores,
            cache=core // per_cache,
        )

    made = tuple(cpu(number) for number in range(cores * threads))
    levels = (3,) * len({cpu.cache for cpu in made})
    return Topology(cpus=made, kinds=(CoreKind(name=""),), cache_levels=levels, allowed=tuple(cpu.id for cpu in made))
