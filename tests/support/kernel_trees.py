"""Kernel trees made for tests: folders that stand in for ``/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tree(root: Path, files: Mapping[str, str]) -> str:
    """A folder that stands in for ``/``: path -> text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(root)


def mounts(*lines: str) -> str:
    """A mountinfo (man 5 proc): each line is ``TOP POINT TYPE OPTIONS``; ordinary mounts stand around them."""
    table = ["22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw", "23 22 0:5 / /dev rw - devtmpfs udev rw"]
    for number, line in enumerate(lines, 30):
        top, point, kind, options = line.split()
        table.append(f"{number} 22 0:{number} {top} {point} rw,nosuid shared:9 master:1 - {kind} cgroup {options}")
    return "\n".join(table) + "\n"


V2 = "/ /sys/fs/cgroup cgroup2 rw,nsdelegate"
V1_CPU = "/ /sys/fs/cgroup/cpu cgroup rw,cpu"
V1_CPUSET = "/ /sys/fs/cgroup/cpuset cgroup rw,cpuset"


def v2(group: str, *, mounted: str = V2, **files: str) -> dict[str, str]:
    """A version 2 tree; ``files`` are named below the mount point, ``__`` for ``/`` and ``_`` for ``.``."""
    named = {f"sys/fs/cgroup/{name.replace('__', '/').replace('_', '.')}": text for name, text in files.items()}
    return {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": mounts(mounted), **named}


def quotas(limits: Mapping[str, Any]) -> list[float]:
    return [level["quota_cpus"] for level in limits["quotas"]]


def hybrid(groups: str, **files: str) -> dict[str, str]:
    named = {f"sys/fs/cgroup/{name.replace('__', '/').replace('_', '.', 1)}": text for name, text in files.items()}
    return {
        "proc/self/cgroup": groups,
        "proc/self/mountinfo": mounts(V1_CPU, V1_CPUSET, "/ /sys/fs/cgroup/unified cgroup2 rw"),
        **named,
    }
