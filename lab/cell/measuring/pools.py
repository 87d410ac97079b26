"""Pools of many sizes: which ones suit a limit, the tasks that keep them busy, and what a block of these tells."""

from __future__ import annotations

import contextlib
import functools
import math
import multiprocessing
import multiprocessing.pool
import random
import threading
import time
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from lab.cell.claims.claim import Evidence, Round
from lab.cell.claims.quantiles import histogram
from lab.cell.cpus.cgroups import tightest
from lab.cell.measuring.cell_limit import CellLimit
from lab.cell.measuring.memory import memory_of
from lab.cell.measuring.payloads import Tools, count

FACTORS = (0.5, 1, 2, 4, 8)
COMPUTING, WAITING = "CPU-bound", "waiting"

#: One task: so long at 50 ns a number (of :func:`count`), or asleep. Longer where there are many workers, since the
#: pool's one parent hands out every task: it is never asked for more than 4000 a second.
TASK_SECONDS, SLEEP_SECONDS = 0.003, 0.01
PARENT_SECONDS_A_TASK = 0.00025
STEP_SECONDS = 5e-5

#: Without a quota a block measures so long, after so much in which its workers get going.
SPAN_SECONDS, WARM_SECONDS = 0.05, 0.01

#: Tasks handed to a pool before their turn, for each worker and for all: with one it would wait for the parent after
#: each task. And a parent that has to share the CPUs with as many workers is late by several tasks: with two for each
#: of two workers, four workers did a fifth more only because more lay ready for them.
AHEAD, AHEAD_FOR_ALL = 2, 8

#: A block of tasks that compute must have had so much of the CPU time that its workers could get, the least of their
#: number and R: with a worker for each CPU, handing out and taking tasks takes up to a third of it, under a quota
#: a tenth. With less, a neighbour had it, which more workers may have won back. Or the quota must have run out in
#: so many of its periods (all but one that the block only touches): then the cell had all that it may have.
LEAST_OF_CPUS, LEAST_OF_QUOTA, LEAST_THROTTLED = 0.6, 0.8, 0.66


class Window(NamedTuple):
    """When work counts, on the monotonic clock."""

    #: When the window begins. Work before it only gets the workers going.
    start: float
    #: When the window ends.
    end: float


def name_of(payload: str, workers: int) -> str:
    return "%s, %d" % (payload, workers)


class Did(NamedTuple):
    """A task that was done."""

    #: The share of the task that lies within the window.
    share: float
    #: How long the task took by the clock, in seconds.
    seconds: float
    #: How much CPU time the task took, in seconds.
    cpu_seconds: float


def compute(steps: int, span: Window) -> Did | None:
    """A CPU-bound task; ``None`` when the span is over already."""
    begun, cpu = time.monotonic(), time.thread_time()
    if begun >= span.end:
        return None
    now = begun
    tools, counted = Tools(b"", None), 0
    for _ in range(steps):
        count(tools)
        now = time.monotonic()
        counted += span.start <= now < span.end
    return Did(counted / steps, now - begun, time.thread_time() - cpu)


def wait(seconds: float, span: Window) -> Did | None:
    """A task that waits, and computes for 50 µs; ``None`` when the span is over already."""
    begun, cpu = time.monotonic(), time.thread_time()
    if begun >= span.end:
        return None
    time.sleep(seconds)
    count(Tools(b"", None))
    ended = time.monotonic()
    share = max(0.0, min(ended, span.end) - max(begun, span.start)) / (ended - begun)
    return Did(share, ended - begun, time.thread_time() - cpu)


class Pools:
    """A pool for each number of workers, forked once and kept; use as a context manager."""

    def __init__(self, counts: Sequence[int]) -> None:
        context = multiprocessing.get_context("fork")
        self._pools: dict[int, Any] = {}
        self._pids: dict[int, list[int]] = {}
        with contextlib.ExitStack() as stack:
            for workers in counts:
                before = {process.pid for process in multiprocessing.active_children()}
                self._pools[workers] = stack.enter_context(context.Pool(workers))
                now = {process.pid for process in multiprocessing.active_children()}
                self._pids[workers] = sorted(pid for pid in now - before if pid)
            self._stack = stack.pop_all()

    def __enter__(self) -> Pools:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def block(self, workers: int, task: Callable[[Window], Any], warm: float, seconds: float) -> dict[str, Any]:
        """Keep that pool busy with this task for ``seconds`` after ``warm`` seconds.

        The result has these keys:

        - ``rate``: tasks per second;
        - ``cores``: CPU seconds of the workers per second;
        - ``tasks`` and ``times``: how many tasks ended, and a histogram of the times that they took;
        - ``throttled``: the share of the quota's periods in which the quota ran out;
        - ``stopped_cpus``: how many CPUs the quota stopped, on average;
        - ``memory``: MiB of the workers.
        """
        before, begun = tightest(), time.monotonic()
        span = Window(begun + warm, begun + warm + seconds)
        slots = threading.Semaphore(AHEAD * workers + AHEAD_FOR_ALL)

        def feed() -> Iterator[Window]:
            while time.monotonic() < span.end:
                slots.acquire()
                yield span

        tasks: list[Did] = []
        for did in self._pools[workers].imap_unordered(task, feed()):
            slots.release()
            tasks.extend([did] if did else [])
        wall, after = time.monotonic() - begun, tightest()
        block: dict[str, Any] = {
            "rate": round(sum(did.share for did in tasks) / seconds, 3),
            "cores": round(sum(did.share * did.cpu_seconds for did in tasks) / seconds, 5),
            "times": histogram([did.seconds for did in tasks]),
            "tasks": len(tasks),
        }
        if before and after:
            periods = max(after.periods - before.periods, 1)
            block["throttled"] = round((after.throttled_periods - before.throttled_periods) / periods, 5)
            block["stopped_cpus"] = round((after.throttled_seconds - before.throttled_seconds) / wall, 5)
        return dict(block, memory=round(sum(map(memory_of, self._pids[workers])), 3))


class Plan(NamedTuple):
    """What is run in a cell."""

    #: The numbers of workers to run.
    counts: tuple[int, ...]
    #: The number of workers that fits R.
    fitting: int
    #: The multiples of R that are more than R.
    beyond: tuple[int, ...]
    #: The number of workers that ``Pool()`` takes.
    default: int


def plan_of(rate: float, default: int) -> Plan:
    """The plan for a rate of so many CPUs: ½, 1, 2, 4 and 8 times as many workers, whole ones, and ``Pool()``'s. Of a
    rate so small that all of these are one worker, two are more than it too."""
    fitting = math.ceil(rate)
    multiples = {max(1, round(rate / 2)) if factor < 1 else math.ceil(factor * rate) for factor in FACTORS}
    beyond = tuple(sorted(multiple for multiple in multiples if multiple > fitting)) or (2 * fitting,)
    return Plan(tuple(sorted(multiples | {default, *beyond})), fitting, beyond, default)


def seen_plan(evidence: Evidence) -> Plan:
    """The plan that was run. Raises LookupError when the experiment did not say."""
    plan = evidence.last("plan")
    return Plan(tuple(plan["counts"]), plan["fitting"], tuple(plan["beyond"]), plan["default"])


def blocks_of(pools: Pools, plan: Plan, limit: CellLimit) -> dict[str, dict[str, Callable[[], dict[str, Any]]]]:
    """Payload -> the blocks of a round, by name.

    Under a quota a pool runs at full speed or stands still. A block shorter than the period of the quota would show
    either, and a block of any length but whole periods would show more or less than R. So a block is one whole period,
    after one more period that does not count. In that first period every pool comes to start with a full quota at the
    start of a period, whatever the pool before it has left. From then on each period is like the last, and any stretch
    as long as a period holds exactly one quota. Longer blocks would show the same, and fewer of them.
    Workers that wait hardly use the quota, so that they need no more than a rest before, except where there are very
    many of them.
    """
    task_seconds = max(TASK_SECONDS, plan.fitting * PARENT_SECONDS_A_TASK)
    steps = round(task_seconds / STEP_SECONDS)
    sleep_seconds = max(SLEEP_SECONDS, plan.counts[-1] * PARENT_SECONDS_A_TASK)
    usual = (sleep_seconds, max(SPAN_SECONDS, 3 * sleep_seconds))
    blocks: dict[str, dict[str, Callable[[], dict[str, Any]]]] = {COMPUTING: {}, WAITING: {}}
    for workers in plan.counts:
        whole = (limit.period_seconds, limit.period_seconds)
        short = (WARM_SECONDS, SPAN_SECONDS)
        many = limit.quota and workers > FACTORS[-1] * plan.fitting
        for payload, task, (warm, seconds) in (
            (COMPUTING, functools.partial(compute, steps), whole if limit.quota else short),
            (WAITING, functools.partial(wait, sleep_seconds), whole if many else usual),
        ):
            block = functools.partial(pools.block, workers, task, warm, seconds)
            blocks[payload][name_of(payload, workers)] = block
    return blocks


def computing_round(
    blocks: Mapping[str, Callable[[], dict[str, Any]]], plan: Plan, limit: CellLimit, order: random.Random
) -> Round:
    """A round of tasks that compute. They keep the CPUs busy themselves, so that what each block got of them tells more
    of its disturbances than a probe before it would."""
    results: Round = {}
    for workers in order.sample(plan.counts, len(plan.counts)):
        block = blocks[name_of(COMPUTING, workers)]()
        results[name_of(COMPUTING, workers)] = dict(block, disturbed=disturbance(block, min(workers, limit.rate)))
    return results


def disturbance(block: Mapping[str, Any], most: float) -> str | None:
    """Why a block of tasks that compute must not count, whose workers could get so many CPUs; ``None`` when it may."""
    least = LEAST_OF_QUOTA if "throttled" in block else LEAST_OF_CPUS
    had_all = block["cores"] >= least * most or block.get("throttled", 0) >= LEAST_THROTTLED
    return None if had_all else "run delay"


def own_number() -> int:
    """How many workers ``Pool()`` starts here, counted."""
    with multiprocessing.get_context("fork").Pool():
        return len(multiprocessing.active_children())
