"""What a cell sees of its own limits, read from inside.

Sources: man 2 sched_getaffinity; the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.max``, ``cpu.stat``,
``cpuset.cpus.effective``), cgroup-v1/cpusets.rst and scheduler/sched-bwc.rst (``cpu.cfs_quota_us``).
"""

import multiprocessing
import os
import platform
import sys
import sysconfig


def take(root="/"):
    """Everything that bounds this process now, as a JSON-able dict. ``root`` stands in for ``/`` in tests.

    ``affinity`` is a list of CPU ids; quotas are in CPUs (quota / period), with the cgroup folder they were read from,
    the leaf first; ``pool_size`` is the number of workers that ``Pool()`` really started.
    """
    found = cgroups(root)
    return {
        "host_cpus": online_cpus(root),
        "cpu_count": os.cpu_count(),
        "process_cpu_count": os.process_cpu_count() if hasattr(os, "process_cpu_count") else None,
        "affinity": sorted(os.sched_getaffinity(0)),
        "cpuset_effective": found["cpuset"],
        "cgroup_version": found["version"],
        "quotas": found["quotas"],
        "pool_size": pool_size(),
        "isolated": _read(os.path.join(root, "sys/devices/system/cpu/isolated")),
    }


def python():
    """Which Python this is, as itself says: version, implementation, and whether it runs with a GIL."""
    gil = getattr(sys, "_is_gil_enabled", None)
    return {
        "version": list(sys.version_info[:3]),
        "release": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil_enabled": True if gil is None else bool(gil()),
        "executable": sys.executable,
        "start_method": multiprocessing.get_start_method(),
        "switch_interval": sys.getswitchinterval(),
        "machine": platform.machine(),
        "kernel": platform.release(),
    }


def online_cpus(root="/"):
    """CPUs that the kernel has on line, as its list (``0-3``); ``None`` where /sys does not say."""
    return _read(os.path.join(root, "sys/devices/system/cpu/online"))


def pool_size():
    """How many workers ``Pool()`` starts here, counted; ``None`` when it could not be tried.

    A child tries it, because a pool leaves threads behind and this process has to stay free of them to fork safely.
    """
    reader, writer = os.pipe()
    child = os.fork()
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
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return int(answer) if answer else None


def cgroups(root="/"):
    """The CPU set and the quotas of this process's control groups, of version 1 or 2."""
    unified = None
    controllers = {}
    for line in (_read(os.path.join(root, "proc/self/cgroup")) or "").splitlines():
        _, names, path = line.split(":", 2)
        if not names:
            unified = path
        for name in names.split(","):
            controllers[name] = path
    mounts = _mounts(root)
    if "cpu" in controllers and "cpu" in mounts:
        cpuset = _v1_cpuset(root, mounts, controllers)
        return {
            "version": 1,
            "cpuset": cpuset,
            "quotas": _quotas(root, mounts["cpu"], controllers["cpu"], _v1_quota),
        }
    if unified is not None and "" in mounts:
        cpuset = None
        for folder in _levels(root, mounts[""], unified):
            cpuset = _read(os.path.join(folder, "cpuset.cpus.effective"))
            if cpuset:
                break
        return {"version": 2, "cpuset": cpuset, "quotas": _quotas(root, mounts[""], unified, _v2_quota)}
    return {"version": None, "cpuset": None, "quotas": []}


def _v1_cpuset(root, mounts, controllers):
    if "cpuset" not in mounts or "cpuset" not in controllers:
        return None
    for folder in _levels(root, mounts["cpuset"], controllers["cpuset"]):
        for name in ("cpuset.effective_cpus", "cpuset.cpus"):
            text = _read(os.path.join(folder, name))
            if text:
                return text
    return None


def _mounts(root):
    """Controller name -> (mount root, mount point); the v2 hierarchy has the name ``""``. See man 5 proc, mountinfo."""
    found = {}
    for line in (_read(os.path.join(root, "proc/self/mountinfo")) or "").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if kind[0] == "cgroup2":
            found[""] = (fields[3], fields[4])
        elif kind[0] == "cgroup":
            # The controllers may be named in any order: "cpu,cpuacct" and "cpuacct,cpu" are both seen.
            for option in kind[2].split(","):
                found[option] = (fields[3], fields[4])
    return found


def _levels(root, mount, path):
    """Folders from this process's own group up to the top that is visible here."""
    mount_root, point = mount
    base = os.path.join(root, point.lstrip("/"))
    if mount_root != "/":
        # A path that is not below the mount's root belongs to another namespace: only the top itself is ours to see.
        inside = os.path.relpath(path, mount_root) if (path + "/").startswith(mount_root + "/") else "."
    else:
        inside = path.strip("/")
    parts = [] if inside.startswith("..") else [part for part in inside.split("/") if part not in ("", ".")]
    for depth in range(len(parts), -1, -1):
        folder = os.path.join(base, *parts[:depth])
        if os.path.isdir(folder):
            yield folder


def _quotas(root, mount, path, read):
    return [dict(quota, folder=folder) for folder in _levels(root, mount, path) for quota in [read(folder)] if quota]


def _v1_quota(folder):
    quota = _number(_read(os.path.join(folder, "cpu.cfs_quota_us")))
    period = _number(_read(os.path.join(folder, "cpu.cfs_period_us")))
    return _quota(folder, quota if quota is not None and quota > 0 else None, period, "throttled_time", 1e9)


def _v2_quota(folder):
    fields = (_read(os.path.join(folder, "cpu.max")) or "max").split()
    period = _number(fields[1]) if len(fields) > 1 else 100000.0
    return _quota(folder, _number(fields[0]), period, "throttled_usec", 1e6)


def _quota(folder, quota_us, period_us, throttled_key, per_second):
    """One level's quota, or ``None`` where this level sets none and has never throttled."""
    stat = {}
    for line in (_read(os.path.join(folder, "cpu.stat")) or "").splitlines():
        key, _, value = line.partition(" ")
        stat[key] = _number(value) or 0
    if not quota_us or not period_us:
        return None
    return {
        "quota_cpus": quota_us / period_us,
        "quota_us": quota_us,
        "period_us": period_us,
        "throttled_periods": int(stat.get("nr_throttled", 0)),
        "throttled_seconds": stat.get(throttled_key, 0) / per_second,
    }


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None  # "max", an empty or a missing file: no limit at this level


def _read(path):
    try:
        with open(path) as stream:
            return stream.read().strip()
    except OSError:
        return None
