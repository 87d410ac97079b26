"""What the control group of a container counts: CPU time, throttling, pressure, memory and kills. A counter that the
kernel does not have, or that cannot be seen here, is ``None``.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst (``cpu.stat``, ``cpu.pressure``, ``memory.current``,
``memory.peak``, ``memory.events``), cgroup-v1/cpuacct.rst, cgroup-v1/memory.rst and accounting/psi.rst.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from lab.cell.cpus.cgroups import statistics
from lab.cell.cpus.group_folders import OwnGroups
from lab.cell.cpus.kernel_files import Root, files_below

_NANO, _MICRO = 1e9, 1e6

#: The share of time in which some task waited for a CPU, as a total in µs.
_PRESSURE = re.compile(r"^some .*\btotal=([0-9]+)", re.MULTILINE)


class Counters(NamedTuple):
    """What a control group has counted so far."""

    #: CPU time of all processes, in seconds.
    cpu: Optional[float] = None
    #: CPU time outside of the kernel, in seconds.
    user: Optional[float] = None
    #: CPU time inside the kernel, in seconds.
    system: Optional[float] = None
    #: CPU time on each CPU, by its number, in seconds.
    each_cpu: Optional[List[float]] = None
    #: Periods of the quota.
    periods: Optional[int] = None
    #: Periods in which the quota stopped the group.
    throttled_periods: Optional[int] = None
    #: For how long the quota stopped the group, in seconds. The kernel adds up the CPUs that it stops.
    throttled_seconds: Optional[float] = None
    #: For how long a task has waited for a CPU, in seconds.
    pressure: Optional[float] = None
    #: The memory that the group holds now, in bytes.
    memory: Optional[int] = None
    #: The most memory that the group has held, in bytes.
    memory_peak: Optional[int] = None
    #: How many processes were killed because memory ran out.
    oom_kills: Optional[int] = None
    #: CPU time of this process itself at that moment, outside of the kernel and inside, in seconds.
    own: Tuple[float, float] = (0.0, 0.0)


class OwnGroup:
    """The control group of this process."""

    def __init__(self, root: Root = "/") -> None:
        self._files = files_below(root)
        groups = OwnGroups(self._files)
        self._folders: Dict[str, str] = {}
        for controller in ("cpu", "cpuacct", "memory"):
            found = groups.folders(groups.hierarchy(controller))
            if found.levels and not found.unseen:
                self._folders[controller] = found.levels[0]

    def read(self) -> Counters:
        """What the group has counted so far."""
        times = self._cpu()  # first, and at the same moment as what this process itself has used
        import resource  # here: the orchestrator on Windows loads this module too

        own = resource.getrusage(resource.RUSAGE_SELF)
        return Counters(own=(own.ru_utime, own.ru_stime), **times, **self._throttling(), **self._memory())

    def _cpu(self) -> dict[str, Any]:
        stat = self._statistics("cpu", "cpu.stat")
        if "usage_usec" in stat:
            names = {"cpu": "usage_usec", "user": "user_usec", "system": "system_usec"}
            return {name: _scaled(stat.get(key), _MICRO) for name, key in names.items()}
        names = {"cpu": "cpuacct.usage", "user": "cpuacct.usage_user", "system": "cpuacct.usage_sys"}
        times: dict[str, Any] = {name: _scaled(_first(self._numbers(key)), _NANO) for name, key in names.items()}
        each = self._numbers("cpuacct.usage_percpu")
        return {**times, "each_cpu": [number / _NANO for number in each] if each else None}

    def _throttling(self) -> dict[str, Any]:
        stat = self._statistics("cpu", "cpu.stat")
        seconds = _scaled(stat.get("throttled_usec"), _MICRO)
        pressure = _PRESSURE.search(self._text("cpu", "cpu.pressure") or "")
        return {
            "pressure": int(pressure.group(1)) / _MICRO if pressure else None,
            "periods": stat.get("nr_periods"),
            "throttled_periods": stat.get("nr_throttled"),
            "throttled_seconds": _scaled(stat.get("throttled_time"), _NANO) if seconds is None else seconds,
        }

    def _memory(self) -> dict[str, Any]:
        events = self._statistics("memory", "memory.events") or self._statistics("memory", "memory.oom_control")

        def size(*names: str) -> Optional[int]:
            texts = (self._text("memory", name) for name in names)
            return next((int(text) for text in texts if text and text.isdecimal()), None)

        return {
            "memory": size("memory.current", "memory.usage_in_bytes"),
            "memory_peak": size("memory.peak", "memory.max_usage_in_bytes"),
            "oom_kills": events.get("oom_kill"),
        }

    def _text(self, controller: str, name: str) -> Optional[str]:
        folder = self._folders.get(controller)
        return None if folder is None else self._files.text(os.path.join(folder, name))

    def _numbers(self, name: str) -> List[int]:
        words = (self._text("cpuacct", name) or "").split()
        return [int(word) for word in words] if all(word.isdecimal() for word in words) else []

    def _statistics(self, controller: str, name: str) -> dict[str, int]:
        folder = self._folders.get(controller)
        if folder is None:
            return {}
        return {key: int(value) for key, value in statistics(os.path.join(folder, name), self._files).items()}


def _first(numbers: List[int]) -> Optional[int]:
    return numbers[0] if numbers else None


def _scaled(number: Optional[int], per_unit: float) -> Optional[float]:
    return None if number is None else number / per_unit
