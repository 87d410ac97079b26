"""The folders of this process's control group and of those above it: found and verified, not assumed.

Sources: man 7 cgroups (/proc/[pid]/cgroup); man 7 cgroup_namespaces (``/..``); the kernel's
Documentation/admin-guide/cgroup-v2.rst ("Threads", "Namespace").
"""

from __future__ import annotations

import os
import posixpath
from typing import Dict, List, NamedTuple, Optional

from lab.cell.cpus.affinity import status
from lab.cell.cpus.kernel_files import KernelFiles
from lab.cell.cpus.mounts import Mount, Mounts, mounts_of

#: How many folders are looked at to find this process by its id.
_MOST_FOLDERS = 4000

#: The namespace of groups that the kernel starts with (PROC_CGROUP_INIT_INO in its include/linux/proc_ns.h).
_OUTERMOST = "cgroup:[%d]" % 0xEFFFFFFB

#: The files that list what is in a group: the threads themselves, else the processes.
_MEMBERS = ("cgroup.threads", "tasks", "cgroup.procs")


class Folders(NamedTuple):
    """The folders of the levels that show."""

    #: The folders, that of the process's own group first, if it shows.
    levels: List[str]
    #: Which group the process is in, if no folder of it shows.
    unseen: Optional[str] = None
    #: Whether every level shows, up to the top of the machine's hierarchy: no group binds the process unseen.
    whole: bool = False


class _Place(NamedTuple):
    """A path of /proc/self/cgroup or mountinfo: how far it goes up from the top of the namespace, then down."""

    #: How many levels up.
    up: int
    #: The names of the groups below that.
    names: List[str]


class _Search:
    """What is found of one group in the mounts of its hierarchy.

    Levels are counted from where the group's path turns down: its own group has the highest number, and what is above
    the turn is below 0.
    """

    def __init__(self, files: KernelFiles, mounts: Mounts, group: str) -> None:
        self._files, self._mounts, self._group = files, mounts, _place(group)
        self.levels: Dict[int, str] = {}

    @property
    def own(self) -> int:
        """The number of the process's own group."""
        return len(self._group.names)

    def by_names(self, mount: Mount) -> None:
        """Add the levels of a mount that the names tell."""
        top, names = _place(mount.top), self._group.names
        if top.up == self._group.up and top.names == names[: len(top.names)]:
            self._add(mount, len(top.names), names[len(top.names) :])
        elif self._is_above(top):
            self._add(mount, self._group.up - top.up, [])

    def by_process(self, mount: Mount) -> None:
        """Add the levels of a mount in which this process's id is found.

        Only the first folders are looked at: a host may have thousands.
        """
        pid = _own_pid(self._files)
        queue: List[List[str]] = [[]] if pid else []
        for names in queue:
            folder = self._folder(mount, names)
            if folder is None:
                continue
            if pid in _members(self._files, folder):
                self._add(mount, self.own - len(names), names)
                return
            if len(queue) <= _MOST_FOLDERS:
                queue += [[*names, name] for name in _folders_in(self._files, folder)]

    def has_unnamed(self, mount: Mount) -> bool:
        """Whether a mount has levels between its top and the turn, whose names no file tells."""
        return self._is_above(_place(mount.top))

    def _is_above(self, top: _Place) -> bool:
        return top.up > self._group.up and not top.names

    def _add(self, mount: Mount, level: int, names: List[str]) -> None:
        for depth in range(len(names) + 1):
            folder = self._folder(mount, names[:depth])
            if folder is not None:
                self.levels.setdefault(level + depth, folder)

    def _folder(self, mount: Mount, names: List[str]) -> Optional[str]:
        """A folder in a mount; ``None`` where it is not there, or hidden."""
        path = posixpath.join(mount.point, *names)
        folder = self._files.path(path.lstrip("/"))
        return folder if self._files.is_folder(folder) and not self._mounts.hides(mount, path) else None


class OwnGroups:
    """This process's group in each hierarchy, and the mounts that may show it."""

    def __init__(self, files: KernelFiles) -> None:
        self._files, self._mounts = files, mounts_of(files)
        self._groups = _groups(files, self._mounts)

    def hierarchy(self, controller: str) -> str:
        """The hierarchy that has a controller: one of version 1, by that name, or ``""``, version 2 (cgroups(7))."""
        return controller if controller in self._groups else ""

    def folders(self, hierarchy: str) -> Folders:
        """The folders of this process's group in a hierarchy, and of the groups above it."""
        if hierarchy not in self._groups:
            return Folders([])
        return _found(self._files, self._mounts, hierarchy, self._groups[hierarchy])


def _found(files: KernelFiles, mounts: Mounts, hierarchy: str, group: str) -> Folders:
    """Folders from a group up to the top that is visible here.

    Each level is taken from a mount that shows it, by its name or else by this process's id. A mount of what is above
    the namespace shows further levels, which bind the process too.
    """
    search, showing = _Search(files, mounts, group), mounts.showing(hierarchy)
    for mount in sorted(showing, key=lambda mount: len(mount.top)):
        search.by_names(mount)
    for mount in showing:
        if search.has_unnamed(mount):
            search.by_process(mount)
    for mount in showing:
        if search.own not in search.levels:
            search.by_process(mount)
    levels = [search.levels[level] for level in sorted(search.levels, reverse=True)]
    if search.own in search.levels:
        whole = _is_outside_namespaces(files) and set(range(search.own)) <= set(search.levels)
        return Folders(levels, whole=whole)
    points = ", ".join(sorted({mount.point for mount in showing}))
    where = "which %s does not show" % points if points else "which no mount shows"
    return Folders(levels, "the group %s, %s" % (ascii(group), where))


def _is_outside_namespaces(files: KernelFiles) -> bool:
    """Whether this process is in the kernel's own namespace of groups, so that all paths begin at the real top."""
    try:
        return os.readlink(files.path("proc/self/ns/cgroup")) == _OUTERMOST
    except OSError:
        return False


def _groups(files: KernelFiles, mounts: Mounts) -> dict[str, str]:
    """Controller name -> this process's group; the v2 hierarchy has the name ``""``. See man 7 cgroups."""
    groups = {}
    for line in files.lines(files.path("proc/self/cgroup")):
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups.update(dict.fromkeys(fields[1].split(","), fields[2]))
    if not groups:  # a captured tree may have only what man 7 cpuset describes
        group = files.text(files.path("proc/self/cpuset"))
        return {"cpuset" if mounts.showing("cpuset") else "": group} if group else {}
    return groups


def _place(path: str) -> _Place:
    names = [name for name in path.split("/") if name]
    up = next((depth for depth, name in enumerate(names) if name != ".."), len(names))
    return _Place(up, names[up:])


def _members(files: KernelFiles, folder: str) -> List[str]:
    """The ids in a group."""
    lists = (files.lines(posixpath.join(folder, name)) for name in _MEMBERS)
    return next(filter(None, lists), [])


def _folders_in(files: KernelFiles, folder: str) -> List[str]:
    return [name for name in files.names(folder) if files.is_folder(posixpath.join(folder, name), or_a_link=False)]


def _own_pid(files: KernelFiles) -> str:
    """This process's id as its control groups list it; empty where a captured tree does not tell it."""
    if files.are_of_this_process:
        return str(os.getpid())
    return status(files, "Pid")
