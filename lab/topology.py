"""The CPUs of the machine below a folder, read from the files in which its kernel describes them.

The reader itself is :mod:`lab.cell.cpus.topology`, which also runs behind a probe; here is what only a host has to
decide."""

from __future__ import annotations

import os
from pathlib import Path

from lab.cell.cpus import cgroups, cpulist
from lab.cell.cpus import topology as reader
from lab.errors import UsageError
from lab.model import topology
from lab.model.topology import Topology

_HERE = Path("/")


def read(root: Path = _HERE) -> Topology:
    """The machine below ``root``. Raises UsageError when there is none.

    What we ourselves may use is, here, our affinity; in a tree of another machine what its own ``proc/self`` says, and
    without that all that is on line.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"--topology {root} {what}; give the folder that holds a machine's sys and proc")
    here = root.resolve() == _HERE
    found = topology.from_reading(reader.read("/" if here else str(root), _ours() if here else _theirs(root)))
    if not found.cpus:
        raise UsageError(
            f"--topology {root} describes no CPU: neither sys/devices/system/cpu nor proc/cpuinfo is there; give the"
            " folder that holds a machine's sys and proc, such as an unpacked archive of them"
        )
    return found


def _ours() -> tuple[int, ...] | None:
    return tuple(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _theirs(root: Path) -> tuple[int, ...] | None:
    try:
        return cpulist.parse(cgroups.own_cpus(str(root)) or "") or None
    except ValueError:
        return None
