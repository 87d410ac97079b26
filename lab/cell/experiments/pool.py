"""``Pool``: its default size, its waves of tasks, ``close()``, ``join()`` and the errors of its tasks."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from typing import Any

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Finding,
    always,
    docs,
    holds,
    seen,
)
from lab.cell.claims.cpython import pool_size
from lab.cell.claims.recorder import Recorder, here
from lab.cell.measuring.overlap import most_at_once

WORKERS = 3
TASKS = 10


def task(number: int, seconds: float) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """A task of the tutorial: wait for a random time. Returns where and when the task began and ended."""
    start = here()
    time.sleep(seconds)
    return number, start, here()


def gather_at(barrier: Any) -> None:
    """The initializer: no worker takes a task before all workers have started, so a slow start decides nothing.

    It numbers the workers too, by the order in which they come.
    """
    threading.current_thread().name = "worker %d" % (1 + barrier.wait(30))


def fail() -> None:
    raise ZeroDivisionError("the task's own error")


def run(recorder: Recorder) -> None:
    recorder.observe("host CPUs", os.cpu_count(), "CPUs")
    default_size(recorder)
    waves(recorder)
    errors(recorder)


def default_size(recorder: Recorder) -> None:
    with multiprocessing.Pool() as pool:
        workers = len(multiprocessing.active_children())
        pool.close()
        pool.join()
    recorder.observe("default workers", workers, "workers")
    recorder.tell("Pool() started %d workers; this cell may use %d CPUs" % (workers, len(recorder.cpus)))


def waves(recorder: Recorder) -> None:
    barrier = multiprocessing.Barrier(WORKERS)
    pool = multiprocessing.Pool(WORKERS, gather_at, (barrier,))
    recorder.observe("explicit workers", len(multiprocessing.active_children()), "workers")
    order = random.Random(1)
    results = [pool.apply_async(task, (number, 0.02 + 0.04 * order.random())) for number in range(TASKS)]
    pool.close()
    try:
        pool.apply_async(task, (TASKS, 0))
    except ValueError as error:
        recorder.observe("close refused", True)
        recorder.tell("after close(), apply_async says: %s" % error)
    else:
        recorder.observe("close refused", False)
    pool.join()
    return_time = time.monotonic()
    recorder.observe("all ready at join", all(result.ready() for result in results))
    entries = [result.get(0) for result in results]
    recorder.observe("all ended before join", all(end["at"] <= return_time for _, _, end in entries))
    for number, start, end in sorted(entries, key=lambda entry: entry[1]["at"]):
        recorder.tell("task %d begins" % number, start)
        recorder.tell("task %d ends after %.0f ms" % (number, 1e3 * (end["at"] - start["at"])), end, start)
    recorder.observe(
        "most tasks at once", most_at_once([(start["at"], end["at"]) for _, start, end in entries]), "tasks"
    )
    recorder.observe("workers that worked", len({start["pid"] for _, start, _ in entries}), "workers")


def errors(recorder: Recorder) -> None:
    surfaced = False
    try:
        with multiprocessing.Pool(1) as pool:
            result = pool.apply_async(fail)
            pool.close()
            pool.join()
    except ZeroDivisionError:
        surfaced = True
    recorder.observe("error surfaced", surfaced)
    try:
        result.get(0)
    except ZeroDivisionError as error:
        recorder.tell("close() and join() said nothing of the failed task; get() raises: %s" % error)


def judge_default_size(evidence: Evidence, facts: Facts) -> Finding:
    workers = evidence.last("default workers")
    equal = workers == facts.rate
    budget = "%g CPU%s" % (facts.rate, "" if facts.rate == 1 else "s")
    if equal:
        reason = "Pool() started %d for %s" % (workers, budget)
    else:
        number, source = pool_size(facts)
        sources = {facts.host_cpus: "the host's CPUs", facts.cpus: "the CPUs in the affinity mask"}
        count = source if workers == number else sources.get(workers, "something else")
        reason = "Pool() started %d for %s: this Python counts %s" % (workers, budget, count)
    return Finding(CONFIRMED if equal else REFUTED, reason, workers, workers, workers, "workers", 1, 0, facts.rate)


def expect_default_size(facts: Facts) -> str | None:
    return CONFIRMED if pool_size(facts)[0] == facts.rate else REFUTED


def judge_cpu_count(evidence: Evidence, facts: Facts) -> Finding:
    workers, cpu_count = evidence.last("default workers"), evidence.last("host CPUs")
    reason = "Pool() started %d; os.cpu_count() says %d" % (workers, cpu_count)
    verdict = CONFIRMED if workers == cpu_count else REFUTED
    return Finding(verdict, reason, workers, workers, workers, "workers", 1, 0, cpu_count)


def expect_cpu_count(facts: Facts) -> str | None:
    # -X cpu_count, which Python has from 3.13, overrides both functions.
    return CONFIRMED if pool_size(facts)[0] == (facts.told_cpus or facts.host_cpus) else REFUTED


def judge_explicit_size(evidence: Evidence, facts: Facts) -> Finding:
    workers = evidence.last("explicit workers")
    verdict = CONFIRMED if workers == WORKERS else REFUTED
    return Finding(verdict, "Pool(%d) started %d" % (WORKERS, workers), workers, workers, workers, "workers", 1, 0)


def judge_waves(evidence: Evidence, facts: Facts) -> Finding:
    most, active_workers = evidence.last("most tasks at once"), evidence.last("workers that worked")
    reason = "at most %d of %d tasks at once; %d of %d workers got work" % (most, TASKS, active_workers, WORKERS)
    # On a busy machine a worker can get its CPU too late for any task. The pool is not the cause of that.
    verdict = REFUTED if most > WORKERS else CONFIRMED if active_workers == WORKERS else INCONCLUSIVE
    return Finding(verdict, reason, most, most, most, "tasks", 1, 0)


def judge_join(evidence: Evidence, facts: Facts) -> Finding:
    complete = evidence.last("all ready at join") and evidence.last("all ended before join")
    reason = "all %d tasks had ended" % TASKS if complete else "a task was still running after join()"
    return Finding(CONFIRMED if complete else REFUTED, reason)


EXPERIMENT = Experiment(
    name="pool",
    summary="Pool: how many workers it starts, and what it does with tasks and errors",
    method="Starts Pool() and counts its children. Then Pool(3) takes ten tasks that wait 20 to 60 ms. Each task"
    " reports its pid and its times, which show how many tasks ran at once. A last task raises, and nobody calls"
    " get().",
    watch="Compare the workers that Pool() started with the CPUs of the cell, and with those of the host.",
    run=run,
    typical_seconds=0.4,
    of_every_size=True,
    claims=(
        Claim(
            "pool.default-size",
            "Pool() starts as many workers as the cell may use CPUs",
            judge_default_size,
            expect_default_size,
            advice="Give the number yourself: Pool(len(os.sched_getaffinity(0))). Under a quota take the quota,"
            " rounded up, because no release of Python reads it.",
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "pool.cpu-count",
            "Pool() starts as many workers as os.cpu_count() says",
            judge_cpu_count,
            expect_cpu_count,
            advice="Do not take os.cpu_count() for the number of workers. From Python 3.13 on Pool() counts the CPUs of"
            " the process (os.process_cpu_count()), which are fewer under a CPU set.",
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "pool.explicit-size",
            "Pool(n) starts n workers",
            judge_explicit_size,
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "pool.waves",
            "w workers run at most w tasks at once, and all of them get work",
            judge_waves,
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "pool.close-refuses",
            "after close() no task may be submitted",
            holds("close refused", "ValueError: Pool not running", "a task was taken after close()"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "pool.join-waits",
            "join() waits for every task",
            judge_join,
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
        Claim(
            "pool.errors-surface",
            "the exception of an apply_async() task reaches the parent even if nobody calls get()",
            holds("error surfaced", "it was raised by join()", "only get() or an error_callback shows it"),
            always(REFUTED),
            advice="Call get() on each result. Or pass an error_callback: otherwise a task that failed looks like a"
            " task that worked.",
            source=seen(docs("library/multiprocessing.html#module-multiprocessing.pool")),
        ),
    ),
)
