"""A small map of a machine's CPUs, as lines of text: which share a core, a cache, a NUMA node, a package. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from lab.cell.cpus import cpulist
from lab.model.topology import UNKNOWN, Cpu, Topology
from lab.text import units

WIDTH = 80

#: A group of more cores than this is shown as a range; more groups than that, the first and the last only.
_MOST_CORES = 8
_MOST_GROUPS = 12
_LONGEST_LIST = 44


def draw(topology: Topology) -> list[str]:
    """The map: a summary, a line for each group of cores that share a last-level cache, and what is not as usual.

    CPUs in parentheses share a core. No line is longer than 80 columns, and no machine takes more than a screen.
    """
    sharing: dict[int, set[int]] = {}
    for cpu in topology.cpus:
        sharing.setdefault(cpu.cache, set()).add(cpu.core)
    groups: dict[tuple[int, int, int], list[Cpu]] = {}
    for cpu in topology.cpus:
        # Where every core has a cache of its own, a line for each would say nothing.
        cache = cpu.cache if max(map(len, sharing.values())) > 1 else UNKNOWN
        groups.setdefault((cpu.package, cpu.node, cache), []).append(cpu)
    keys = sorted(groups, key=lambda key: (key[0], key[1], groups[key][0].id))
    lines = [_summary(topology)]
    hidden = len(keys) - _MOST_GROUPS
    for place, key in enumerate(keys):
        if hidden > 0 and _MOST_GROUPS - 2 <= place < len(keys) - 1:
            if place == _MOST_GROUPS - 2:
                lines.append(f"  … {hidden + 1} more like these …")
            continue
        lines += _wrapped(f"{_place(topology, key)}: {_cores(topology, groups[key])}", "  ")
    return lines + _marks(topology)


def _summary(topology: Topology) -> str:
    cores, caches = len(topology.cores), len({cpu.cache for cpu in topology.cpus} - {UNKNOWN})
    parts = [
        units.cpus(len(topology.cpus)),
        _counted(cores, "core"),
        _counted(len(topology.packages), "package"),
        _counted(len(topology.nodes), "NUMA node") if topology.nodes != (UNKNOWN,) else "no NUMA nodes named",
        _counted(caches, "last-level cache") if caches else "no caches named",
    ]
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _place(topology: Topology, key: tuple[int, int, int]) -> str:
    """Where a group is: ``package 0, node 1, L3``."""
    package, node, cache = key
    parts = [f"package {package}"]
    if node != UNKNOWN:
        parts.append(f"node {node}")
    if cache != UNKNOWN:
        parts.append(f"L{topology.cache_levels[cache]}")
    return ", ".join(parts)


def _cores(topology: Topology, cpus: Sequence[Cpu]) -> str:
    """The cores of a group, by kind: ``performance (0,4) (1,5); efficiency 8 9``."""
    found = []
    for place, kind in enumerate(topology.kinds):
        cores: dict[int, list[int]] = {}
        for cpu in cpus:
            if cpu.kind == place:
                cores.setdefault(cpu.core, []).append(cpu.id)
        if cores:
            name = f"{kind.name} " if kind.name else ""
            found.append(name + _shown([tuple(threads) for threads in cores.values()]))
    return "; ".join(found)


def _shown(cores: Sequence[tuple[int, ...]]) -> str:
    if all(len(core) == 1 for core in cores):
        return _ids(core[0] for core in cores)
    if len(cores) <= _MOST_CORES:
        return " ".join(f"({','.join(map(str, core))})" if len(core) > 1 else str(core[0]) for core in cores)
    threads = sorted({len(core) for core in cores})
    many = f"{threads[0]}" if len(threads) == 1 else f"{threads[0]} to {threads[-1]}"
    return f"{len(cores)} cores with {many} CPUs each: {_ids(cpu for core in cores for cpu in core)}"


def _marks(topology: Topology) -> list[str]:
    """CPUs that are not for everyone."""
    foreign = {*topology.online} - {*topology.allowed}
    found = []
    for what, cpus in (
        ("off line", topology.offline),
        ("isolated from the scheduler", topology.isolated),
        ("not ours to use", tuple(foreign)),
    ):
        if cpus:
            found += _wrapped(f"{what}: {_ids(cpus)}", "  ")
    return found


def _ids(cpus: Iterable[int]) -> str:
    """A list of CPU ids, cut after a line's worth of them."""
    ids = sorted(cpus)
    text = cpulist.render(ids)
    if len(text) <= _LONGEST_LIST:
        return text
    return f"{text[:_LONGEST_LIST].rpartition(',')[0]},… ({len(ids)} of them)"


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent * 2, break_on_hyphens=False)
