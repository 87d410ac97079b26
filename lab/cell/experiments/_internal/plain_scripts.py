"""Plain scripts beside the rounds of ``gil``: whether they and the lab agree on what a speed-up is.

No experiment of the tutorial's, hence the underscore: ``benchmarks/agreement.py`` runs it. The scripts know nothing of
the lab's measuring; they take turns of a fraction of a second with it in the same cell, so that all meet the same
machine.
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

#: What is compared.
ARMS = ("threads", "processes")

#: Rounds of the lab in a turn.
ROUNDS = 3

#: The plain scripts' workers begin so long after their starting began, in seconds: all are there then.
LEAD_SECONDS = 0.03
#: How long one counts, in seconds, and how many pieces of work the other gives to each worker: about as long.
COUNTED_SECONDS = 0.1
PIECES = 1500


#: What a worker does from a start on (monotonic clock): how many pieces it has done, and when it ended.
Target = Callable[[float], Tuple[int, float]]


def piece() -> None:
    """Some 50 microseconds of pure Python on objects of its own."""
    total = 0
    for number in range(1000):
        total = (total * 31 + number) & 255


def count(start: float) -> tuple[int, float]:
    """How many pieces are done in a given time, and when it ended."""
    pieces = 0
    while time.monotonic() < start + COUNTED_SECONDS:
        piece()
        pieces += 1
    return pieces, start + COUNTED_SECONDS


def finish(start: float) -> tuple[int, float]:
    """As many pieces as there are to do, and when that ended."""
    for _ in range(PIECES):
        piece()
    return PIECES, time.monotonic()


def work(target: Target, start: float, cpu: int, answers: Any) -> None:
    """What a worker does, on a CPU of its own: where the scheduler puts one that is new costs some milliseconds."""
    os.sched_setaffinity(0, {cpu})
    time.sleep(max(0.0, start - time.monotonic()))
    answers.put(target(start))


def rate(target: Target, kind: str, cpus: Sequence[int]) -> float:
    """Pieces a second of a worker on each of these CPUs, together."""
    context: Any = multiprocessing.get_context("fork")
    threads = kind == "threads"
    answers: Any = queue.Queue() if threads else context.SimpleQueue()
    make: Any = threading.Thread if threads else context.Process
    start = time.monotonic() + LEAD_SECONDS
    team = [make(target=work, args=(target, start, cpu, answers)) for cpu in cpus]
    for one in team:
        one.start()
    found = [answers.get() for _ in team]
    for one in team:
        one.join()
    ended: float = max(end for _, end in found)
    done: int = sum(pieces for pieces, _ in found)
    return done / (ended - start)


def speed_up(target: Target, kind: str, cpus: Sequence[int]) -> float:
    """What a worker on each CPU does together with the others, over what one does alone, on the first and the last."""
    before, together, after = (rate(target, kind, some) for some in (cpus[:1], cpus, cpus[-1:]))
    return round(2 * together / (before + after), 5)


def run(recorder: Recorder) -> None:
    """A turn of the lab and one of each script, until the time is up."""
    wanted = (ALONE.name, *ARMS)
    arms = [arm for arm in gil.arms_for(len(recorder.cpus), gil_enabled()) if arm.name in wanted]
    order = shuffler(recorder.seed)
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus) as crew:
        crew.rounds(arms, 0, 2, order)  # warms up
        while time.monotonic() < until:
            for blocks in crew.rounds(arms, 0, ROUNDS, order):
                recorder.sample("round", blocks)
            found = {}
            for arm in ARMS:
                found[arm] = {target.__name__: speed_up(target, arm, recorder.cpus) for target in (count, finish)}
            recorder.sample("plain", found)


EXPERIMENTS = {
    "": Experiment(
        name=NAME,
        summary="Speed-ups of plain scripts beside those of the lab",
        method="In turn: three rounds of gil; what one worker and one for each CPU count in 100 ms; how long the"
        " same work for each takes them.",
        watch="The medians of each.",
        run=run,
        claims=(),
    )
}
