"""Rules that turn a fraction of a CPU into a number of workers. Pure; Python 3.9 syntax, standard library only.

A runtime rounds by itself. Some of these read only the limit of their own control group and would miss one above it,
so the numbers here follow the rule alone. A tool starts what its user sets.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple


class Rule(NamedTuple):
    """The rule of a runtime or of a tool."""

    #: The name of the runtime or tool, perhaps with its version. Several that share a rule stand side by side.
    name: str
    #: The rule, in words.
    words: str
    #: Turns a number of CPUs (above 0) into a whole number.
    whole: Callable[[float], int]
    #: Where the rule is written.
    source: str
    #: The option of the command line, or the function's argument, that takes the number; empty: none.
    option: str = ""
    #: The environment variable that takes the number; empty: none.
    variable: str = ""
    #: The number of workers is this times the whole number of CPUs …
    times: int = 1
    #: … and this.
    plus: int = 0

    @property
    def names(self) -> List[str]:
        """The names that a user may type, without a version: ``loky``, ``Go``."""
        return [name.split()[0] for name in self.name.split(", ")]


def _up(cpus: float) -> int:
    return max(1, math.ceil(cpus))


def _up_from_two(cpus: float) -> int:
    return max(2, math.ceil(cpus))


def _down(cpus: float) -> int:
    return max(1, math.floor(cpus))


def _nearest(cpus: float) -> int:
    return max(1, math.floor(cpus + 0.5))


#: What runtimes make of a fraction by themselves.
RUNTIMES: Tuple[Rule, ...] = (
    Rule(
        "JVM",
        "up",
        _up,
        "https://github.com/openjdk/jdk/blob/master/src/hotspot/os/linux/cgroupUtil_linux.cpp, processor_count",
        option="-XX:ActiveProcessorCount",
    ),
    Rule(".NET", "up", _up, "https://learn.microsoft.com/dotnet/api/system.environment.processorcount"),
    Rule(
        "loky, joblib",
        "up",
        _up,
        "https://github.com/joblib/loky/blob/master/loky/backend/context.py, _cpu_count_cgroup",
        option="n_jobs",
        variable="LOKY_MAX_CPU_COUNT",
    ),
    Rule(
        "Go 1.25",
        "up, at least 2",
        _up_from_two,
        "https://github.com/golang/go/blob/go1.25.0/src/runtime/cgroup_linux.go, defaultGOMAXPROCS",
        variable="GOMAXPROCS",
    ),
    Rule("Rust", "down, at least 1", _down, "https://github.com/rust-lang/rust/pull/92697, cgroup2_quota"),
    Rule(
        "Node.js",
        "down, at least 1",
        _down,
        "https://github.com/libuv/libuv/blob/v1.49.0/src/unix/core.c, uv_available_parallelism",
    ),
    Rule(
        "automaxprocs",
        "down, at least 1",
        _down,
        "https://github.com/uber-go/automaxprocs/blob/master/internal/runtime/runtime.go, DefaultRoundFunc",
        variable="GOMAXPROCS",
    ),
    Rule(
        "nproc 9.8",
        "nearest, at least 1",
        _nearest,
        "https://github.com/coreutils/coreutils/blob/master/tests/nproc/nproc-quota.sh",
    ),
)

#: What to set where a tool does not look at the quota: its own advice, with ⌈R⌉ for the CPUs that the advice speaks of.
TOOLS: Tuple[Rule, ...] = (
    Rule(
        "gunicorn",
        "2 × ⌈R⌉ + 1; it starts 1 by itself",
        _up,
        "https://docs.gunicorn.org/en/stable/design.html#how-many-workers",
        option="--workers",
        variable="WEB_CONCURRENCY",
        times=2,
        plus=1,
    ),
    Rule(
        "uvicorn",
        "⌈R⌉; it starts 1 by itself, and gives no rule",
        _up,
        "https://www.uvicorn.org/settings/#production",
        option="--workers",
        variable="WEB_CONCURRENCY",
    ),
    Rule(
        "celery",
        "⌈R⌉; by itself it counts CPUs and sees no quota",
        _up,
        "https://docs.celeryq.dev/en/stable/userguide/workers.html#concurrency",
        option="--concurrency",
        variable="CELERY_WORKER_CONCURRENCY",
    ),
    Rule(
        "pytest-xdist",
        "⌈R⌉; -n auto counts CPUs and sees no quota",
        _up,
        "https://pytest-xdist.readthedocs.io/en/stable/distribution.html",
        option="-n",
        variable="PYTEST_XDIST_AUTO_NUM_WORKERS",
    ),
    Rule(
        "OMP_NUM_THREADS",
        "⌈R⌉; OpenMP starts a thread for each CPU and sees no quota",
        _up,
        "https://gcc.gnu.org/onlinedocs/libgomp/OMP_005fNUM_005fTHREADS.html",
        variable="OMP_NUM_THREADS",
    ),
)


def workers(rule: Rule, parallelism: int, rate: float) -> int:
    """How many workers follow from a rule with P CPUs and R of CPU time.

    No rule counts CPUs beyond the affinity mask. Where the quota is no less than the mask, no rule rounds anything.
    """
    cpus = min(parallelism, rule.whole(rate)) if rate < parallelism else parallelism
    return rule.times * cpus + rule.plus


def variables(rules: Sequence[Rule], parallelism: int, rate: float) -> Dict[str, Dict[str, int]]:
    """Environment variable -> name of each rule that it takes its number from -> that number."""
    numbers: Dict[str, Dict[str, int]] = {}
    for rule in rules:
        if rule.variable:
            numbers.setdefault(rule.variable, {})[rule.name] = workers(rule, parallelism, rate)
    return numbers
