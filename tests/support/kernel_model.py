"""A small model of the kernel: control groups, namespaces and mounts; what its files say, and what is true.

It is the oracle of the fuzz tests, and shares no code with the lab. It builds a state from what was done (who made
which group, mounted what and set which limit), writes the files that the kernel would show, and knows the answer from
the state alone. Written from man 7 cgroups, man 7 cgroup_namespaces, man 5 proc (``mountinfo``), the kernel's
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/cpusets.rst. It is slow and simple on purpose.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

#: A path as its names: ``()`` is the top.
Names = tuple[bytes, ...]

#: What mountinfo writes in octal.
_ESCAPED = b" \t\n\\"


def within(path: Names, top: Names) -> bool:
    """Whether a path is the top or below it."""
    return path[: len(top)] == top


def joined(path: Names) -> bytes:
    """A path as it is written."""
    return b"/" + b"/".join(path)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What was set in one control group; ``None`` is never set, so that the file is not there."""

    #: CPU time in a period, in µs, and the period. ``()``: the file is there and says that there is no quota.
    quota: tuple[int, ...] | None = None
    #: Text in the place of the quota, which no kernel writes, and the quota that our documentation takes it for.
    damage: tuple[bytes, tuple[int, int] | None] | None = None
    #: Version 2: what ``cpuset.cpus.partition`` says.
    partition: bytes | None = None
    #: Version 1: ``cpuset.sched_load_balance``.
    balanced: bool | None = None
    #: The CPUs in the set.
    cpus: frozenset[int] | None = None
    #: Whether it is a threaded group, so that its ``cgroup.procs`` cannot be read (cgroup-v2.rst, "Threads").
    threaded: bool = False

    @property
    def cpus_of_time(self) -> Fraction | None:
        """The quota in CPUs; ``None`` where it has none."""
        pair = self.damage[1] if self.damage else self.quota
        return Fraction(pair[0], pair[1]) if pair else None


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """A hierarchy of control groups, with the process in one of them."""

    #: The version, 1 or 2.
    version: int
    #: The controllers that it has, in the order in which they are written. Version 2 does not write them.
    controllers: tuple[bytes, ...]
    #: All groups below the top, and the top.
    groups: Mapping[Names, Group]
    #: The group that has this process.
    own: Names
    #: The top of this process's namespace of control groups.
    namespace: Names
    #: Whether it is mounted ``noprefix`` (version 1).
    noprefix: bool = False

    def shown(self, path: Names) -> bytes:
        """A group's path as a process in this namespace reads it (cgroup_namespaces(7))."""
        common = 0
        while common < min(len(path), len(self.namespace)) and path[common] == self.namespace[common]:
            common += 1
        return joined((b"..",) * (len(self.namespace) - common) + path[common:])

    @property
    def known_from(self) -> int:
        """From which depth on the own group's path tells names: those above it are only written as ``..``."""
        common = 0
        while common < min(len(self.own), len(self.namespace)) and self.own[common] == self.namespace[common]:
            common += 1
        return common


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A mount."""

    #: The mount's id.
    number: int
    #: The id of the mount on which it was mounted.
    parent: int
    #: Where.
    point: Names
    #: Which hierarchy, by its place; ``None`` for a file system of another kind.
    hierarchy: int | None = None
    #: The group that shows at the point.
    top: Names = ()


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of a machine, as far as it matters to a process that asks for its limits."""

    #: The hierarchies.
    hierarchies: tuple[Hierarchy, ...]
    #: The mounts, in the order in which mountinfo lists them. The first is that of ``/``.
    mounts: tuple[Mount, ...]
    #: The affinity mask.
    mask: frozenset[int]
    #: The CPUs that the scheduler was told at the start to leave alone (``isolcpus``).
    isolated: frozenset[int] = field(default_factory=frozenset)
    #: This process's id; ``None`` where the captured files do not tell it.
    pid: int | None = 4711
    #: Whether the process's root is a folder in a mount that it does not see (man 2 chroot).
    chroot: bool = False

    def at(self, path: Names) -> Mount:
        """The mount in which a path ends, walked as the kernel walks it: a name at a time, up through what is stacked
        there (man 5 proc, the parent's id)."""
        mount = next(mount for mount in self.mounts if not mount.point)
        for depth in range(1, len(path) + 1):
            stacked = True
            while stacked:
                above = [one for one in self.mounts if one.parent == mount.number and one.point == path[:depth]]
                stacked = bool(above)
                mount = above[0] if above else mount
        return mount

    def reached(self, mount: Mount, group: Names) -> bool:
        """Whether this mount shows this group's folder: nothing else was mounted over it or its parents."""
        return within(group, mount.top) and self.at(mount.point + group[len(mount.top) :]) is mount


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of a state, as far as a process in it can see."""

    #: P.
    parallelism: int
    #: R.
    rate: Fraction
    #: The visible quotas in CPUs, that of the process's own group first.
    quotas: tuple[Fraction, ...]
    #: The version of the hierarchy that limits CPU time, where a level of it shows.
    version: int | None
    #: Whether the group that limits the process's CPU time does not show.
    unseen: bool
    #: Whether the group of its CPU set does not show, where that need not be the same.
    set_unseen: bool


def truth(state: State) -> Truth:
    """The answer, from the state and not from any file."""
    time, sets = _holder(state, b"cpu"), _holder(state, b"cpuset")
    levels = _visible(state, time)
    quotas = [time.groups[level].cpus_of_time for level in levels] if time else []
    quotas = [quota for quota in quotas if quota is not None]
    alone = state.mask if _no_balance(state, sets) else state.mask & state.isolated
    parallelism = max(1, len(state.mask) - len(alone)) if len(state.mask) > 1 else 1
    return Truth(
        parallelism=parallelism,
        rate=min([Fraction(parallelism), *(quota for quota in quotas if quota is not None)]),
        quotas=tuple(quota for quota in quotas if quota is not None),
        version=time.version if time and levels else None,
        unseen=time is not None and time.own not in levels,
        set_unseen=sets is not None
        and (sets.version == 1 or sets is not time)
        and sets.own not in _visible(state, sets),
    )


def _holder(state: State, controller: bytes) -> Hierarchy | None:
    """The hierarchy that has a controller; each is in one at most (cgroups(7))."""
    return next((one for one in state.hierarchies if controller in one.controllers), None)


def _visible(state: State, hierarchy: Hierarchy | None) -> list[Names]:
    """The groups from the process's own up to the top which a file shows, and which can be known for what they are."""
    if hierarchy is None:
        return []
    number, own = state.hierarchies.index(hierarchy), hierarchy.own
    mounts = [mount for mount in state.mounts if mount.hierarchy == number and within(own, mount.top)]
    return [
        own[:depth]
        for depth in range(len(own), -1, -1)
        if any(_known(state, hierarchy, mount, own[:depth]) for mount in mounts)
    ]


def _known(state: State, hierarchy: Hierarchy, mount: Mount, level: Names) -> bool:
    """Whether a mount whose top is above the process shows a level, and which of its folders that is can be known.

    It is known where the names from the top down to it are, or where the process's id stands in its own group's folder.
    """
    if not state.reached(mount, level):
        return False
    named = len(level) == len(mount.top) or len(mount.top) >= hierarchy.known_from
    return named or (state.pid is not None and state.reached(mount, hierarchy.own))


def _no_balance(state: State, sets: Hierarchy | None) -> bool:
    """Whether the scheduler balances nothing among the CPUs of the process's CPU set.

    Version 2: the nearest valid partition is ``isolated``; an invalid one is like ``member``. Version 1: no CPU set
    from the own one up has ``sched_load_balance``.
    """
    if sets is None:
        return False
    levels = [sets.groups[level] for level in _visible(state, sets)]
    if sets.version == 2:
        partitions = [group.partition for group in levels if group.partition in (b"root", b"isolated")]
        return partitions[:1] == [b"isolated"]
    flags = [group.balanced for group in levels if group.balanced is not None]
    return bool(flags) and not any(flags)


def files(state: State) -> dict[bytes, bytes]:
    """What the kernel shows: path -> contents, below the root."""
    tree = {
        b"proc/self/status": b"Name:\tpython\n%sCpus_allowed:\tff\nCpus_allowed_list:\t%s\n"
        % (b"" if state.pid is None else b"Pid:\t%d\n" % state.pid, _list(state.mask)),
        b"sys/devices/system/cpu/online": _list(state.mask | {0}) + b"\n",
        b"sys/devices/system/cpu/isolated": _list(state.isolated) + b"\n",
        b"proc/self/cgroup": b"".join(_line(one, place) for place, one in enumerate(state.hierarchies)),
        b"proc/self/mountinfo": b"".join(
            _mountinfo(state, mount) for mount in state.mounts if mount.point or not state.chroot
        ),
    }
    for mount in state.mounts:
        if mount.hierarchy is not None and state.at(mount.point) is mount:
            hierarchy = state.hierarchies[mount.hierarchy]
            for path, group in hierarchy.groups.items():
                if state.reached(mount, path):
                    folder = b"/".join(mount.point + path[len(mount.top) :])
                    for name, text in _group_files(state, hierarchy, path, group).items():
                        tree[folder + b"/" + name] = text
    return tree


def _line(hierarchy: Hierarchy, place: int) -> bytes:
    """A line of /proc/self/cgroup."""
    names = b"" if hierarchy.version == 2 else b",".join(hierarchy.controllers)
    return b"%d:%s:%s\n" % (0 if hierarchy.version == 2 else place + 2, names, hierarchy.shown(hierarchy.own))


def _mountinfo(state: State, mount: Mount) -> bytes:
    """A line of /proc/self/mountinfo; blanks and backslashes are written in octal."""
    point, top, kind, options = joined(mount.point), b"/", b"tmpfs tmpfs", b"rw"
    if mount.hierarchy is not None:
        hierarchy = state.hierarchies[mount.hierarchy]
        top = hierarchy.shown(mount.top)
        kind = b"cgroup2 cgroup2" if hierarchy.version == 2 else b"cgroup cgroup"
        names = () if hierarchy.version == 2 else hierarchy.controllers
        options = b",".join((b"rw", *((b"noprefix",) if hierarchy.noprefix else ()), *names))
    head = b"%d %d 0:%d %s %s" % (mount.number, mount.parent, mount.number, escaped(top), escaped(point))
    return b"%s rw,nosuid shared:7 master:2 - %s %s\n" % (head, kind, options)


def escaped(text: bytes) -> bytes:
    """A field of mountinfo."""
    return b"".join(b"\\%03o" % byte if byte in _ESCAPED else bytes((byte,)) for byte in text)


def _group_files(state: State, hierarchy: Hierarchy, path: Names, group: Group) -> dict[bytes, bytes]:
    """The files in a group's folder."""
    here = b"1\n" if not path else b""
    if state.pid is not None and path == hierarchy.own:
        here = b"12\n%d\n" % state.pid
    if hierarchy.version == 2:
        tree = {b"cgroup.threads": here, b"cgroup.procs": here}
        threads = [one for one in hierarchy.groups if within(one, path) and hierarchy.groups[one].threaded]
        if group.threaded:
            del tree[b"cgroup.procs"]  # reading it fails
        elif hierarchy.own in threads and state.pid is not None:
            tree[b"cgroup.procs"] = b"%d\n" % state.pid  # the domain lists what is in its threaded groups
        return {**tree, **_v2_limits(hierarchy, path, group)}
    tree = {b"tasks": here, b"cgroup.procs": here}
    prefix = (b"", b"") if hierarchy.noprefix else (b"cpu.", b"cpuset.")
    return {**tree, **_v1_limits(hierarchy, prefix, group)}


def _v2_limits(hierarchy: Hierarchy, path: Names, group: Group) -> dict[bytes, bytes]:
    tree: dict[bytes, bytes] = {}
    if path and b"cpu" in hierarchy.controllers:  # the top of a hierarchy has no limits
        if group.damage:
            tree[b"cpu.max"] = group.damage[0]
        elif group.quota is not None:
            tree[b"cpu.max"] = b"%d %d\n" % group.quota if group.quota else b"max 100000\n"
    if b"cpuset" in hierarchy.controllers:
        if group.cpus is not None:
            tree[b"cpuset.cpus.effective"] = _list(group.cpus) + b"\n"
        if path and group.partition is not None:
            tree[b"cpuset.cpus.partition"] = group.partition + b"\n"
    return tree


def _v1_limits(hierarchy: Hierarchy, prefix: tuple[bytes, bytes], group: Group) -> dict[bytes, bytes]:
    tree: dict[bytes, bytes] = {}
    if b"cpu" in hierarchy.controllers and (group.quota is not None or group.damage):
        quota, period = (group.quota or (-1, 100000)) if group.quota is not None else (-1, 100000)
        tree[prefix[0] + b"cfs_quota_us"] = group.damage[0] if group.damage else b"%d\n" % quota
        tree[prefix[0] + b"cfs_period_us"] = b"%d\n" % (100000 if group.damage else period)
    if b"cpuset" in hierarchy.controllers:
        if group.cpus is not None:
            tree[prefix[1] + b"cpus"] = _list(group.cpus) + b"\n"
        if group.balanced is not None:
            tree[prefix[1] + b"sched_load_balance"] = b"%d\n" % group.balanced
    return tree


def _list(cpus: Sequence[int] | frozenset[int]) -> bytes:
    """A list of CPUs; the kernel would write ranges, and reads both."""
    return b",".join(b"%d" % cpu for cpu in sorted(cpus))


def write(tree: Mapping[bytes, bytes], root: str) -> None:
    """Write files below a root."""
    folders: set[Path] = set()
    for name, text in tree.items():
        path = Path(root, os.fsdecode(name))
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        path.write_bytes(text)
