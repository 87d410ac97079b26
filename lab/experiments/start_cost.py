"""Start cost: what it takes to start a worker of each kind, and how long a task has to be for that to pay."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import threading
import time
from typing import Any, Callable, Sequence

from lab.experiments._claims import CONFIRMED, Evidence, Experiment, Figure, Round, Tolerance, always, docs, seen
from lab.experiments._measured import Measured, claim, enough, of, over
from lab.experiments._rounds import Crew, shuffler
from lab.experiments._voice import Voice

FEWEST_ROUNDS = 6
THREADS = 20  # in a block: one alone is too short to time

FORKSERVER_FIRST = "forkserver, first"

#: The least that a new process can take.
FLOOR = "bare fork"


def _timed(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _threads() -> None:
    for _ in range(THREADS):
        thread = threading.Thread(target=time.sleep, args=(0,))
        thread.start()
        thread.join()


def _process(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=time.sleep, args=(0,))  # so that no worker has to import code of ours
    process.start()
    process.join()


def _bare_fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _interpreter() -> None:
    # Older Pythons, and the stubs for them, do not have it.
    import concurrent.interpreters as interpreters  # type: ignore[import-not-found,unused-ignore]

    one = interpreters.create()
    one.exec("pass")
    one.close()


def _first_forkserver() -> float:
    """Seconds of the first use, in a child that has no fork server yet; it ends with that child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            from multiprocessing import forkserver

            # A server that was started before the fork is the parent's; this child is to have its own. There is no
            # public way to forget one; that the class may be another by then is what mypy objects to.
            forkserver._forkserver.__init__()  # type: ignore[misc]
            os.write(writer, b"%.9f" % _timed(lambda: _process("forkserver")))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return float(text)


def blocks_here() -> dict[str, Callable[[], dict[str, Any]]]:
    """The ways to start a worker that this Python has, each as a block: seconds until a no-op has run and ended."""

    def block(act: Callable[[], float]) -> Callable[[], dict[str, Any]]:
        return lambda: {"seconds": round(act(), 8)}

    found = {
        "thread": block(lambda: _timed(_threads) / THREADS),
        FLOOR: block(lambda: _timed(_bare_fork)),
        FORKSERVER_FIRST: block(_first_forkserver),
    }
    for method in ("fork", "forkserver", "spawn"):
        found[method] = block(functools.partial(_timed, functools.partial(_process, method)))
    if sys.version_info >= (3, 14):
        found["interpreter"] = block(lambda: _timed(_interpreter))
    return found


def run(voice: Voice) -> None:
    order = shuffler(voice.seed)
    blocks = blocks_here()
    _first_forkserver()  # the first time, files have to be read
    _process("forkserver")  # from here on its server is warm
    with Crew(voice.cpus) as crew:
        rounds: list[Round] = []
        until = time.monotonic() + voice.seconds
        while not enough(rounds, FEWEST_ROUNDS, MEASURED.values(), until):
            rounds.append(crew.gated(blocks, len(rounds), order))
            voice.sample("round", rounds[-1])
    for name in blocks:
        voice.tell("%s: a worker that does nothing took %.2f ms" % (name, 1e3 * rounds[-1][name]["seconds"]))


def cost(name: str) -> Measured:
    return Measured((name,), of(name, "seconds"), "", unit="s")


def worth(name: str) -> Measured:
    """The break-even length of a task on two workers, in seconds."""
    return Measured((name,), lambda blocks: break_even(blocks[name]["seconds"], 2), "", unit="s")


def break_even(start: float, workers: int) -> float:
    """How long a task has to be, in seconds, for that many workers, started one after the other, to end sooner than
    doing as many tasks in a row: P·t = P·s + t, so t = P·s / (P - 1)."""
    return workers * start / (workers - 1)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    ways = [name for name in WAYS if rounds and name in rounds[0]]
    starts = [cost(name).figure("start, " + name, rounds) for name in ways]
    pays = [
        worth(name).figure("2 workers pay from, " + name, rounds)
        for name in ways
        if name not in ("thread", FLOOR, FORKSERVER_FIRST)
    ]
    return starts + pays


#: In the order of a table.
WAYS = ("thread", FLOOR, "fork", FORKSERVER_FIRST, "forkserver", "spawn", "interpreter")


def compare(slow: str, quick: str) -> Measured:
    return Measured(
        (slow, quick),
        over(slow, quick, "seconds"),
        "starting by %s took %%.1f times as long as by %s" % (slow, quick),
        # No new process is quicker than a bare fork; a thread is.
        ceiling=((slow, FLOOR), over(slow, FLOOR, "seconds")) if quick != "thread" else None,
    )


_TWICE = Tolerance(2, None, "twice is more than the spread of either")
_A_TENTH = Tolerance(1.1, None, "a tenth more is more than one start differs from the next")

#: Claim -> how it is measured, and the tolerance that confirms it.
MEASURED = {
    "start-cost.thread-cheapest": (compare("fork", "thread"), _TWICE),
    "start-cost.spawn-dearest": (compare("spawn", "fork"), _TWICE),
    "start-cost.warm-server": (compare("spawn", "forkserver"), _A_TENTH),
}

EXPERIMENT = Experiment(
    name="start-cost",
    summary="Start cost of each kind of worker, and how long a task must be to pay",
    method="A worker that does nothing is started and waited for, by each way that this Python has, in random order,"
    " six rounds; a fork server once new and once warm. From the start cost s follows from which task length t on P"
    " workers, started one after the other, pay: t = P s / (P - 1).",
    watch="Between a thread and a spawned process lie two to three orders of magnitude. A task much shorter than its"
    " worker's start is done sooner without one.",
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
            advice="Take spawn rather than forkserver here: a fork server that runs already gains nothing.",
            source=seen(docs("library/multiprocessing.html#contexts-and-start-methods")),
        ),
    ),
    extra=True,
)
