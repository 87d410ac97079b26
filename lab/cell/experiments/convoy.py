"""The convoy effect: how late a thread that only sleeps wakes up beside threads that compute."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any, Sequence

from lab.cell.claims.claim import CONFIRMED, REFUTED, Evidence, Experiment, Figure, Round, Tolerance, seen
from lab.cell.claims.estimates import median
from lab.cell.claims.measured import Measured, claim, enough, over, value_of
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.payloads import Tools, count
from lab.cell.measuring.rounds import Crew, shuffler

SLEEP_SECONDS = 0.001
SLEEPS = 3
#: The numbers of CPU-bound threads beside the sleeper.
COMPANIES = (0, 1, 4)
FEWEST_ROUNDS = 6

_USUAL_SWITCH_SECONDS = 0.005


def name_of(company: int) -> str:
    return "beside %d" % company


def late_beside(company: int) -> dict[str, Any]:
    """One block: a few sleeps beside ``company`` CPU-bound threads, and the median and the most of their delays."""
    stop = threading.Event()
    tools = Tools(b"", None)

    def compute() -> None:
        while not stop.is_set():
            count(tools)

    team = [threading.Thread(target=compute) for _ in range(company)]
    for thread in team:
        thread.start()
    try:
        delays = []
        for _ in range(SLEEPS):
            start = time.monotonic()
            time.sleep(SLEEP_SECONDS)
            delays.append(time.monotonic() - start - SLEEP_SECONDS)
    finally:
        stop.set()
        for thread in team:
            thread.join()
    return {"seconds": round(median(delays), 7), "most": round(max(delays), 7)}


def run(recorder: Recorder) -> None:
    order = shuffler(recorder.seed)
    blocks = {name_of(company): functools.partial(late_beside, company) for company in COMPANIES}
    rounds: list[Round] = []
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus) as crew:
        while not enough(rounds, FEWEST_ROUNDS, MEASURED.values(), until):
            rounds.append(crew.gated(blocks, len(rounds), order))
            recorder.sample("round", rounds[-1])
            delays = ", ".join("%.2f ms %s" % (1e3 * rounds[-1][name]["seconds"], name) for name in blocks)
            recorder.tell("a sleeper woke late by " + delays)


def lateness(company: int) -> Measured:
    neighbours = "1 CPU-bound thread" if company == 1 else f"{company} CPU-bound threads"
    return Measured(
        (name_of(company),),
        value_of(name_of(company), "seconds"),
        lambda seconds: f"a 1 ms sleeper woke {1e3 * seconds:.2f} ms late beside {neighbours}",
        unit="s",
        ceiling=((name_of(0),), value_of(name_of(0), "seconds")),
        better="lower",
    )


#: Claim -> how it is measured, and the tolerance that confirms it.
MEASURED = {
    "convoy.sleeper-late": (
        lateness(1),
        Tolerance(
            0.5 * _USUAL_SWITCH_SECONDS,
            3 * _USUAL_SWITCH_SECONDS,
            "half of the default interval of 5 ms, to the interval and two turns of the scheduler on one CPU",
        ),
    ),
    "convoy.grows": (
        Measured(
            (name_of(4), name_of(1)),
            over(name_of(4), name_of(1), "seconds"),
            lambda times: f"beside four CPU-bound threads a sleeper woke {times:.1f} times as late as beside one",
        ),
        Tolerance(1.2, None, "a fifth later is more than one round differs from the next"),
    ),
}


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    words = {0: "late, alone", 1: "late beside 1 CPU-bound thread", 4: "late beside 4 CPU-bound threads"}
    return [lateness(company).figure(words[company], rounds) for company in COMPANIES]


EXPERIMENT = Experiment(
    name="convoy",
    summary="Convoy: how late a 1 ms sleeper wakes beside 0, 1 and 4 CPU-bound threads",
    method="Rounds of three blocks in random order. A thread sleeps 1 ms three times: alone, beside one thread that"
    " computes, and beside four. The median delay of its wake-ups counts.",
    watch="A thread that wakes has to ask for the GIL and waits a switch interval (5 ms) for it, whatever its task is."
    " For this reason one busy thread makes a server slow to answer.",
    run=run,
    typical_seconds=1.5,
    figures=figures,
    claims=(
        claim(
            "convoy.sleeper-late",
            "one CPU-bound thread makes every other thread wait a switch interval when it wakes",
            *MEASURED["convoy.sleeper-late"],
            lambda facts: CONFIRMED if facts.gil else REFUTED if facts.cpus > 1 else None,
            advice="On this build CPU-bound threads may stay in a process that has to answer quickly: they do not"
            " delay its other threads.",
            source=seen("https://github.com/python/cpython/issues/90204", "PEP 703"),
        ),
        claim(
            "convoy.grows",
            "the more CPU-bound threads there are, the later it wakes",
            *MEASURED["convoy.grows"],
            lambda facts: CONFIRMED if facts.gil else None,
            source=seen("https://github.com/python/cpython/issues/90204"),
        ),
    ),
    extra=True,
)
