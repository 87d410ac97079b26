"""The CPUs of a machine as the kernel describes them, read below a root that is given.

Sources: the kernel's Documentation/admin-guide/cputopology.rst and ABI/testing/sysfs-devices-system-cpu
(``topology/*``, ``cache/index*``), ABI/stable/sysfs-devices-node (``node*/cpulist``), man 5 proc (``cpuinfo``). Which
file is believed before which other one, and why: docs/topology.md. This runs on the machine that is looked at, which
may be an engine's, behind a probe; a file that is missing or makes no sense counts as not there.
"""

from __future__ import annotations

import os
import re
from typing import Any, Collection, Mapping, Optional, Sequence, Tuple

from lab.cell.cpus import core_kinds as kinds_of_core
from lab.cell.cpus import cpulist
from lab.cell.cpus.affinity import affinity, status
from lab.cell.cpus.cgroups import look
from lab.cell.cpus.cpulist import members
from lab.cell.cpus.kernel_files import Root, files_below
from lab.cell.cpus.sysfs import Tree, listed

#: A core, as the CPUs (hardware threads) in it that are on line, ascending.
Core = Tuple[int, ...]

#: Where a core's threads stand: lists first, then the masks that old kernels have; the older names last.
_SIBLINGS = tuple(
    "topology/" + name for name in ("core_cpus_list", "thread_siblings_list", "core_cpus", "thread_siblings")
)

#: Where a package's CPUs stand: lists first, then masks; the older names last.
_PACKAGE = tuple(
    "topology/" + name for name in ("package_cpus_list", "core_siblings_list", "package_cpus", "core_siblings")
)

#: The lines of /proc/cpuinfo that name the processor, on one architecture or another.
_MODEL_NAMES = ("model name", "Model", "cpu model", "cpu", "uarch", "Hardware", "vendor_id", "Processor")


def read_topology(root: Root = "/", allowed: Optional[Collection[int]] = None) -> dict[str, Any]:
    """The machine below ``root`` as a JSON-able dict; CPUs are written as kernel lists (``0-3,8``).

    - ``online``, ``offline`` (switched off) and ``isolated`` (the scheduler moves nothing to them) are lists;
    - ``allowed`` is the list of the CPUs that we may use: the argument, else what the files say of ``proc/self``;
    - ``memory`` is the list of the NUMA nodes whose memory we may use, and empty where nothing tells it;
    - ``has_memory`` is the list of the NUMA nodes that have memory at all, and empty where nothing tells it;
    - ``cores`` has a list for each physical core, ``packages`` and ``nodes`` a list for each number;
    - ``caches`` has (level, list) for each last-level cache;
    - ``kinds`` has the name, ``speed`` (0: unknown) and CPUs of each kind of core, the fastest first;
    - ``model`` is the name of the processor;
    - ``hypervisor`` is whether it says that it is virtual (x86); ``None`` where it says nothing of what it can do.

    Where the tree has no CPU, all of them are empty.
    """
    files = files_below(root)
    tree = Tree(files)
    mask = set(allowed) if allowed is not None else affinity(files)
    online = online_cpus(tree, mask or ())
    cores = cores_of(tree, online)
    present = listed(tree.text(tree.cpus, "present")) | tree.cpu_folders()
    groups = look(files)
    usable = set(mask or (members(groups.cpuset) or set()) & set(online) or online)
    isolated = listed(tree.text(tree.cpus, "isolated")) & set(online) | groups.unbalanced(usable)
    return {
        "model": next((tree.cpuinfo_line(name) for name in _MODEL_NAMES if tree.cpuinfo_line(name)), ""),
        "hypervisor": "hypervisor" in tree.cpuinfo_line("flags").split() if tree.cpuinfo_line("flags") else None,
        "online": cpulist.render(online),
        "offline": cpulist.render(present - set(online)),
        "isolated": cpulist.render(isolated),
        "allowed": cpulist.render(usable),
        "memory": cpulist.render(members(status(files, "Mems_allowed_list")) or members(groups.memory) or ()),
        "has_memory": cpulist.render(listed(tree.text("sys/devices/system/node/has_memory"))),
        "cores": [cpulist.render(core) for core in cores],
        "packages": _written(_packages(tree, cores)),
        "nodes": _written(_nodes(tree, online)),
        "caches": [[level, cpulist.render(cpus)] for level, cpus in _caches(tree, online)],
        "kinds": [
            {"name": kind.name, "speed": kind.speed, "cpus": cpulist.render(kind.cpus)}
            for kind in kinds_of_core.kinds_of(tree, cores)
        ],
    }


def online_cpus(tree: Tree, mask: Collection[int] = ()) -> list[int]:
    """The CPUs that are on line, ascending. ``mask`` are CPUs that a process may run on, so that they are on line.

    The kernel's list tells them, unless it leaves out CPUs of the mask, or CPUs whose own switch is on. Then something
    made it up, such as lxcfs, and it does not count. Where there is no list that counts, the switch of each CPU tells
    them; a CPU that cannot be switched off has no switch. Without either, /proc/cpuinfo and /proc/stat tell them, which
    show only CPUs on line. Where there is no kernel of Linux, they are numbered from 0.
    """
    cpus = listed(tree.text(tree.cpus, "online"))
    if not cpus.issuperset(mask) or any(tree.cpu(cpu, "online") == "1" for cpu in tree.cpu_folders() - cpus):
        cpus = set()
    if not cpus:
        cpus = {cpu for cpu in tree.cpu_folders() if tree.cpu(cpu, "online") != "0"}
    if not cpus:
        cpus = set(tree.cpuinfo)
    if not cpus:
        cpus = {int(cpu) for cpu in re.findall(r"^cpu(\d{1,6})\s", tree.text("proc/stat"), re.MULTILINE)}
    if not cpus and tree.are_of_this_process:
        cpus = set(range(os.cpu_count() or 1))
    return sorted(cpus.union(mask))


def cores_of(tree: Tree, cpus: Sequence[int]) -> list[Core]:
    """The physical cores that these CPUs are threads of, each with those of its threads that are among these CPUs.

    The files of one thread are enough. A CPU of which nothing is known is taken for a core.
    """
    unseen, cores = set(cpus), []
    for cpu in cpus:
        siblings = tree.cpus_in(cpu, *_SIBLINGS) if cpu in unseen else ()
        if siblings:
            core = tuple(sorted(siblings & unseen))
            unseen.difference_update(core)
            cores.append(core)
    by_number: dict[tuple[int, ...], list[int]] = {}
    for cpu in sorted(unseen):
        by_number.setdefault(_core_number(tree, cpu) or (-1, cpu), []).append(cpu)
    cores.extend(tuple(same) for same in by_number.values())
    return sorted(cores)


def _core_number(tree: Tree, cpu: int) -> Optional[Tuple[int, ...]]:
    """The numbers that identify a CPU's core, where the kernel does not list its siblings; ``None`` if unknown.

    A core's own number is not enough, because each package and each die may number its cores from 0.
    The numbers are used only where /proc/cpuinfo does not say that cores have one thread each.
    """
    fields = tree.cpuinfo.get(cpu, {})
    if fields.get("siblings") and fields.get("siblings") == fields.get("cpu cores"):
        return None
    core = tree.number(cpu, "topology/core_id", fields.get("core id"))
    package = tree.number(cpu, "topology/physical_package_id", fields.get("physical id"))
    if core is None or package is None:
        return None
    return (package, tree.number(cpu, "topology/die_id") or 0, core)


def _packages(tree: Tree, cores: Sequence[Core]) -> dict[int, list[int]]:
    """Package number -> CPUs.

    The kernel's list of a package's CPUs tells them, and its number only where there is no list. Packages are numbered
    here where the kernel's numbers are missing or are not unique: on s390 every book counts its sockets from 0.
    """
    packages: dict[object, list[int]] = {}
    numbers: dict[object, Optional[int]] = {}
    package_of = {cpu: package for package in _listed_packages(tree, cores) for cpu in package}
    for core in cores:
        number = tree.number(core[0], "topology/physical_package_id", tree.cpuinfo.get(core[0], {}).get("physical id"))
        book, drawer = (tree.number(core[0], "topology/%s_id" % name) or 0 for name in ("book", "drawer"))
        key: object = package_of.get(core[0]) or (drawer, book, number or 0)
        packages.setdefault(key, []).extend(core)
        numbers.setdefault(key, number)
    if None in numbers.values() or len(set(numbers.values())) < len(numbers):
        ordered = sorted(packages.values(), key=min)
        return dict(enumerate(ordered))
    return {number: packages[key] for key, number in numbers.items() if number is not None}


def _listed_packages(tree: Tree, cores: Sequence[Core]) -> list[frozenset[int]]:
    """The packages that a file of one of their CPUs lists."""
    packages: list[frozenset[int]] = []
    unseen = {cpu for core in cores for cpu in core}
    for cpu in sorted(unseen):
        package = frozenset(tree.cpus_in(cpu, *_PACKAGE) if cpu in unseen else ())
        unseen -= package
        packages.append(package)
    return packages


def _nodes(tree: Tree, online: Sequence[int]) -> dict[int, list[int]]:
    """NUMA node -> CPUs; empty where the kernel names none. A node may have memory only: it is left out."""
    unseen, nodes = set(online), {}
    for node, folder in tree.node_folders():
        cpus = (listed(tree.text(folder, "cpulist")) or tree.masked(folder, "cpumap")) & unseen
        if cpus:
            unseen -= cpus
            nodes[node] = sorted(cpus)
    for cpu in sorted(unseen) if not nodes else ():
        numbers = [int(name[4:]) for name in tree.names(tree.cpu_folder(cpu)) if re.fullmatch(r"node\d{1,6}", name)]
        if numbers:
            nodes.setdefault(min(numbers), []).append(cpu)
    return nodes


def _caches(tree: Tree, online: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Each last-level cache, as (level, the CPUs that share it).

    The last level is the highest one, whatever its index. Level 1 does not count, because each core has its own.
    """
    unseen, caches = set(online), []
    for cpu in online:
        if cpu not in unseen:
            continue
        last: tuple[int, set[int]] = (1, set())
        for name in tree.names(tree.cpu_folder(cpu, "cache")):
            level = tree.number(cpu, "cache/%s/level" % name) or 0
            if name.startswith("index") and level > last[0] and tree.cpu(cpu, "cache/%s/type" % name) != "Instruction":
                shared = tree.cpus_in(cpu, "cache/%s/shared_cpu_list" % name, "cache/%s/shared_cpu_map" % name)
                if shared:
                    last = (level, shared)
        if last[1]:
            group = sorted((last[1] & unseen) | {cpu})
            unseen.difference_update(group)
            caches.append((last[0], group))
    return caches


def _written(groups: Mapping[int, Sequence[int]]) -> dict[str, str]:
    return {str(number): cpulist.render(groups[number]) for number in sorted(groups)}


def siblings(cpus: Sequence[int], root: Root = "/") -> list[list[int]]:
    """Those of these CPUs that share a physical core, a list for each such core."""
    return [list(core) for core in cores_of(Tree(root), cpus) if len(core) > 1]


def kinds(cpus: Sequence[int], root: Root = "/") -> int:
    """Of how many kinds the cores of these CPUs are; 1 where nothing tells them apart."""
    tree = Tree(root)
    return max(len(kinds_of_core.kinds_of(tree, cores_of(tree, cpus))), 1)
