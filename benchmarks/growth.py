"""What a process costs, and how fast a cost grows with the size of its work."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent

#: A process that takes less CPU time than this, in seconds, runs three times, and the least cost is taken.
_SHORT = 1.0

#: The share by which a cost has to be above that of the smallest size to say anything about its growth.
_LEAST_GROWTH = 0.2

#: Starts a program, and prints its exit code, its elapsed time and CPU time in seconds, and its peak memory in bytes.
#: The kernel counts the memory of the process that starts another one as that one's too, so this one is small.
_STARTER = """
import os, sys, time
began = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - began
print([os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024])
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process took."""

    #: Elapsed time, in seconds.
    wall: float
    #: CPU time of it and of its children, in seconds.
    cpu: float
    #: Peak memory, in bytes.
    memory: float


def cost(arguments: Sequence[str]) -> Cost:
    """What Python with these arguments costs. A short process runs three times; the least time and memory count.

    Exits where the process fails. The exit code 1 of a command of the lab is a finding, such as a regression.
    """
    runs = [_run(arguments)]
    while len(runs) < 3 and runs[0].cpu < _SHORT:
        runs.append(_run(arguments))
    return Cost(
        wall=min(run.wall for run in runs), cpu=min(run.cpu for run in runs), memory=min(run.memory for run in runs)
    )


def _run(arguments: Sequence[str]) -> Cost:
    starter = [sys.executable, "-I", "-S", "-c", _STARTER, sys.executable, *arguments]
    printed = subprocess.run(starter, stdout=subprocess.PIPE, cwd=ROOT, check=True).stdout
    code, wall, cpu, memory = json.loads(printed)
    if code != 0 and (code, *arguments[:2]) != (1, "-m", "lab"):
        sys.exit(f"python {' '.join(arguments)[:200]} ended with {code}")
    return Cost(wall=wall, cpu=cpu, memory=memory)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """The exponent with which a cost grows with the size: 1 for a cost that grows as the work does.

    It is the slope of a straight line through the logarithms of what the larger sizes cost more than the smallest, over
    how much larger they are. So what the process costs at any size, such as the start of Python, does not count. The
    line is fitted by least squares. A point weighs as much as its cost, because large costs are known best, and sizes
    that cost hardly more than the smallest have no point. ``None`` where fewer than two points are left.
    """
    points = [
        (math.log(size - sizes[0]), math.log(value - costs[0]), value - costs[0])
        for size, value in zip(sizes[1:], costs[1:], strict=True)
        if value > (1 + _LEAST_GROWTH) * costs[0]
    ]
    if len(points) < 2:
        return None
    x, y, weights = np.array(points).T
    return float(np.polyfit(x, y, 1, w=np.sqrt(weights))[0])
