"""What a cell sees of its own limits, read from inside.

Sources: man 2 sched_getaffinity; for the control groups see :mod:`lab.cell.cpus.cgroups`.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
from typing import Any

from lab.cell.cpus.cgroups import cgroups
from lab.cell.cpus.kernel_files import read_text
from lab.cell.worker.implementations import IMPLEMENTATIONS

#: Longest wait for ``Pool()`` to start, in seconds; forking takes a few milliseconds a worker.
_POOL_SECONDS = 30.0


def take_proof(root: str = "/", *, pool: bool = True) -> dict[str, Any]:
    """Everything that bounds this process now, as a JSON-able dict. ``root`` stands in for ``/`` in tests.

    ``affinity`` is a list of CPU ids. Quotas are in CPUs (quota / period), each with the folder of its control group,
    the process's own group first. ``pool_size`` is the number of workers that ``Pool()`` really started. Without
    ``pool`` it is left out: it follows from the rest, and takes longer than all the rest.
    """
    groups = cgroups(root)
    affinity = sorted(os.sched_getaffinity(0))
    shared, kinds = _cores(affinity, root)
    counted = {"pool_size": pool_size()} if pool else {}
    return {
        "host_cpus": online_cpus(root),
        "cpu_count": os.cpu_count(),
        "process_cpu_count": getattr(os, "process_cpu_count", lambda: None)(),
        "affinity": affinity,
        "cpuset_effective": groups["cpuset"],
        "cgroup_version": groups["version"],
        "quotas": groups["quotas"],
        **counted,
        "isolated": read_text(os.path.join(root, "sys/devices/system/cpu/isolated")),
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


def pool_size() -> int | None:
    """How many workers ``Pool()`` starts here, counted; ``None`` when it could not be tried.

    A child tries it, because a pool leaves threads behind and this process has to stay free of them to fork safely.
    """
    import multiprocessing.pool  # here, not in the child: so do most experiments, which are children too
    import multiprocessing.queues
    import multiprocessing.synchronize

    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return None
    if child == 0:
        try:
            os.setsid()  # a group of its own, which can be killed as a whole
            # A pool that cannot start all its workers sends them this signal. The inherited handler would print.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with multiprocessing.get_context("fork").Pool():
                os.write(writer, str(len(multiprocessing.active_children())).encode())
                signal.pause()
        finally:
            os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], _POOL_SECONDS)
    answer = os.read(reader, 100) if ready else b""
    os.close(reader)
    # Kill the whole group, because a pool replaces each worker that ends. An orderly end takes ten times as long.
    for end in (os.killpg, os.kill):
        try:
            end(child, signal.SIGKILL)
            break
        except ProcessLookupError:  # the child has no group of its own yet, or has ended
            continue
    os.waitpid(child, 0)
    return int(answer) if answer else None
