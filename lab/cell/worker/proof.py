"""What a cell sees of its own limits, read from inside.

Sources: man 2 sched_getaffinity; for the control groups see :mod:`lab.cell.cpus.cgroups`.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

from lab.cell.cpus.cgroups import look
from lab.cell.cpus.cpulist import render
from lab.cell.cpus.kernel_files import read_text
from lab.cell.cpus.pool_trial import try_pool
from lab.cell.worker.implementations import IMPLEMENTATIONS


def take_proof(root: str = "/", *, pool: bool = True) -> dict[str, Any]:
    """Everything that bounds this process now, as a JSON-able dict. ``root`` stands in for ``/`` in tests.

    ``affinity`` is a list of CPU ids. ``isolated`` is a list of CPUs that the scheduler moves nothing to: all of the
    mask where its control group is not balanced, else those that the kernel names. Quotas are in CPUs (quota / period),
    each with the folder of its control group, the process's own group first. ``pool_size`` is the number of workers
    that ``Pool()`` really started. Without ``pool`` it is left out: it follows from the rest, and takes longer than all
    the rest.
    """
    groups = look(root)
    affinity = sorted(os.sched_getaffinity(0))
    shared, kinds = _cores(affinity, root)
    counted = {"pool_size": try_pool().workers} if pool else {}
    return {
        "host_cpus": online_cpus(root),
        "cpu_count": os.cpu_count(),
        "process_cpu_count": getattr(os, "process_cpu_count", lambda: None)(),
        "affinity": affinity,
        "cpuset_effective": groups.cpuset,
        "cgroup_version": groups.version,
        "quotas": groups.quotas,
        **counted,
        "isolated": render(groups.unbalanced(affinity))
        or read_text(os.path.join(root, "sys/devices/system/cpu/isolated")),
        "siblings": shared,
        "kinds": kinds,
    }


def _cores(affinity: list[int], root: str) -> tuple[list[list[int]], int]:
    """The CPUs that share a physical core, as a list for each such core, and the number of kinds of core.

    A single CPU shares no core and is of one kind, so nothing is read and no module is loaded for it.
    """
    if len(affinity) < 2:
        return [], 1
    from lab.cell.cpus import topology

    return topology.siblings(affinity, root), topology.kinds(affinity, root)


def python() -> dict[str, Any]:
    """Which Python this is, as itself says: version, implementation, and whether it runs with a GIL.

    Without the modules ``platform`` and ``sysconfig``, which take longer to load than all of this takes.
    """
    gil = getattr(sys, "_is_gil_enabled", None)
    return {
        "version": list(sys.version_info[:3]),
        "release": sys.version.split()[0],
        "implementation": IMPLEMENTATIONS.get(sys.implementation.name, sys.implementation.name),
        "free_threaded": "t" in sys.abiflags,  # documented since 3.13: "t" is for free-threading
        "gil_enabled": True if gil is None else bool(gil()),
        "options": {name: value for name, value in sys._xoptions.items() if name in ("gil", "cpu_count")},
        "executable": sys.executable,
        "start_method": multiprocessing.get_start_method(),
        "switch_interval": sys.getswitchinterval(),
        "machine": os.uname().machine,
        "kernel": os.uname().release,
    }


def online_cpus(root: str = "/") -> str | None:
    """CPUs that the kernel has on line, as its list (``0-3``); ``None`` where /sys does not say."""
    return read_text(os.path.join(root, "sys/devices/system/cpu/online"))
