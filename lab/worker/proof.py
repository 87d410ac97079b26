"""What a cell sees of its own limits, read from inside.

Sources: man 2 sched_getaffinity; the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.max``, ``cpu.stat``,
``cpuset.cpus.effective``), cgroup-v1/cpusets.rst and scheduler/sched-bwc.rst (``cpu.cfs_quota_us``).
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool  # here, not in each of the two children that try Pool()
import os
import re
import select
import signal
import sys
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence

#: Longest wait for ``Pool()`` to start, in seconds; forking takes a few milliseconds a worker.
_POOL_SECONDS = 30.0

#: The period where none is given (the kernel's Documentation/admin-guide/cgroup-v2.rst, ``cpu.max``).
_USUAL_PERIOD_US = 100000.0

#: How they write their own names.
_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy"}

#: What one level of control groups sets, or ``None`` where it sets no quota.
_Quota = Optional[Dict[str, Any]]


class _Mount(NamedTuple):
    """A mounted hierarchy: the group that is its top, and the folder (below the root) where that shows."""

    top: str
    point: str


def take(root: str = "/") -> dict[str, Any]:
    """Everything that bounds this process now, as a JSON-able dict. ``root`` stands in for ``/`` in tests.

    ``affinity`` is a list of CPU ids; quotas are in CPUs (quota / period), with the cgroup folder they were read from,
    the leaf first; ``pool_size`` is the number of workers that ``Pool()`` really started.
    """
    found = cgroups(root)
    affinity = sorted(os.sched_getaffinity(0))
    return {
        "host_cpus": online_cpus(root),
        "cpu_count": os.cpu_count(),
        "process_cpu_count": getattr(os, "process_cpu_count", lambda: None)(),
        "affinity": affinity,
        "cpuset_effective": found["cpuset"],
        "cgroup_version": found["version"],
        "quotas": found["quotas"],
        "pool_size": pool_size(),
        "isolated": _read(os.path.join(root, "sys/devices/system/cpu/isolated")),
        "siblings": siblings(affinity, root),
        "kinds": kinds(affinity, root),
    }


def python() -> dict[str, Any]:
    """Which Python this is, as itself says: version, implementation, and whether it runs with a GIL.

    Without the modules ``platform`` and ``sysconfig``, which take longer to load than all of this takes.
    """
    gil = getattr(sys, "_is_gil_enabled", None)
    return {
        "version": list(sys.version_info[:3]),
        "release": sys.version.split()[0],
        "implementation": _IMPLEMENTATIONS.get(sys.implementation.name, sys.implementation.name),
        "free_threaded": "t" in sys.abiflags,  # documented since 3.13: "t" is for free-threading
        "gil_enabled": True if gil is None else bool(gil()),
        "executable": sys.executable,
        "start_method": multiprocessing.get_start_method(),
        "switch_interval": sys.getswitchinterval(),
        "machine": os.uname().machine,
        "kernel": os.uname().release,
    }


def online_cpus(root: str = "/") -> str | None:
    """CPUs that the kernel has on line, as its list (``0-3``); ``None`` where /sys does not say."""
    return _read(os.path.join(root, "sys/devices/system/cpu/online"))


def siblings(cpus: Sequence[int], root: str = "/") -> list[list[int]]:
    """Those of these CPUs that share a physical core, a list for each such core (the kernel's
    Documentation/admin-guide/cputopology.rst, ``thread_siblings``, a mask that old kernels have too)."""
    masks: dict[str, list[int]] = {}
    for cpu in cpus:
        mask = _read(os.path.join(root, "sys/devices/system/cpu/cpu%d/topology/thread_siblings" % cpu))
        if mask:
            masks.setdefault(mask, []).append(cpu)
    return [core for core in masks.values() if len(core) > 1]


def kinds(cpus: Sequence[int], root: str = "/") -> int:
    """Of how many kinds the cores of these CPUs are, by the capacity that the kernel gives them (``cpu_capacity``, on
    ARM) or the performance-monitoring unit that counts for them (``cpu_core`` and ``cpu_atom``, on x86)."""
    folder = os.path.join(root, "sys/devices")
    capacities = {_read(os.path.join(folder, "system/cpu/cpu%d/cpu_capacity" % cpu)) for cpu in cpus} - {None}
    units = [_members(_read(os.path.join(folder, unit, "cpus"))) for unit in ("cpu_core", "cpu_atom")]
    return max(len(capacities), sum(not unit.isdisjoint(cpus) for unit in units), 1)


def _members(text: str | None) -> set[int]:
    """The ids in a kernel list such as ``0-3,8``; none where it is no list, such as ``(null)``."""
    found: set[int] = set()
    if not re.fullmatch("[0-9,-]*", text or ""):
        return found
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def throttled_periods(root: str = "/") -> int:
    """In how many periods, so far, a quota of this process's control groups has stopped it."""
    return sum(level["throttled_periods"] for level in cgroups(root)["quotas"])


class Throttling(NamedTuple):
    """What the tightest quota of this process's control groups is and has done so far.

    ``quota_cpus``; ``period_seconds``; ``periods`` that have begun while there was something to run, ``stopped`` those
    of them in which it ran out, ``stopped_seconds`` for how long: added up over the CPUs that it stopped, so that it
    may grow by more than a second a second (``nr_periods``, ``nr_throttled`` and the time beside them in ``cpu.stat``).
    """

    quota_cpus: float
    period_seconds: float
    periods: int
    stopped: int
    stopped_seconds: float


def throttling(root: str = "/") -> Throttling | None:
    """The tightest visible quota and its counters; ``None`` where there is none."""
    levels = cgroups(root)["quotas"]
    if not levels:
        return None
    tight = min(levels, key=lambda level: float(level["quota_cpus"]))
    return Throttling(
        tight["quota_cpus"],
        tight["period_us"] / 1e6,
        tight["periods"],
        tight["throttled_periods"],
        tight["throttled_seconds"],
    )


def pool_size() -> int | None:
    """How many workers ``Pool()`` starts here, counted; ``None`` when it could not be tried.

    A child tries it, because a pool leaves threads behind and this process has to stay free of them to fork safely.
    """
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return None
    if child == 0:
        try:
            with multiprocessing.get_context("fork").Pool():
                workers = multiprocessing.active_children()
                os.write(writer, str(len(workers)).encode())
                for worker in workers:
                    worker.kill()
                os._exit(0)  # ending the pool in good order would take ten times as long
        finally:
            os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], _POOL_SECONDS)
    answer = os.read(reader, 100) if ready else b""
    os.close(reader)
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return int(answer) if answer else None


def cgroups(root: str = "/") -> dict[str, Any]:
    """The CPU set and the quotas of this process's control groups, of version 1 or 2.

    ``version`` is that of the hierarchy which limits CPU time. Each controller is in one hierarchy only, so the CPU set
    may stand in the other.
    """
    groups, mounts = _groups(root), _mounts(root)

    def levels(controller: str) -> list[str]:
        if controller not in groups or controller not in mounts:
            return []
        return list(_levels(root, mounts[controller], groups[controller]))

    v1, v2 = levels("cpu"), levels("")
    return {
        "version": 1 if v1 else 2 if v2 else None,
        "cpuset": _first(levels("cpuset"), "cpuset.effective_cpus", "cpuset.cpus")
        or _first(v2, "cpuset.cpus.effective"),
        "quotas": _quotas(v1, _v1_quota) if v1 else _quotas(v2, _v2_quota),
    }


def _groups(root: str) -> dict[str, str]:
    """Controller name -> this process's group; the v2 hierarchy has the name ``""``. See man 7 cgroups."""
    found = {}
    for line in (_read(os.path.join(root, "proc/self/cgroup")) or "").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            found.update(dict.fromkeys(fields[1].split(","), fields[2]))
    return found


def _mounts(root: str) -> dict[str, _Mount]:
    """Controller name -> where it is mounted; the v2 hierarchy has the name ``""``. See man 5 proc, mountinfo."""
    found = {}
    for line in (_read(os.path.join(root, "proc/self/mountinfo")) or "").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        mount = _Mount(_unescaped(fields[3]), _unescaped(fields[4]))
        if kind[0] == "cgroup2":
            found[""] = mount
        elif kind[0] == "cgroup":
            # The controllers may be named in any order: "cpu,cpuacct" and "cpuacct,cpu" are both seen.
            found.update(dict.fromkeys(kind[2].split(","), mount))
    return found


def _unescaped(text: str) -> str:
    """A field of mountinfo, in which blanks and backslashes are written in octal (fs/proc_namespace.c)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _levels(root: str, mount: _Mount, group: str) -> Iterator[str]:
    """Folders from this process's own group up to the top that is visible here."""
    base = os.path.join(root, mount.point.lstrip("/"))
    top = mount.top.rstrip("/")
    # A group that is not below the mount's top belongs to another namespace: only the top itself is ours to see. So
    # does one that begins with "/..", which is how the kernel names what lies outside of the namespace.
    inside = group[len(top) :] if (group + "/").startswith(top + "/") else ""
    parts = [part for part in inside.split("/") if part]
    if ".." in parts:
        parts = []
    for depth in range(len(parts), -1, -1):
        folder = os.path.join(base, *parts[:depth])
        if os.path.isdir(folder):
            yield folder


def _first(folders: list[str], *names: str) -> str | None:
    """What stands in the first of these files, the leaf's first, that is there and not empty."""
    texts = (_read(os.path.join(folder, name)) for folder in folders for name in names)
    return next((text for text in texts if text), None)


def _quotas(folders: list[str], read: Callable[[str], _Quota]) -> list[dict[str, Any]]:
    return [dict(quota, folder=folder) for folder in folders for quota in [read(folder)] if quota]


def _v1_quota(folder: str) -> _Quota:
    quota = _number(_read(os.path.join(folder, "cpu.cfs_quota_us")))
    period = _number(_read(os.path.join(folder, "cpu.cfs_period_us")))
    return _quota(folder, quota, period or _USUAL_PERIOD_US, "throttled_time", 1e9)


def _v2_quota(folder: str) -> _Quota:
    fields = (_read(os.path.join(folder, "cpu.max")) or "max").split()
    period = _number(fields[1]) if len(fields) > 1 else None
    return _quota(folder, _number(fields[0]), period or _USUAL_PERIOD_US, "throttled_usec", 1e6)


def _quota(folder: str, quota_us: float | None, period_us: float, throttled_key: str, per_second: float) -> _Quota:
    if quota_us is None or quota_us <= 0 or period_us <= 0:  # -1 is none, and 0 never was one
        return None
    stat = {}
    for line in (_read(os.path.join(folder, "cpu.stat")) or "").splitlines():
        key, _, value = line.partition(" ")
        stat[key] = _number(value) or 0.0
    return {
        "quota_cpus": quota_us / period_us,
        "quota_us": quota_us,
        "period_us": period_us,
        "periods": int(stat.get("nr_periods", 0)),
        "throttled_periods": int(stat.get("nr_throttled", 0)),
        "throttled_seconds": stat.get(throttled_key, 0.0) / per_second,
    }


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None  # "max", an empty or a missing file: no limit at this level


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return None
