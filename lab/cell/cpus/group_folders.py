"""The folders of this process's control groups: its group in each hierarchy, found in what is mounted.

Sources: man 7 cgroups, man 7 cgroup_namespaces, man 5 proc (``cgroup``, ``mountinfo``). Nothing is assumed: a folder is
this process's only where a mount shows the group by its name, or the folder lists this process's id.
"""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional, Sequence

from lab.cell.cpus.kernel_files import KernelFiles

#: The top of a mount that shows what is above this namespace.
_ABOVE = re.compile(r"(/\.\.)+")

#: How many folders are looked at to find this process by its id.
_MOST_FOLDERS = 4000


class _Mount(NamedTuple):
    """A mounted hierarchy: the group that is its top, and the folder (below the root) where that shows."""

    top: str
    point: str


def group_folders(files: KernelFiles, controllers: Sequence[str], odd: List[str]) -> List[List[str]]:
    """For each of the controllers the folders of this process's group and of the levels above it, its own first.

    Version 2 has the name ``""``. A controller that is not mounted has no folder. What cannot be is added to ``odd``.
    """
    groups, mounts = _groups(files), _mounts(files)
    return [
        _levels(files, mounts[controller], groups[controller], odd)
        if controller in groups and controller in mounts
        else []
        for controller in controllers
    ]


def _groups(files: KernelFiles) -> dict[str, str]:
    """Controller name -> this process's group; the v2 hierarchy has the name ``""``. See man 7 cgroups."""
    groups = {}
    for line in files.lines(files.path("proc/self/cgroup")):
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups.update(dict.fromkeys(fields[1].split(","), fields[2]))
    if not groups:  # a captured tree may have only what man 7 cpuset describes
        group = files.text(files.path("proc/self/cpuset"))
        return dict.fromkeys(("cpuset", ""), group) if group else {}
    return groups


def _mounts(files: KernelFiles) -> dict[str, List[_Mount]]:
    """Controller name -> where it is mounted, the last first; v2 has the name ``""``. See man 5 proc, mountinfo.

    What is mounted later covers what was mounted before on the same point, and below it.
    """
    visible: dict[str, tuple[List[str], _Mount]] = {}
    for line in files.lines(files.path("proc/self/mountinfo")):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        point = _unescaped(fields[4])
        below = point.rstrip("/") + "/"
        for hidden in [known for known in visible if known == point or (point != "/" and known.startswith(below))]:
            del visible[hidden]
        if kind[0] in ("cgroup", "cgroup2"):
            # The controllers may be named in any order: "cpu,cpuacct" and "cpuacct,cpu" are both seen.
            names = [""] if kind[0] == "cgroup2" else kind[2].split(",")
            visible[point] = (names, _Mount(_unescaped(fields[3]), point))
    mounts: dict[str, List[_Mount]] = {}
    for names, mount in reversed(list(visible.values())):
        for name in names:
            mounts.setdefault(name, []).append(mount)
    return mounts or _old_mounts(files)


def _old_mounts(files: KernelFiles) -> dict[str, List[_Mount]]:
    """The same from /proc/mounts (man 5 fstab), where there is no mountinfo; each is taken to show its top."""
    mounts: dict[str, List[_Mount]] = {}
    for line in files.lines(files.path("proc/mounts")):
        fields = line.split(" ")
        if len(fields) >= 4 and fields[2] in ("cgroup", "cgroup2", "cpuset"):
            names = {"cgroup": fields[3].split(","), "cgroup2": [""], "cpuset": ["cpuset"]}[fields[2]]
            for name in names:
                mounts.setdefault(name, []).append(_Mount("/", _unescaped(fields[1])))
    return mounts


def _unescaped(text: str) -> str:
    """A field of mountinfo, in which blanks and backslashes are written in octal (fs/proc_namespace.c)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _levels(files: KernelFiles, mounts: List[_Mount], group: str, odd: List[str]) -> List[str]:
    """Folders from this process's own group up to the top that is visible here.

    Of several mounts that one counts which shows the group, and most of the levels above it. Where none shows it by its
    name, it is recognised by this process's id. A mount of what is above the namespace shows further levels. Where no
    mount shows the group, its own limit is not known, which is said.
    """
    above = _above_the_namespace(files, mounts)
    holding = [(mount, parts) for mount in mounts for parts in [_inside(mount, group)] if parts is not None]
    ranked = sorted(holding, key=lambda entry: len(entry[0].top))
    for mount, parts in ranked:
        if files.is_folder(os.path.join(_base(files, mount), *parts)):
            return [*_upward(files, _base(files, mount), parts), *above]
    for mount in mounts:
        own = _folder_of_this_process(files, _base(files, mount))
        if own is not None:
            return [*_upward(files, _base(files, mount), own), *above]
    points = ", ".join(sorted({mount.point for mount in mounts}))
    odd.append(
        "this process is in the group %s, which %s does not show: its own limit cannot be seen" % (ascii(group), points)
    )
    for mount, parts in ranked:  # the levels above it bind it all the same
        folders = _upward(files, _base(files, mount), parts)
        if folders:
            return [*folders, *above]
    return above


def _base(files: KernelFiles, mount: _Mount) -> str:
    return files.path(mount.point.lstrip("/"))


def _upward(files: KernelFiles, base: str, parts: Sequence[str]) -> List[str]:
    """The folders from the one of these names below the base up to the base, as far as they are there."""
    folders = [os.path.join(base, *parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [folder for folder in folders if files.is_folder(folder)]


def _above_the_namespace(files: KernelFiles, mounts: List[_Mount]) -> List[str]:
    """The folders of the groups above this namespace that another mount shows, the nearest first.

    Their quota binds this process (cgroup_namespaces(7): the top of such a mount is shown as ``/..`` or ``/../..``).
    """
    higher = [(mount.top.count(".."), _base(files, mount)) for mount in mounts if _ABOVE.fullmatch(mount.top)]
    return [folder for _, folder in sorted(higher) if files.is_folder(folder)]


def _folder_of_this_process(files: KernelFiles, base: str) -> Optional[List[str]]:
    """The names from a mount's top down to the group that has this process; ``None`` where none is found.

    Only the first folders are looked at: a host may have thousands.
    """
    pid = _own_pid(files)
    queue: List[List[str]] = [[]]
    for parts in queue:
        folder = os.path.join(base, *parts)
        if pid and any(pid in files.lines(os.path.join(folder, name)) for name in ("cgroup.procs", "tasks")):
            return parts
        if not pid or len(queue) > _MOST_FOLDERS:
            break
        inner = [name for name in files.names(folder) if files.is_folder(os.path.join(folder, name), or_a_link=False)]
        queue += [[*parts, name] for name in inner]
    return None


def _own_pid(files: KernelFiles) -> str:
    """This process's id as its control groups list it; empty where a captured tree does not tell it."""
    if files.are_of_this_process:
        return str(os.getpid())
    status = files.text(files.path("proc/self/status")) or ""
    line = re.search(r"^Pid:\s*([0-9]+)$", status, re.MULTILINE)
    return line.group(1) if line else ""


def _inside(mount: _Mount, group: str) -> List[str] | None:
    """The names from the mount's top down to the group; ``None`` where the group is not below it.

    A group or a top that begins with ``/..`` is outside of this namespace (cgroup_namespaces(7)).
    """
    top = mount.top.rstrip("/")
    if not (group.rstrip("/") + "/").startswith(top + "/"):
        return None
    parts = [part for part in group[len(top) :].split("/") if part]
    return None if ".." in parts else parts
