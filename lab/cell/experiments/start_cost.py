"""Start cost: the time to start a worker of each kind, and the length from which a task is worth that time."""

from __future__ import annotations

import time
from typing import Sequence

from lab.cell.claims.claim import CONFIRMED, Evidence, Experiment, Figure, Round, Tolerance, always, docs, seen
from lab.cell.claims.measured import Measured, claim, enough, over, value_of
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.rounds import Crew, shuffler
from lab.cell.measuring.starting import FLOOR, FORKSERVER_FIRST, first_forkserver, start_process, ways_to_start

FEWEST_ROUNDS = 6


def run(recorder: Recorder) -> None:
    order = shuffler(recorder.seed)
    blocks = ways_to_start()
    first_forkserver()  # the first start has to read files
    start_process("forkserver")  # from now on its server is warm
    with Crew(recorder.cpus) as crew:
        rounds: list[Round] = []
        until = time.monotonic() + recorder.seconds
        while not enough(rounds, FEWEST_ROUNDS, MEASURED.values(), until):
            rounds.append(crew.gated(blocks, len(rounds), order))
            recorder.sample("round", rounds[-1])
    for name in blocks:
        recorder.tell("%s: a worker that does nothing took %.2f ms" % (name, 1e3 * rounds[-1][name]["seconds"]))


def cost(name: str) -> Measured:
    return Measured((name,), value_of(name, "seconds"), unit="s", better="lower")


def worth(name: str) -> Measured:
    """The break-even length of a task on two workers, in seconds."""
    return Measured((name,), lambda blocks: break_even(blocks[name]["seconds"], 2), unit="s", better="lower")


def break_even(start: float, workers: int) -> float:
    """The length of a task, in seconds, from which parallel workers are quicker than as many tasks in a row.

    P workers start one after the other, so P·t = P·s + t. It follows that t = P·s / (P - 1).
    """
    return workers * start / (workers - 1)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    ways = [name for name in WAYS if rounds and name in rounds[0]]
    starts = [cost(name).figure("start, " + name, rounds) for name in ways]
    break_evens = [
        worth(name).figure("2 workers pay from, " + name, rounds)
        for name in ways
        if name not in ("thread", FLOOR, FORKSERVER_FIRST)
    ]
    return starts + break_evens


#: All ways to start a worker, in the order of the table.
WAYS = ("thread", FLOOR, "fork", FORKSERVER_FIRST, "forkserver", "spawn", "interpreter")


def compare(slow: str, quick: str) -> Measured:
    return Measured(
        (slow, quick),
        over(slow, quick, "seconds"),
        lambda times: f"starting by {slow} took {times:.1f} times as long as by {quick}",
        # A bare fork is the lower bound for processes, but not for threads.
        ceiling=((slow, FLOOR), over(slow, FLOOR, "seconds")) if quick != "thread" else None,
    )


_TWICE = Tolerance(2, None, "twice is more than the spread of either")
_A_TENTH = Tolerance(1.1, None, "a tenth more is more than one start differs from the next")

#: Claim -> its measurement, and the tolerance that confirms it.
MEASURED = {
    "start-cost.thread-cheapest": (compare("fork", "thread"), _TWICE),
    "start-cost.spawn-dearest": (compare("spawn", "fork"), _TWICE),
    "start-cost.warm-server": (compare("spawn", "forkserver"), _A_TENTH),
}

EXPERIMENT = Experiment(
    name="start-cost",
    summary="Start cost of each kind of worker, and how long a task must be to pay",
    method="Six rounds start a worker that does nothing and wait for it, in each way that this Python has, in random"
    " order. A fork server is measured when it is new and when it is warm. P workers, started one after the other, pay"
    " from the task length t = P s / (P - 1) on, where s is the start cost.",
    watch="Between a thread and a spawned process lie two to three orders of magnitude. A task that is much shorter"
    " than the start of a worker ends sooner without a worker.",
    run=run,
    typical_seconds=2.0,
    figures=figures,
    claims=(
        claim(
            "start-cost.thread-cheapest",
            "a thread starts in less than half the time of a forked process",
            *MEASURED["start-cost.thread-cheapest"],
            always(CONFIRMED),
            source=seen(),
        ),
        claim(
            "start-cost.spawn-dearest",
            "a spawned process takes more than twice as long to start as a forked one",
            *MEASURED["start-cost.spawn-dearest"],
            always(CONFIRMED),
            advice="Prefer spawn or forkserver to fork here: they cost hardly more, and are safe beside threads.",
            source=seen(docs("library/multiprocessing.html#contexts-and-start-methods")),
        ),
        claim(
            "start-cost.warm-server",
            "a warm fork server starts workers sooner than spawn does",
            *MEASURED["start-cost.warm-server"],
            always(CONFIRMED),
            advice="Take spawn rather than forkserver here: even a warm fork server gains nothing.",
            source=seen(docs("library/multiprocessing.html#contexts-and-start-methods")),
        ),
    ),
    extra=True,
)
