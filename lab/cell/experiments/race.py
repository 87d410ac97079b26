"""Races: threads that change a shared variable, with and without a lock."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Mapping, Sequence

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
    estimate_or_none,
    seen,
)
from lab.cell.claims.cpython import expect_plain_update_loses
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.contention import contend_for, longest_race, nobody_asks

CHUNK = 500  # updates between two checks of which thread had the interpreter last
SWITCH_SECONDS = 0.0002  # shorter than the default, so that a short run has many hand-overs

#: Without a loss in k hand-overs the rate is below about 3/k (the "rule of three"). So many hand-overs make that 3 %.
FEWEST_HAND_OVERS = 100
RUN_SECONDS = 0.02
FEWEST_RUNS = 6
MOST_RUNS = 80
#: On one CPU without a GIL only the scheduler hands over, about 20 to 100 times a second.
RUN_SECONDS_UNASKED = 0.25


class Shared:
    """The variable that the threads change, and its lock."""

    def __init__(self) -> None:
        self.number = 0
        self.lock = threading.Lock()


def same(number: int) -> int:
    return number


def plain(shared: Shared) -> None:
    for _ in range(CHUNK):
        shared.number += 1


def call_between(shared: Shared) -> None:
    for _ in range(CHUNK):
        number = shared.number
        number = same(number)
        shared.number = number + 1


def locked(shared: Shared) -> None:
    for _ in range(CHUNK):
        with shared.lock:
            shared.number += 1


STATEMENTS = {"n += 1": plain, "read; call; write": call_between, "with lock: n += 1": locked}


def contend(statement: Callable[[Shared], None], seconds: float) -> tuple[int, int, int]:
    """Let threads repeat the statement for a time. Returns (updates made, updates lost, hand-overs noticed)."""
    shared = Shared()

    def update(number: int) -> int:
        statement(shared)
        return CHUNK

    updates, hand_overs = contend_for(update, seconds, SWITCH_SECONDS)
    return updates, updates - shared.number, hand_overs


def run(recorder: Recorder) -> None:
    unasked = nobody_asks(len(recorder.cpus))
    budget = longest_race(recorder.seconds, unasked)
    seconds = min(RUN_SECONDS_UNASKED, budget / FEWEST_RUNS / len(STATEMENTS)) if unasked else RUN_SECONDS
    until = time.monotonic() + budget
    for number, (name, statement) in enumerate(STATEMENTS.items()):
        runs: list[tuple[int, int, int]] = []
        deadline = time.monotonic() + (until - time.monotonic()) / (len(STATEMENTS) - number)
        while len(runs) < FEWEST_RUNS or not (
            enough(runs, unasked) or len(runs) == MOST_RUNS or time.monotonic() > deadline
        ):
            runs.append(contend(statement, seconds))
        updates, losses, hand_overs = (sum(run[part] for run in runs) for part in range(3))
        shares = [round(run[1] / max(run[0], 1), 6) for run in runs]
        recorder.observe(name, {"made": updates, "lost": losses, "hand_overs": hand_overs, "shares": shares}, "updates")
        recorder.tell("%s: %d of %d updates lost, %d hand-overs" % (name, losses, updates, hand_overs))


def enough(runs: Sequence[tuple[int, int, int]], unasked: bool) -> bool:
    """Whether the runs of (updates made, updates lost, hand-overs) decide the claim.

    A single loss is enough where no thread asks for a hand-over. There hand-overs are so rare that many take long.
    """
    losses, hand_overs = sum(run[1] for run in runs), sum(run[2] for run in runs)
    return hand_overs >= FEWEST_HAND_OVERS or (unasked and losses > 0)


def describe(name: str, result: Mapping[str, Any]) -> str:
    """A statement's result in words, with the number of hand-overs, and an upper bound where nothing was lost."""
    hand_overs = result["hand_overs"]
    if result["lost"]:
        return "'%s' lost %.1f %% (%d hand-overs)" % (name, 100 * result["lost"] / result["made"], hand_overs)
    return "'%s' lost none in %d hand-overs (below %.2g each)" % (name, hand_overs, bound(result))


def bound(result: Mapping[str, Any]) -> float:
    """The upper bound (95 %) of the rate of loss per hand-over, for a statement that lost nothing.

    This is the "rule of three" (Hanley and Lippman-Hand 1983).
    """
    return float(min(1, 3 / max(result["hand_overs"], 1)))


def finding(verdict: str, reason: str, result: Mapping[str, Any]) -> Finding:
    """The share of updates lost, with its interval over runs. Without a loss the interval ends at :func:`bound`."""
    runs = len(result["shares"])
    if not result["lost"]:
        return Finding(verdict, reason, 0.0, 0.0, bound(result), "share", runs, 0)
    estimate = estimate_or_none(result["shares"])
    low, high = (estimate.low, estimate.high) if estimate else (None, None)
    value = estimate.value if estimate else result["lost"] / result["made"]
    return Finding(verdict, reason, value, low, high, "share", runs, 0)


def judge_unlocked(evidence: Evidence, facts: Facts) -> Finding:
    names = ("n += 1", "read; call; write")
    results = [evidence.last(name) for name in names]
    reason = "; ".join(describe(name, result) for name, result in zip(names, results))
    worst = max(results, key=lambda result: (result["lost"] / result["made"], -result["hand_overs"]))
    # A run without a loss does not prove that updates are safe: all its hand-overs may have come at harmless places.
    return finding(CONFIRMED if worst["lost"] else INCONCLUSIVE, reason, worst)


def judge_statement(name: str, lossless: str) -> Callable[[Evidence, Facts], Finding]:
    """Judge a statement. ``lossless`` is the verdict if it lost nothing in enough hand-overs.

    Without a GIL another thread can interfere anywhere, so a run without a loss does not refute that losses happen.
    """
    lossy = CONFIRMED if lossless == REFUTED else REFUTED

    def judge(evidence: Evidence, facts: Facts) -> Finding:
        result = evidence.last(name)
        sufficient = result["hand_overs"] >= FEWEST_HAND_OVERS and (facts.gil or lossless == CONFIRMED)
        verdict = lossy if result["lost"] else lossless if sufficient else INCONCLUSIVE
        return finding(verdict, describe(name, result), result)

    return judge


EXPERIMENT = Experiment(
    name="race",
    summary="Races: unlocked updates of a shared variable can be lost, and a lock keeps them all",
    method="Two threads update one attribute: with n += 1, with a call between reading and writing, and under a lock."
    " Each has six or more runs of 0.04 s at a switch interval of 0.2 ms (of 0.25 s on one CPU without a GIL, where no"
    " thread asks for a hand-over). Lost updates and hand-overs are counted.",
    watch="Whether a plain n += 1 loses anything depends on where this Python hands over. The language does not"
    " promise that the statement is safe, and a call between reading and writing is enough for a loss.",
    run=run,
    typical_seconds=1.0,
    claims=(
        Claim(
            "race.unlocked-loses",
            "threads that update a shared variable without a lock lose updates",
            judge_unlocked,
            always(CONFIRMED),
            advice="Lock what threads share, even though no update was lost here: the language promises nothing.",
            source=seen("PEP 703"),
        ),
        Claim(
            "race.plain-loses",
            "even a plain n += 1 is seen to lose updates",
            judge_statement("n += 1", lossless=REFUTED),
            expect_plain_update_loses,
            advice="Keep the lock: a loss that was not seen can still happen. Whether a plain n += 1 loses anything"
            " depends on where this release hands over. A call between reading and writing, or another build, is"
            " enough for a loss.",
            source=seen("PEP 703"),
        ),
        Claim(
            "race.lock-keeps",
            "with a lock nothing is lost",
            judge_statement("with lock: n += 1", lossless=CONFIRMED),
            always(CONFIRMED),
            source=seen(docs("library/threading.html#lock-objects")),
        ),
    ),
)
