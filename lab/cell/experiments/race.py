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

CHUNK = 500  # updates between two looks at who had the interpreter last
SWITCH_SECONDS = 0.0002  # shorter than the default, so that a short run has many hand-overs

#: With zero losses in k hand-overs the rate is below about 3/k (the "rule of three"); this many make it below 3 %.
FEWEST_HAND_OVERS = 100
RUN_SECONDS = 0.04
FEWEST_RUNS = 6
MOST_RUNS = 80
#: On one CPU without a GIL only the scheduler hands over, some 20 to 100 times a second.
RUN_SECONDS_UNASKED = 0.25


class Shared:
    """The variable that the threads change, and the lock."""

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
    """Threads repeat the statement for that long. Returns (updates made, updates lost, hand-overs noticed)."""
    shared = Shared()

    def update(number: int) -> int:
        statement(shared)
        return CHUNK

    made, hand_overs = contend_for(update, seconds, SWITCH_SECONDS)
    return made, made - shared.number, hand_overs


def run(recorder: Recorder) -> None:
    unasked = nobody_asks(len(recorder.cpus))
    whole = longest_race(recorder.seconds, unasked)
    seconds = min(RUN_SECONDS_UNASKED, whole / FEWEST_RUNS / len(STATEMENTS)) if unasked else RUN_SECONDS
    until = time.monotonic() + whole
    for done, (name, statement) in enumerate(STATEMENTS.items()):
        runs: list[tuple[int, int, int]] = []
        mine = time.monotonic() + (until - time.monotonic()) / (len(STATEMENTS) - done)
        while len(runs) < FEWEST_RUNS or not (
            enough(runs, unasked) or len(runs) == MOST_RUNS or time.monotonic() > mine
        ):
            runs.append(contend(statement, seconds))
        made, lost, hand_overs = (sum(run[part] for run in runs) for part in range(3))
        shares = [round(run[1] / max(run[0], 1), 6) for run in runs]
        recorder.observe(name, {"made": made, "lost": lost, "hand_overs": hand_overs, "shares": shares}, "updates")
        recorder.tell("%s: %d of %d updates lost, %d hand-overs" % (name, lost, made, hand_overs))


def enough(runs: Sequence[tuple[int, int, int]], unasked: bool) -> bool:
    """Whether further runs of (updates made, updates lost, hand-overs) would tell no more; where hand-overs are so few
    that waiting for many takes long, one loss is enough."""
    lost, hand_overs = sum(run[1] for run in runs), sum(run[2] for run in runs)
    return hand_overs >= FEWEST_HAND_OVERS or (unasked and lost > 0)


def describe(name: str, seen: Mapping[str, Any]) -> str:
    """One statement's result in words, with its opportunities, and an upper bound where nothing was lost."""
    if seen["lost"]:
        return "'%s' lost %.1f %% (%d hand-overs)" % (name, 100 * seen["lost"] / seen["made"], seen["hand_overs"])
    return "'%s' lost none in %d hand-overs (below %.2g each)" % (name, seen["hand_overs"], bound(seen))


def bound(seen: Mapping[str, Any]) -> float:
    """The highest rate of loss for each hand-over that having seen none allows (95 %: the "rule of three", Hanley and
    Lippman-Hand 1983)."""
    return float(min(1, 3 / max(seen["hand_overs"], 1)))


def finding(verdict: str, reason: str, seen: Mapping[str, Any]) -> Finding:
    """The share of updates lost, with its interval over runs; where none was, what may have been missed."""
    runs = len(seen["shares"])
    if not seen["lost"]:
        return Finding(verdict, reason, 0.0, 0.0, bound(seen), "share", runs, 0)
    found = estimate_or_none(seen["shares"])
    low, high = (found.low, found.high) if found else (None, None)
    value = found.value if found else seen["lost"] / seen["made"]
    return Finding(verdict, reason, value, low, high, "share", runs, 0)


def judge_unlocked(evidence: Evidence, facts: Facts) -> Finding:
    names = ("n += 1", "read; call; write")
    results = [evidence.last(name) for name in names]
    reason = "; ".join(describe(name, seen) for name, seen in zip(names, results))
    worst = max(results, key=lambda seen: (seen["lost"] / seen["made"], -seen["hand_overs"]))
    # That nothing was lost is no proof that nothing can be: each of the hand-overs may have come at a harmless place.
    return finding(CONFIRMED if worst["lost"] else INCONCLUSIVE, reason, worst)


def judge_statement(name: str, lossless: str) -> Callable[[Evidence, Facts], Finding]:
    """Judge one statement; ``lossless`` is the verdict when it lost nothing in enough hand-overs. Without a GIL another
    thread may come in anywhere, so that having seen no loss does not refute that there are any."""
    lossy = CONFIRMED if lossless == REFUTED else REFUTED

    def judge(evidence: Evidence, facts: Facts) -> Finding:
        seen = evidence.last(name)
        told = seen["hand_overs"] >= FEWEST_HAND_OVERS and (facts.gil or lossless == CONFIRMED)
        return finding(lossy if seen["lost"] else lossless if told else INCONCLUSIVE, describe(name, seen), seen)

    return judge


EXPERIMENT = Experiment(
    name="race",
    summary="Races: which unlocked updates of a shared variable lose some, and that a lock keeps them all",
    method="Two threads update one attribute, in six or more runs of 0.04 s (of 0.25 s on one CPU without a GIL, where"
    " nobody asks for a hand-over), at a switch interval of 0.2 ms: with"
    " n += 1, with a call between reading and writing, and under a lock. Lost updates are counted, and the hand-overs"
    " that had the chance.",
    watch="Whether a plain n += 1 loses anything depends on where this Python hands over, not on the statement being"
    " safe: the language promises nothing, and one call in between is enough.",
    run=run,
    typical_seconds=1.2,
    claims=(
        Claim(
            "race.unlocked-loses",
            "threads that update a shared variable without a lock lose updates",
            judge_unlocked,
            always(CONFIRMED),
            advice="Lock what threads share all the same: that nothing was lost here is not a promise.",
            source=seen("PEP 703"),
        ),
        Claim(
            "race.plain-loses",
            "even a plain n += 1 loses updates",
            judge_statement("n += 1", lossless=REFUTED),
            expect_plain_update_loses,
            advice="Lock it all the same: whether a plain n += 1 loses anything depends on where this release hands"
            " over, and one call in between, or another build, is enough.",
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
