"""The CPU limits of this process's control groups: the quota of every visible level, and the CPU set.

Sources: man 7 cgroups; man 5 proc (mountinfo); the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.max``,
``cpu.stat``, ``cpuset.cpus.effective``, ``cpuset.cpus.partition``), cgroup-v1/cpusets.rst, and scheduler/sched-bwc.rst
(``cpu.cfs_quota_us``). Weights and shares divide time between neighbours and bound nothing, and ``cpu.max.burst`` only
moves time from one period to the next: neither is read.

No file can make this fail. What is missing, empty, ``max`` or -1 is no limit *at that level*; what the kernel would
never write is no limit either, and is reported in ``odd``.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from lab.cell.cpus.cpulist import members

#: The period where none is given (the kernel's Documentation/admin-guide/cgroup-v2.rst, ``cpu.max``).
_USUAL_PERIOD_US = 100000

#: A number as the kernel writes it, or as what imitates it does: ASCII, and short enough for every Python to read.
_NUMBER = re.compile(r"[+-]?([0-9]{1,19})(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,2})?")

#: The top of a mount that shows what is above this namespace.
_ABOVE = re.compile(r"(/\.\.)+")

#: How many folders are looked at to find this process by its id.
_MOST_FOLDERS = 4000

_Number = Union[int, float]


class Level(NamedTuple):
    """One level of control groups that sets a quota."""

    #: The folder of the group.
    folder: str
    #: CPU time in every period, in µs, above zero.
    quota_us: _Number
    #: The length of a period, in µs, above zero.
    period_us: _Number
    #: In how many periods the quota has stopped the group so far.
    throttled_periods: int
    #: How long the quota has stopped the group so far, in seconds.
    throttled_seconds: float
    #: How many periods have begun while there was something to run.
    periods: int = 0

    @property
    def quota_cpus(self) -> float:
        """The quota in CPUs."""
        return self.quota_us / self.period_us


class Groups(NamedTuple):
    """What the control groups allow this process."""

    #: The version of the hierarchy that limits CPU time; ``None`` where none is visible.
    version: Optional[int]
    #: The levels with a quota, the process's own group first.
    levels: Tuple[Level, ...]
    #: The kernel's list of CPUs (``0-3,8``); ``None`` where none is visible.
    cpuset: Optional[str]
    #: Whether the scheduler does not balance among these CPUs (``isolated`` partition of version 2, or version 1 with
    #: ``sched_load_balance`` 0).
    partitioned: bool
    #: All visible levels, the process's own group first.
    folders: Tuple[str, ...]
    #: What the files say that cannot be, a sentence each.
    odd: Tuple[str, ...]


class _Mount(NamedTuple):
    """A mounted hierarchy: the group that is its top, and the folder (below the root) where that shows."""

    top: str
    point: str


def cgroups(root: str = "/") -> dict[str, Any]:
    """The version, CPU set and quotas of this process's control groups, as a JSON-able dict.

    Quotas are in CPUs (quota / period), with the folder they were read from, the leaf first. ``root`` stands in for
    ``/`` in tests.
    """
    groups = look(root)
    quotas = [
        {
            "quota_cpus": level.quota_cpus,
            "quota_us": float(level.quota_us),
            "period_us": float(level.period_us),
            "throttled_periods": level.throttled_periods,
            "throttled_seconds": level.throttled_seconds,
            "folder": level.folder,
        }
        for level in groups.levels
    ]
    return {"version": groups.version, "cpuset": groups.cpuset, "quotas": quotas}


def throttled_periods(root: str = "/") -> int:
    """In how many periods, so far, a quota of this process's control groups has stopped it."""
    return sum(level.throttled_periods for level in look(root).levels)


def tightest(root: str = "/") -> Level | None:
    """The level with the smallest visible quota, and its counters; ``None`` where there is no quota.

    ``throttled_seconds`` may grow by more than a second a second: the kernel adds up the CPUs that it stops
    (``throttle_cfs_rq`` in its kernel/sched/fair.c works on one of them).
    """
    return min(look(root).levels, key=lambda level: level.quota_cpus, default=None)


def look(root: str = "/") -> Groups:
    """Read everything. Each controller is in one hierarchy only, so the CPU set may stand in the other version."""
    odd: List[str] = []
    groups, mounts = _groups(root), _mounts(root)

    def folders(controller: str) -> List[str]:
        if controller not in groups or controller not in mounts:
            return []
        return _levels(root, mounts[controller], groups[controller], odd)

    v1, v2, sets = folders("cpu"), folders(""), folders("cpuset")
    levels = _quotas(v1, _v1_quota, odd) if v1 else _quotas(v2, _v2_quota, odd)
    if v1:
        _compare_versions(v2, odd)
        _compare_levels(levels, odd)
    cpuset = _first_list(sets, ("cpuset.effective_cpus", "cpuset.cpus", "cpus"), odd)
    return Groups(
        version=1 if v1 else 2 if v2 else None,
        levels=tuple(levels),
        cpuset=cpuset or _first_list(v2, ("cpuset.cpus.effective",), odd),
        partitioned=_partitioned(v2) or _unbalanced(sets),
        folders=tuple(v1 or v2),
        odd=tuple(dict.fromkeys(odd)),
    )


def own_cpus(root: str) -> str | None:
    """The CPUs that a process may use, as a kernel list: the process that a captured tree calls ``self``.

    They are its affinity, else the CPU set of its control group; ``None`` where the tree has neither (man 5 proc,
    ``Cpus_allowed_list``; man 7 cpuset).
    """
    status = read_text(os.path.join(root, "proc/self/status")) or ""
    affinity = re.search(r"^Cpus_allowed_list:\s*([0-9]\S*)$", status, re.MULTILINE)
    return affinity.group(1) if affinity else look(root).cpuset


def read_text(path: str) -> str | None:
    """The text of a file, without blanks around it; ``None`` where it cannot be read, whatever the reason."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except (OSError, ValueError):  # ValueError: a NUL in the name, which came out of a damaged file
        return None


def _lines(path: str) -> List[str]:
    """The lines of a file that names groups and folders; none where it cannot be read.

    A name may have any byte but a slash and a newline, also blanks at its end, and bytes that are no text.
    """
    try:
        with open(path, "rb") as stream:
            return os.fsdecode(stream.read()).split("\n")
    except (OSError, ValueError):
        return []


def _groups(root: str) -> dict[str, str]:
    """Controller name -> this process's group; the v2 hierarchy has the name ``""``. See man 7 cgroups."""
    groups = {}
    for line in _lines(os.path.join(root, "proc/self/cgroup")):
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups.update(dict.fromkeys(fields[1].split(","), fields[2]))
    if not groups:  # a captured tree may have only what man 7 cpuset describes
        group = read_text(os.path.join(root, "proc/self/cpuset"))
        return dict.fromkeys(("cpuset", ""), group) if group else {}
    return groups


def _mounts(root: str) -> dict[str, List[_Mount]]:
    """Controller name -> where it is mounted, the last first; v2 has the name ``""``. See man 5 proc, mountinfo.

    What is mounted later covers what was mounted before on the same point, and below it.
    """
    visible: dict[str, tuple[List[str], _Mount]] = {}
    for line in _lines(os.path.join(root, "proc/self/mountinfo")):
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
    return mounts or _old_mounts(root)


def _old_mounts(root: str) -> dict[str, List[_Mount]]:
    """The same from /proc/mounts (man 5 fstab), where there is no mountinfo; each is taken to show its top."""
    mounts: dict[str, List[_Mount]] = {}
    for line in _lines(os.path.join(root, "proc/mounts")):
        fields = line.split(" ")
        if len(fields) >= 4 and fields[2] in ("cgroup", "cgroup2", "cpuset"):
            names = {"cgroup": fields[3].split(","), "cgroup2": [""], "cpuset": ["cpuset"]}[fields[2]]
            for name in names:
                mounts.setdefault(name, []).append(_Mount("/", _unescaped(fields[1])))
    return mounts


def _unescaped(text: str) -> str:
    """A field of mountinfo, in which blanks and backslashes are written in octal (fs/proc_namespace.c)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _levels(root: str, mounts: List[_Mount], group: str, odd: List[str]) -> List[str]:
    """Folders from this process's own group up to the top that is visible here.

    Of several mounts that one counts which shows the group, and most of the levels above it. Where none shows it by its
    name, it is recognised by this process's id. A mount of what is above the namespace shows further levels. Where no
    mount shows the group, its own limit is not known, which is said.
    """
    above = _above_the_namespace(root, mounts)
    holding = [(mount, parts) for mount in mounts for parts in [_inside(mount, group)] if parts is not None]
    ranked = sorted(holding, key=lambda entry: len(entry[0].top))
    for mount, parts in ranked:
        if _is_folder(os.path.join(_base(root, mount), *parts)):
            return [*_upward(_base(root, mount), parts), *above]
    for mount in mounts:
        own = _folder_of_this_process(root, _base(root, mount))
        if own is not None:
            return [*_upward(_base(root, mount), own), *above]
    points = ", ".join(sorted({mount.point for mount in mounts}))
    odd.append(
        "this process is in the group %s, which %s does not show: its own limit cannot be seen" % (ascii(group), points)
    )
    for mount, parts in ranked:  # the levels above it bind it all the same
        folders = _upward(_base(root, mount), parts)
        if folders:
            return [*folders, *above]
    return above


def _base(root: str, mount: _Mount) -> str:
    return os.path.join(root, mount.point.lstrip("/"))


def _upward(base: str, parts: Sequence[str]) -> List[str]:
    """The folders from the one of these names below the base up to the base, as far as they are there."""
    folders = [os.path.join(base, *parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [folder for folder in folders if _is_folder(folder)]


def _above_the_namespace(root: str, mounts: List[_Mount]) -> List[str]:
    """The folders of the groups above this namespace that another mount shows, the nearest first.

    Their quota binds this process (cgroup_namespaces(7): the top of such a mount is shown as ``/..`` or ``/../..``).
    """
    higher = [(mount.top.count(".."), _base(root, mount)) for mount in mounts if _ABOVE.fullmatch(mount.top)]
    return [folder for _, folder in sorted(higher) if _is_folder(folder)]


def _folder_of_this_process(root: str, base: str) -> Optional[List[str]]:
    """The names from a mount's top down to the group that has this process; ``None`` where none is found.

    Only the first folders are looked at: a host may have thousands.
    """
    pid = _own_pid(root)
    queue: List[List[str]] = [[]]
    for parts in queue:
        folder = os.path.join(base, *parts)
        if pid and any(pid in _lines(os.path.join(folder, name)) for name in ("cgroup.procs", "tasks")):
            return parts
        if not pid or len(queue) > _MOST_FOLDERS:
            break
        try:
            queue += [[*parts, entry.name] for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        except (OSError, ValueError):
            continue
    return None


def _own_pid(root: str) -> str:
    """This process's id as its control groups list it; empty where a captured tree does not tell it."""
    if root == "/":
        return str(os.getpid())
    status = read_text(os.path.join(root, "proc/self/status")) or ""
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


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:  # a NUL in the name
        return False


def _first_list(folders: List[str], names: tuple[str, ...], odd: List[str]) -> str | None:
    """The first list of CPUs in these files; the files of the process's own group are read first.

    A file that is missing, empty or holds no list is passed over.
    """
    for folder in folders:
        for name in names:
            path = os.path.join(folder, name)
            text = read_text(path)
            if text and members(text):
                return text
            if text:
                odd.append("%s says %s, which is no list of CPUs" % (path, _short(text)))
    return None


def _partitioned(folders: List[str]) -> bool:
    """Whether the nearest partition (``member`` is none of its own) is one without load balancing."""
    for folder in folders:
        kind = read_text(os.path.join(folder, "cpuset.cpus.partition"))
        if kind and not kind.startswith("member"):
            return kind == "isolated"  # not "isolated invalid (...)"
    return False


def _unbalanced(folders: List[str]) -> bool:
    """Whether the scheduler does not balance within the CPU set (version 1, cpusets.rst, ``sched_load_balance``).

    The flag of a level above covers the CPUs of all levels below it.
    """
    names = ("cpuset.sched_load_balance", "sched_load_balance")
    flags = [read_text(os.path.join(folder, name)) for folder in folders for name in names]
    return {flag for flag in flags if flag} == {"0"}


_Quota = Optional[Tuple[_Number, _Number, str, float]]


def _quotas(folders: List[str], quota_of: Callable[[str, List[str]], _Quota], odd: List[str]) -> List[Level]:
    levels = []
    for folder in folders:
        quota = quota_of(folder, odd)
        if quota:
            quota_us, period_us, throttled, per_second = quota
            stat = statistics(os.path.join(folder, "cpu.stat"))
            seconds = stat.get(throttled, 0) / per_second
            stopped, periods = int(stat.get("nr_throttled", 0)), int(stat.get("nr_periods", 0))
            levels.append(Level(folder, quota_us, period_us, stopped, seconds, periods))
    return levels


def statistics(path: str) -> dict[str, _Number]:
    """The counters of a flat-keyed file such as ``cpu.stat``; none where it cannot be read."""
    counters = {}
    for line in (read_text(path) or "").splitlines():
        key, _, value = line.partition(" ")
        counters[key] = _number(value) or 0
    return counters


def _v1_quota(folder: str, odd: List[str]) -> _Quota:
    # A hierarchy that is mounted with noprefix has the files without the name of the controller.
    prefix = "cpu." if os.path.lexists(os.path.join(folder, "cpu.cfs_quota_us")) else ""
    quota, period = (os.path.join(folder, prefix + name) for name in ("cfs_quota_us", "cfs_period_us"))
    return _quota((quota, read_text(quota)), (period, read_text(period)), ("throttled_time", 1e9), odd)


def _v2_quota(folder: str, odd: List[str]) -> _Quota:
    path = os.path.join(folder, "cpu.max")
    fields = (read_text(path) or "").split()
    if len(fields) > 2:
        odd.append("%s says %s, where two words should stand" % (path, _short(" ".join(fields))))
    quota, period = [*fields, "", ""][:2]
    return _quota((path, quota), (path, period), ("throttled_usec", 1e6), odd)


def _quota(
    quota: tuple[str, str | None], period: tuple[str, str | None], counter: tuple[str, float], odd: List[str]
) -> _Quota:
    """A quota from two pairs (file, text); ``None`` for no limit."""
    quota_us = _number(quota[1])
    if quota_us is None or quota_us <= 0:
        if quota[1] and quota[1] not in ("max", "-1"):
            odd.append("%s says %s, which is no quota: taken for none" % (quota[0], _short(quota[1])))
        return None
    period_us = _number(period[1])
    if period_us is None or period_us <= 0:
        if period[1]:
            odd.append(
                "%s says %s, which is no period: taken for %d µs" % (period[0], _short(period[1]), _USUAL_PERIOD_US)
            )
        period_us = _USUAL_PERIOD_US
    return (quota_us, period_us, *counter)


def _number(text: str | None) -> _Number | None:
    """A whole number as such, so that quotas can be divided exactly; ``None`` for ``max``, nothing, and nonsense."""
    match = _NUMBER.fullmatch((text or "").strip())
    if not match:
        return None
    if not match.group(2) and not match.group(3):
        return int(match.group())
    value = float(match.group())
    return int(value) if value.is_integer() else value


def _short(text: str) -> str:
    """What a file says, on one line, such as it can be shown."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")


def _compare_levels(levels: List[Level], odd: List[str]) -> None:
    """Version 1 refuses a group's quota above its parent's (kernel/sched/core.c, tg_cfs_schedulable_down), and compares
    them as whole numbers of 1/2^20 CPU (to_ratio)."""
    for lower, upper in zip(levels, levels[1:]):
        if lower.quota_us * 2**20 // lower.period_us > upper.quota_us * 2**20 // upper.period_us:
            odd.append(
                "%s has a quota of %g CPUs, %s above it only %g: version 1 does not allow that"
                % (lower.folder, lower.quota_cpus, upper.folder, upper.quota_cpus)
            )


def _compare_versions(v2: List[str], odd: List[str]) -> None:
    """The kernel gives a controller to one hierarchy; ``/proc/self/cgroup`` says to which."""
    both = [level.folder for level in _quotas(v2, _v2_quota, [])]
    if both:
        odd.append(
            "%s has a cpu.max, though /proc/self/cgroup puts CPU time under version 1: it is not counted" % both[0]
        )
