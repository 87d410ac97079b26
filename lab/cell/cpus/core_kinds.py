"""Kinds of core: which cores are alike, the fastest kind first.

Equal cores differ in their highest frequency by a few percent (turbo bins, preferred cores), so a frequency is the last
thing to ask. First comes what the kernel says of the kind itself:

- the performance-monitoring unit that counts for a CPU (``cpu_core``, ``cpu_atom``, ``cpu_lowpower``; see
  tools/perf/Documentation/intel-hybrid.txt);
- the part number in ARM's MIDR_EL1 (Arm Architecture Reference Manual);
- the capacity that the scheduler uses (``cpu_capacity``).
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from lab.cell.cpus.sysfs import Tree, listed

#: The units of Intel's hybrids, the fastest first, and what their cores are called.
_UNITS = {"cpu_core": "performance", "cpu_atom": "efficiency", "cpu_lowpower": "low-power"}

#: Two neighbours in a row of ascending values are of different kinds when they are further apart than this factor.
#: Capacities: some are computed from the highest frequency, and then turbo bins show in them too (1024 and 985).
_CAPACITIES_APART = 1.055
#: Highest frequencies where nothing else tells cores apart. The farthest turbo bins seen are 3.5 and 4.0 GHz (1.14, a
#: Broadwell-E with one favoured core); the nearest kinds 4.6 and 5.4 GHz (1.17, Arrow Lake).
_FREQUENCIES_APART = 1.15
#: The same among cores that the kernel calls alike: low-power efficiency cores count with the others' unit and are 1.5
#: times slower.
_ALIKE_APART = 1.3

#: What else says how fast a core can get, the best first: the highest frequency in kHz, the highest performance as the
#: firmware counts it, the frequency without turbo.
_SPEEDS = ("cpufreq/cpuinfo_max_freq", "acpi_cppc/highest_perf", "cpufreq/base_frequency")


class CoreGroup(NamedTuple):
    """Cores that are alike."""

    #: The name of the kind.
    name: str
    #: A capacity or a frequency, comparable only within this machine; 0 where nothing tells it.
    speed: int
    #: The CPUs of these cores.
    cpus: Tuple[int, ...]


def kinds_of(tree: Tree, cores: Sequence[Tuple[int, ...]]) -> List[CoreGroup]:
    """The kinds of these cores (each a tuple of CPUs), the fastest first; none where there are no cores."""
    if not cores:
        return []
    units = _units(tree, cores)
    marks = units or _parts(tree, cores) or _first_level_caches(tree, cores)
    groups: Dict[object, List[Tuple[int, ...]]] = {}
    for number, core in enumerate(cores):
        groups.setdefault(marks[number] if marks else None, []).append(core)
    capacities = _numbers(tree, cores, "cpu_capacity")
    speeds = capacities or next(filter(None, (_numbers(tree, cores, name) for name in _SPEEDS)), {})
    apart = _CAPACITIES_APART if capacities else _ALIKE_APART if marks else _FREQUENCIES_APART
    split = [
        (unit if units else "", part) for unit, group in groups.items() for part in _clusters(group, speeds, apart)
    ]
    order = list(_UNITS)

    def rank(entry: Tuple[object, List[Tuple[int, ...]]]) -> Tuple[int, int, int, int]:
        unit, group = entry
        fastest = max(speeds.get(core, 0) for core in group)
        place = order.index(str(unit)) if unit in order else len(order)
        return (place, -fastest, -max(map(len, group)), group[0][0])

    ranked = sorted(split, key=rank)
    names = _names([str(unit) for unit, _ in ranked])
    return [
        CoreGroup(
            name, max(speeds.get(core, 0) for core in group), tuple(sorted(cpu for core in group for cpu in core))
        )
        for name, (_, group) in zip(names, ranked)
    ]


def _units(tree: Tree, cores: Sequence[Tuple[int, ...]]) -> Optional[List[object]]:
    """The monitoring unit of each core; ``None`` unless there are two kinds of them here."""
    lists = {unit: listed(tree.text("sys/devices", unit, "cpus")) for unit in _UNITS}
    units: List[object] = [next((unit for unit in lists if core[0] in lists[unit]), "") for core in cores]
    return units if len(set(units) - {""}) > 1 else None


def _parts(tree: Tree, cores: Sequence[Tuple[int, ...]]) -> Optional[List[object]]:
    """(implementer, part) of each core on ARM, without variant and revision; ``None`` where one does not say."""
    parts: List[object] = []
    for core in cores:
        register = tree.cpu(core[0], "regs/identification/midr_el1")
        if re.fullmatch("(0x)?[0-9a-fA-F]{1,16}", register):
            value = int(register, 16)
            parts.append((value >> 24 & 0xFF, value >> 4 & 0xFFF))
            continue
        # Before Linux 4.8 ARM has the part only in /proc/cpuinfo, and other processors never do.
        # Reading that file is slow, so it is read only where it was read before or the cores have capacities.
        fields = tree.cpuinfo.get(core[0], {}) if tree.knows_cpuinfo or tree.cpu(core[0], "cpu_capacity") else {}
        if not fields.get("CPU part"):
            return None
        parts.append((fields.get("CPU implementer"), fields["CPU part"]))
    return parts


def _first_level_caches(tree: Tree, cores: Sequence[Tuple[int, ...]]) -> Optional[List[object]]:
    """The sizes of each core's own first-level caches; ``None`` where a core tells none, or all cores have the same.

    They differ between the kinds of a hybrid processor, and never within a kind.
    """
    caches: List[object] = []
    for core in cores:
        sizes = []
        for name in ("index0", "index1"):
            if tree.cpu(core[0], "cache/%s/level" % name) == "1":
                sizes.append((tree.cpu(core[0], "cache/%s/type" % name), tree.cpu(core[0], "cache/%s/size" % name)))
        if not sizes or not all(size for _, size in sizes):
            return None
        caches.append(tuple(sorted(sizes)))
    return caches if len(set(caches)) > 1 else None


def _numbers(tree: Tree, cores: Sequence[Tuple[int, ...]], name: str) -> Dict[Tuple[int, ...], int]:
    """Core -> the number in that file; empty unless every core has one above 0."""
    numbers = {core: tree.number(core[0], name) or 0 for core in cores}
    return numbers if all(numbers.values()) else {}


def _clusters(
    cores: Sequence[Tuple[int, ...]], speeds: Dict[Tuple[int, ...], int], apart: float
) -> List[List[Tuple[int, ...]]]:
    """The cores in groups of about the same speed: a new one begins where two neighbours lie further apart."""
    groups: List[List[Tuple[int, ...]]] = []
    last = 0
    for core in sorted(cores, key=lambda core: (speeds.get(core, 0), core)):
        speed = speeds.get(core, 0)
        if not groups or speed > last * apart:
            groups.append([])
        groups[-1].append(core)
        last = speed
    return [sorted(group) for group in groups]


def _names(units: Sequence[str]) -> List[str]:
    """What to call the kinds: by their unit where the kernel names one, else by their place in the row."""
    if len(units) == 1:
        return [""]
    names = []
    for place, unit in enumerate(units):
        if unit in _UNITS:
            name = _UNITS[unit]
            names.append("low-power" if name in names and name == "efficiency" else name)
        else:
            last = "efficiency" if place == len(units) - 1 else "middle"
            names.append("performance" if place == 0 else last)
    return [
        "%s %d" % (name, names[:place].count(name) + 1) if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]
