"""The CPU limits of this process's control groups: the quota of every visible level, and the CPU set.

The folders of the groups are found by :mod:`lab.cell.cpus.group_folders`.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.max``, ``cpu.stat``, ``cpuset.cpus.effective``,
``cpuset.cpus.partition``), cgroup-v1/cpusets.rst, and scheduler/sched-bwc.rst (``cpu.cfs_quota_us``). Weights and
shares divide time between neighbours and bound nothing, and ``cpu.max.burst`` only moves time from one period to the
next: neither is read.

No file can make this fail. What is missing, empty, ``max`` or -1 is no limit *at that level*; what the kernel would
never write is no limit either, and is reported in ``odd``.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Callable, Collection, List, NamedTuple, Optional, Set, Tuple, Union

from lab.cell.cpus.cpulist import members
from lab.cell.cpus.group_folders import Folders, OwnGroups
from lab.cell.cpus.kernel_files import KernelFiles, Root, files_below

#: The period where none is given (the kernel's Documentation/admin-guide/cgroup-v2.rst, ``cpu.max``).
_USUAL_PERIOD_US = 100000

#: A number as the kernel writes it, or as what imitates it does: ASCII, and short enough for every Python to read.
_NUMBER = re.compile(r"[+-]?([0-9]{1,19})(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,2})?")

#: The files with the CPU set of a group, of version 1 (with and without ``noprefix``) and 2.
_LISTS = ("cpuset.effective_cpus", "effective_cpus", "cpuset.cpus.effective", "cpuset.cpus", "cpus")

#: The files with the NUMA nodes whose memory a group may use, in the same way.
_MEMORY = ("cpuset.effective_mems", "effective_mems", "cpuset.mems.effective", "cpuset.mems", "mems")

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
    #: The kernel's list of the NUMA nodes whose memory may be used; ``None`` where none is visible.
    memory: Optional[str]
    #: Whether the scheduler does not balance among these CPUs (``isolated`` partition of version 2, or version 1 with
    #: ``sched_load_balance`` 0).
    partitioned: bool
    #: All visible levels, the process's own group first.
    folders: Tuple[str, ...]
    #: What the files say that cannot be, a sentence each.
    odd: Tuple[str, ...]
    #: Whether every level shows that may limit CPU time, up to the top of the machine's hierarchy.
    whole: bool = False

    @property
    def quotas(self) -> List[dict[str, Any]]:
        """The levels with a quota as JSON-able dicts. Quotas are in CPUs."""
        return [
            {
                "quota_cpus": level.quota_cpus,
                "quota_us": float(level.quota_us),
                "period_us": float(level.period_us),
                "throttled_periods": level.throttled_periods,
                "throttled_seconds": level.throttled_seconds,
                "folder": level.folder,
            }
            for level in self.levels
        ]

    def unbalanced(self, mask: Collection[int]) -> Set[int]:
        """Those CPUs of an affinity mask between which the groups keep the scheduler from balancing: all or none.

        With one CPU there is nothing to balance.
        """
        return set(mask) if self.partitioned and len(mask) > 1 else set()


def cgroups(root: Root = "/") -> dict[str, Any]:
    """The version, CPU set and quotas of this process's control groups, as a JSON-able dict.

    Quotas are in CPUs (quota / period), with the folder they were read from, the leaf first. ``root`` stands in for
    ``/`` in tests.
    """
    groups = look(root)
    return {"version": groups.version, "cpuset": groups.cpuset, "quotas": groups.quotas}


def throttled_periods(root: Root = "/") -> int:
    """In how many periods, so far, a quota of this process's control groups has stopped it."""
    return sum(level.throttled_periods for level in look(root).levels)


def tightest(root: Root = "/") -> Level | None:
    """The level with the smallest visible quota, and its counters; ``None`` where there is no quota.

    ``throttled_seconds`` may grow by more than a second a second: the kernel adds up the CPUs that it stops
    (``throttle_cfs_rq`` in its kernel/sched/fair.c works on one of them).
    """
    return min(look(root).levels, key=lambda level: level.quota_cpus, default=None)


def look(root: Root = "/") -> Groups:
    """Read everything. A controller is in one hierarchy only: in version 2 unless a line of version 1 names it."""
    odd: List[str] = []
    files = files_below(root)
    groups = OwnGroups(files)
    time, sets = groups.hierarchy("cpu"), groups.hierarchy("cpuset")
    where = {hierarchy: groups.folders(hierarchy) for hierarchy in {time, sets, ""}}
    own, set_folders = where[time].levels, where[sets].levels
    _tell_unseen(where[time], where[sets] if sets != time else None, odd)
    levels = _quotas(files, own, _v1_quota if time else _v2_quota, odd)
    if time:
        _compare_versions(files, where[""].levels, odd)
        _compare_levels(levels, odd)
    return Groups(
        version=(1 if time else 2) if own else None,
        levels=tuple(levels),
        cpuset=_first_list(files, set_folders, _LISTS, odd),
        memory=_first_list(files, set_folders, _MEMORY, []),
        partitioned=_unbalanced(files, set_folders) if sets else _partitioned(files, set_folders),
        folders=tuple(own),
        odd=tuple(dict.fromkeys(odd)),
        whole=where[time].whole,
    )


def _tell_unseen(time: Folders, sets: Folders | None, odd: List[str]) -> None:
    if time.unseen:
        odd.append("this process is in %s: its own limit cannot be seen" % time.unseen)
    if sets and sets.unseen:
        odd.append("the CPU set is that of %s: whether it isolates its CPUs cannot be seen" % sets.unseen)


def _first_list(files: KernelFiles, folders: List[str], names: Tuple[str, ...], odd: List[str]) -> str | None:
    """The first list of CPUs in these files; the files of the process's own group are read first.

    A file that is missing, empty or holds no list is passed over.
    """
    for folder in folders:
        for name in names:
            path = posixpath.join(folder, name)
            text = files.text(path)
            if text and members(text):
                return text
            if text:
                odd.append("%s says %s, which is no list of CPUs" % (path, _short(text)))
    return None


def _partitioned(files: KernelFiles, folders: List[str]) -> bool:
    """Whether the nearest partition is one without load balancing.

    A ``member`` is in the partition of a level above it, and so is an ``isolated invalid (...)``, which is none.
    """
    kinds = (files.text(posixpath.join(folder, "cpuset.cpus.partition")) for folder in folders)
    return next((kind for kind in kinds if kind in ("root", "isolated")), None) == "isolated"


def _unbalanced(files: KernelFiles, folders: List[str]) -> bool:
    """Whether the scheduler does not balance within the CPU set (version 1, cpusets.rst, ``sched_load_balance``).

    The flag of a level above covers the CPUs of all levels below it.
    """
    names = ("cpuset.sched_load_balance", "sched_load_balance")
    flags = [files.text(posixpath.join(folder, name)) for folder in folders for name in names]
    return {flag for flag in flags if flag} == {"0"}


_Quota = Optional[Tuple[_Number, _Number, str, float]]


def _quotas(
    files: KernelFiles,
    folders: List[str],
    quota_of: Callable[[KernelFiles, str, List[str]], _Quota],
    odd: List[str],
) -> List[Level]:
    levels = []
    for folder in folders:
        quota = quota_of(files, folder, odd)
        if quota:
            quota_us, period_us, throttled, per_second = quota
            stat = statistics(posixpath.join(folder, "cpu.stat"), files)
            seconds = stat.get(throttled, 0) / per_second
            stopped, periods = int(stat.get("nr_throttled", 0)), int(stat.get("nr_periods", 0))
            levels.append(Level(folder, quota_us, period_us, stopped, seconds, periods))
    return levels


def statistics(path: str, root: Root = "/") -> dict[str, _Number]:
    """The counters of a flat-keyed file such as ``cpu.stat``; none where it cannot be read."""
    counters = {}
    for line in (files_below(root).text(path) or "").splitlines():
        key, _, value = line.partition(" ")
        counters[key] = _number(value) or 0
    return counters


def _v1_quota(files: KernelFiles, folder: str, odd: List[str]) -> _Quota:
    # A hierarchy that is mounted with noprefix has the files without the name of the controller.
    prefix = "" if files.read(posixpath.join(folder, "cpu.cfs_quota_us")) is None else "cpu."
    quota, period = (posixpath.join(folder, prefix + name) for name in ("cfs_quota_us", "cfs_period_us"))
    return _quota((quota, files.text(quota)), (period, files.text(period)), ("throttled_time", 1e9), odd)


def _v2_quota(files: KernelFiles, folder: str, odd: List[str]) -> _Quota:
    path = posixpath.join(folder, "cpu.max")
    fields = (files.text(path) or "").split()
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


def _compare_versions(files: KernelFiles, v2: List[str], odd: List[str]) -> None:
    """The kernel gives a controller to one hierarchy; ``/proc/self/cgroup`` says to which."""
    both = [level.folder for level in _quotas(files, v2, _v2_quota, [])]
    if both:
        odd.append(
            "%s has a cpu.max, though /proc/self/cgroup puts CPU time under version 1: it is not counted" % both[0]
        )
