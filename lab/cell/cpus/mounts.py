"""The mounts of this process, and in which of them a path ends.

Source: man 5 proc, ``mountinfo``. Of the mounts that are stacked on a point the last one is the parent of none of them.
It can be reached only if no mount hides its point, so a path is walked a name at a time.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from lab.cell.cpus.kernel_files import KernelFiles


class Mount(NamedTuple):
    """A mount."""

    #: Its id.
    number: int
    #: The id of the mount on which it stands.
    parent: int
    #: What shows at the point: a path in the file system that is mounted.
    top: str
    #: The folder where it is mounted.
    point: str
    #: The controllers whose groups it shows; version 2 has the name ``""``. Other file systems have none.
    controllers: Tuple[str, ...]


class Mounts:
    """A table of mounts."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._mounts = list(mounts)
        self._numbers = {mount.number for mount in self._mounts}
        self._stacks: Dict[str, List[Mount]] = {}
        for mount in self._mounts:
            self._stacks.setdefault(mount.point, []).append(mount)

    def showing(self, controller: str) -> List[Mount]:
        """The mounts that show a controller's groups and can be reached, the last first.

        Where the parents leave none, they may not be the kernel's. Then a mount with a higher id is a later one.
        """
        mounts = [mount for mount in reversed(self._mounts) if controller in mount.controllers]
        reached = [mount for mount in mounts if self._end(mount.point) is mount]
        return reached or [mount for mount in mounts if not self._has_later_above(mount)]

    def _has_later_above(self, mount: Mount) -> bool:
        by_age = sorted(self._mounts, key=lambda other: other.number)
        later = by_age[by_age.index(mount) + 1 :]
        return any(other.point != "/" and _within(mount.point, other.point) for other in later)

    def hides(self, mount: Mount, path: str) -> bool:
        """Whether another mount hides what a mount has at a path below its point."""
        covers = [point for point in self._stacks if point != mount.point and _within(point, mount.point)]
        return any(_within(path, point) and self._end(point) is not self._end(mount.point) for point in covers)

    def _end(self, path: str) -> Optional[Mount]:
        """The mount in which a path ends; ``None`` for one that the table does not have, as after man 2 chroot."""
        names = [name for name in path.split("/") if name]
        mount: Optional[Mount] = None
        for depth in range(len(names) + 1):
            mount = self._last_on("/" + "/".join(names[:depth]), mount)
        return mount

    def _last_on(self, point: str, mount: Optional[Mount]) -> Optional[Mount]:
        """The last mount of the stack that stands on this point of a mount."""
        stack = list(self._stacks.get(point, ()))
        while True:
            above = [other for other in stack if self._stands_on(other, mount)]
            if not above:
                return mount
            mount = above[-1]
            stack.remove(mount)

    def _stands_on(self, mount: Mount, below: Optional[Mount]) -> bool:
        if below is not None:
            return mount.parent == below.number
        return mount.parent == mount.number or mount.parent not in self._numbers


def mounts_of(files: KernelFiles) -> Mounts:
    """The mounts that this process has."""
    return Mounts(list(_mountinfo(files)) or _old_mounts(files))


def _mountinfo(files: KernelFiles) -> Iterator[Mount]:
    for line in files.lines(files.path("proc/self/mountinfo")):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(kind) < 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            continue
        # The controllers may be named in any order: "cpu,cpuacct" and "cpuacct,cpu" are both seen.
        controllers = {"cgroup": tuple(kind[2].split(",")), "cgroup2": ("",)}.get(kind[0], ())
        point = _unescaped(fields[4])
        yield Mount(int(fields[0]), int(fields[1]), _unescaped(fields[3]), point.rstrip("/") or "/", controllers)


def _old_mounts(files: KernelFiles) -> Iterator[Mount]:
    """The same from /proc/mounts (man 5 fstab), where there is no mountinfo.

    It has no ids, so that nothing is known to hide anything, and each mount is taken to show its top.
    """
    for place, line in enumerate(files.lines(files.path("proc/mounts"))):
        fields = line.split(" ")
        if len(fields) >= 4 and fields[2] in ("cgroup", "cgroup2", "cpuset"):
            names = {"cgroup": fields[3].split(","), "cgroup2": [""], "cpuset": ["cpuset"]}[fields[2]]
            yield Mount(place, place, "/", _unescaped(fields[1]), tuple(names))


def _unescaped(text: str) -> str:
    """A field of mountinfo, in which blanks and backslashes are written in octal (fs/proc_namespace.c)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _within(path: str, folder: str) -> bool:
    return path == folder or folder == "/" or path.startswith(folder + "/")
