"""A small map of a machine's CPUs as lines of text: which CPUs share a core, cache, NUMA node or package. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from lab.cell.cpus import cpulist
from lab.model.topology import UNKNOWN, Cpu, Topology
from lab.reports.tables import limits
from lab.text import units

WIDTH = 80

#: A group of more cores than this is shown as a range.
_MOST_CORES = 8

#: If a machine has more groups than this, only the first groups and the last group are shown.
_MOST_GROUPS = 12

#: The most characters of a list of CPU ids.
_LONGEST_LIST = 44

#: The numbers of the packages, NUMA nodes and last-level caches that a core is in: one each, unless these cut cores.
_Place = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def draw_map(topology: Topology) -> list[str]:
    """The map: a summary, a line for each group of cores that share a last-level cache, and the CPUs that are special.

    CPUs in parentheses share a core. No line is longer than 80 columns, and no machine takes more than a screen.
    """
    groups = _groups(topology)
    keys = sorted(groups, key=lambda key: (key[0], key[1], groups[key][0].id))
    lines = [_summary(topology)]
    hidden = len(keys) - _MOST_GROUPS
    for place, key in enumerate(keys):
        if hidden > 0 and _MOST_GROUPS - 2 <= place < len(keys) - 1:
            if place == _MOST_GROUPS - 2:
                lines.append(f"  … {hidden + 1} more such groups …")
            continue
        lines += _wrapped(f"{_place(topology, key)}: {_cores(topology, groups[key])}", "  ")
    return lines + _special_cpus(topology)


def _groups(topology: Topology) -> dict[_Place, list[Cpu]]:
    """The CPUs by where their cores are. A core stays whole, also where a NUMA node cuts it."""
    sharing: dict[int, set[int]] = {}
    for cpu in topology.cpus:
        sharing.setdefault(cpu.cache, set()).add(cpu.core)
    # If every core has its own cache, a line for each cache would say nothing.
    shared = max(map(len, sharing.values()), default=0) > 1
    groups: dict[_Place, list[Cpu]] = {}
    for core in topology.cores.values():
        cpus = [topology.by_id[cpu] for cpu in core]
        packages, nodes = ({getattr(cpu, name) for cpu in cpus} for name in ("package", "node"))
        caches = {cpu.cache for cpu in cpus if shared}
        groups.setdefault((_known(packages), _known(nodes), _known(caches)), []).extend(cpus)
    return groups


def _known(numbers: set[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers - {UNKNOWN}))


def _summary(topology: Topology) -> str:
    parts = [
        units.cpus(len(topology.cpus)),
        units.counted(len(topology.cores), "core"),
        units.counted(len(topology.packages), "package"),
        units.counted(len(topology.nodes), "NUMA node") if topology.nodes else "NUMA nodes unknown",
        units.counted(len(topology.caches), "last-level cache") if topology.caches else "caches unknown",
    ]
    return ", ".join(parts)


def _place(topology: Topology, key: _Place) -> str:
    """Where a group is: ``package 0, node 1, L3``; where nodes cut cores: ``nodes 0-1``."""
    packages, nodes, caches = key
    parts = [
        f"{noun}{'s' * (len(numbers) > 1)} {cpulist.render(numbers)}"
        for noun, numbers in (("package", packages), ("node", nodes))
        if numbers
    ]
    if topology.nodes and not nodes:
        parts.append("no node known")
    parts += sorted({f"L{topology.cache_levels[cache]}" for cache in caches})
    return ", ".join(parts)


def _cores(topology: Topology, cpus: Sequence[Cpu]) -> str:
    """The cores of a group, by kind: ``performance (0,4) (1,5); efficiency 8 9``."""
    groups = []
    for place, kind in enumerate(topology.kinds):
        cores: dict[int, list[int]] = {}
        for cpu in cpus:
            if cpu.kind == place:
                cores.setdefault(cpu.core, []).append(cpu.id)
        if cores:
            name = f"{kind.name} " if kind.name else ""
            groups.append(name + _cores_text([tuple(threads) for threads in cores.values()]))
    return "; ".join(groups)


def _cores_text(cores: Sequence[tuple[int, ...]]) -> str:
    if all(len(core) == 1 for core in cores):
        return _ids(core[0] for core in cores)
    if len(cores) <= _MOST_CORES:
        return " ".join(f"({','.join(map(str, core))})" if len(core) > 1 else str(core[0]) for core in cores)
    threads = sorted({len(core) for core in cores})
    many = f"{threads[0]}" if len(threads) == 1 else f"{threads[0]} to {threads[-1]}"
    return f"{len(cores)} cores with {many} CPUs each: {_ids(cpu for core in cores for cpu in core)}"


def _special_cpus(topology: Topology) -> list[str]:
    """Lines about the CPUs that this process cannot use like the others."""
    lines = []
    for description, cpus in (
        ("offline", topology.offline),
        ("isolated from the scheduler", topology.isolated),
        ("in no NUMA node that the kernel names", topology.without_node),
        (
            "in a NUMA node whose memory is forbidden (cpuset.mems)",
            tuple(cpu.id for cpu in topology.cpus if cpu.node in topology.forbidden_memory),
        ),
        (
            "in a NUMA node without memory",
            tuple(cpu.id for cpu in topology.cpus if cpu.node in topology.without_memory),
        ),
        ("outside this process's CPU affinity", tuple(topology.foreign)),
    ):
        if cpus:
            lines += _wrapped(f"{description}: {_ids(cpus)}", "  ")
    return lines


def _ids(cpus: Iterable[int]) -> str:
    """A list of CPU ids; a list that is too long for a line is cut."""
    ids = sorted(cpus)
    text = limits.short_ids(ids, _LONGEST_LIST)
    return f"{text} ({len(ids)} CPUs)" if text.endswith("…") else text


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent * 2, break_on_hyphens=False)
