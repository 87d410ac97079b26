"""How other runtimes turn a fraction of a CPU into a number of workers. Pure; Python 3.9 syntax, standard library only.

Given are the rules for rounding alone. Some of these runtimes read only the limit of their own control group and would
miss one above it.
"""

from __future__ import annotations

import math
from typing import Callable, NamedTuple, Tuple


class Rounding(NamedTuple):
    """The rule by which a runtime rounds a quota."""

    #: The runtime.
    runtime: str
    #: The rule, in words.
    rule: str
    #: Turns a number of CPUs (above 0) into a whole number.
    whole: Callable[[float], int]
    #: Where the rule is written.
    source: str


def _up(cpus: float) -> int:
    return max(1, math.ceil(cpus))


def _up_from_two(cpus: float) -> int:
    return max(2, math.ceil(cpus))


def _down(cpus: float) -> int:
    return max(1, math.floor(cpus))


def _nearest(cpus: float) -> int:
    return max(1, math.floor(cpus + 0.5))


ROUNDINGS: Tuple[Rounding, ...] = (
    Rounding("JVM", "up", _up, "openjdk/jdk src/hotspot/os/linux/cgroupUtil_linux.cpp, processor_count"),
    Rounding(".NET", "up", _up, "https://learn.microsoft.com/dotnet/api/system.environment.processorcount"),
    Rounding("loky, joblib", "up", _up, "joblib/loky loky/backend/context.py, _cpu_count_cgroup"),
    Rounding("Go 1.25", "up, at least 2", _up_from_two, "golang/go src/runtime/cgroup_linux.go, defaultGOMAXPROCS"),
    Rounding("Rust", "down, at least 1", _down, "https://github.com/rust-lang/rust/pull/92697, cgroup2_quota"),
    Rounding("Node.js", "down, at least 1", _down, "libuv/libuv src/unix/core.c, uv_available_parallelism, from 1.49"),
    Rounding("automaxprocs", "down, at least 1", _down, "uber-go/automaxprocs internal/runtime, DefaultRoundFunc"),
    Rounding("nproc 9.8", "nearest, at least 1", _nearest, "GNU coreutils, its test that nproc honors cgroup quotas"),
)


def workers(rounding: Rounding, parallelism: int, rate: float) -> int:
    """How many workers that runtime would start with P CPUs and R of CPU time.

    No runtime goes beyond the affinity mask. Where the quota is no less than the mask, no runtime rounds anything.
    """
    return min(parallelism, rounding.whole(rate)) if rate < parallelism else parallelism
