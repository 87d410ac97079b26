"""Plain scripts beside the rounds of ``gil``: they show whether a plain script and the lab measure the same speed-up.

``benchmarks/agreement.py`` runs this experiment, which does not belong to the tutorial. The scripts use none of the
lab's measuring code. Scripts and lab take turns of a fraction of a second in the same cell, so all of them meet the
same machine.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from typing import Any, Callable, Sequence, Tuple

from lab.cell.claims.claim import Experiment
from lab.cell.claims.recorder import Recorder
from lab.cell.experiments import gil
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.rounds import ALONE, Crew, shuffler

NAME = "_plain_scripts"

#: The arms that are compared.
ARMS = ("threads", "processes")

#: Rounds of the lab in a turn.
ROUNDS = 3

#: The time, in seconds, from the creation of a plain script's workers to the start of their work. By then all workers
#: wait for it.
LEAD_SECONDS = 0.03
#: For so many seconds :func:`count` counts.
COUNTED_SECONDS = 0.1
#: So many pieces of work :func:`finish` gives to each worker; they take about as long.
PIECES = 1500


#: What a worker runs. It takes a start time (monotonic clock) and returns the number of pieces done and the end time.
Target = Callable[[float], Tuple[int, float]]


def piece() -> None:
    """Run pure Python code for about 50 microseconds, on objects that no other worker uses."""
    total = 0
    for number in range(1000):
        total = (total * 31 + number) & 255


def count(start: float) -> tuple[int, float]:
    """Count the pieces that fit into a fixed time. Returns their number and the end time."""
    pieces = 0
    while time.monotonic() < start + COUNTED_SECONDS:
        piece()
        pieces += 1
    return pieces, start + COUNTED_SECONDS


def finish(start: float) -> tuple[int, float]:
    """Do a fixed number of pieces. Returns their number and the end time."""
    for _ in range(PIECES):
        piece()
    return PIECES, time.monotonic()


def work(target: Target, start: float, cpu: int, answers: Any) -> None:
    """Run a worker on its own CPU. The scheduler would need some milliseconds to find a CPU for a new worker."""
    os.sched_setaffinity(0, {cpu})
    time.sleep(max(0.0, start - time.monotonic()))
    answers.put(target(start))


def rate(target: Target, kind: str, cpus: Sequence[int]) -> float:
    """The pieces per second of all workers together, with a worker on each of these CPUs."""
    context: Any = multiprocessing.get_context("fork")
    threads = kind == "threads"
    answers: Any = queue.Queue() if threads else context.SimpleQueue()
    make: Any = threading.Thread if threads else context.Process
    start = time.monotonic() + LEAD_SECONDS
    team = [make(target=work, args=(target, start, cpu, answers)) for cpu in cpus]
    for worker in team:
        worker.start()
    results = [answers.get() for _ in team]
    for worker in team:
        worker.join()
    end: float = max(end for _, end in results)
    total: int = sum(pieces for pieces, _ in results)
    return total / (end - start)


def speed_up(target: Target, kind: str, cpus: Sequence[int]) -> float:
    """The rate of all workers together, over the mean rate of a single worker on the first and on the last CPU."""
    first, together, last = (rate(target, kind, group) for group in (cpus[:1], cpus, cpus[-1:]))
    return round(2 * together / (first + last), 5)


def run(recorder: Recorder) -> None:
    """Let the lab and each script take turns until the time is up."""
    names = (ALONE.name, *ARMS)
    arms = [arm for arm in gil.arms_for(len(recorder.cpus), gil_enabled()) if arm.name in names]
    order = shuffler(recorder.seed)
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus) as crew:
        crew.rounds(arms, 0, 2, order)  # warms up
        while time.monotonic() < until:
            for blocks in crew.rounds(arms, 0, ROUNDS, order):
                recorder.sample("round", blocks)
            speed_ups = {}
            for arm in ARMS:
                speed_ups[arm] = {target.__name__: speed_up(target, arm, recorder.cpus) for target in (count, finish)}
            recorder.sample("plain", speed_ups)


EXPERIMENTS = {
    "": Experiment(
        name=NAME,
        summary="Speed-ups of plain scripts beside those of the lab",
        method="Three measurements take turns: three rounds of gil; the work that one worker, and one worker on each"
        " CPU, do in 100 ms; and the time that they take for a fixed amount of work.",
        watch="Compare the medians of the three.",
        run=run,
        claims=(),
    )
}
