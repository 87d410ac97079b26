"""Races: threads that change a shared variable, with and without a lock."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Callable, Mapping

from lab.experiments._claims import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Finding,
    always,
    estimate_or_none,
)
from lab.experiments._voice import Voice

THREADS = 2
CHUNK = 500  # updates between two looks at who had the interpreter last
SWITCH_SECONDS = 0.0002  # shorter than the default, so that a short run has many hand-overs

#: With zero losses in k hand-overs the rate is below about 3/k (the "rule of three"); this many make it below 3 %.
FEWEST_HAND_OVERS = 100
RUN_SECONDS = 0.04
FEWEST_RUNS = 6
MOST_RUNS = 80  # on one CPU without a GIL only the scheduler hands over


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

    made, hand_overs = take_turns(update, seconds, SWITCH_SECONDS)
    return made, made - shared.number, hand_overs


def take_turns(update: Callable[[int], int], seconds: float, switch_seconds: float) -> tuple[int, int]:
    """Threads repeat ``update``, which gets the number of its thread, for that long at that switch interval.

    Returns the sum of what it returned, and how often a thread noticed after an update that another one had been there
    since: at least so many hand-overs had the chance to do harm.
    """
    last = [-1]
    gate = threading.Barrier(THREADS)
    tallies: list[tuple[int, int]] = []

    def repeat(number: int) -> None:
        made = hand_overs = 0
        gate.wait()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            made += update(number)
            if last[0] != number:
                last[0] = number
                hand_overs += 1
        tallies.append((made, hand_overs))

    usual = sys.getswitchinterval()
    sys.setswitchinterval(switch_seconds)
    try:
        team = [threading.Thread(target=repeat, args=(number,)) for number in range(THREADS)]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    return sum(tally[0] for tally in tallies), sum(tally[1] for tally in tallies)


def run(voice: Voice) -> None:
    for name, statement in STATEMENTS.items():
        runs: list[tuple[int, int, int]] = []
        # On one CPU a hand-over waits for the scheduler, so there are far fewer.
        while len(runs) < MOST_RUNS and not (
            len(runs) >= FEWEST_RUNS and sum(run[2] for run in runs) >= FEWEST_HAND_OVERS
        ):
            runs.append(contend(statement, RUN_SECONDS))
        made, lost, hand_overs = (sum(run[part] for run in runs) for part in range(3))
        shares = [round(run[1] / max(run[0], 1), 6) for run in runs]
        voice.observe(name, {"made": made, "lost": lost, "hand_overs": hand_overs, "shares": shares}, "updates")
        voice.tell("%s: %d of %d updates lost, %d hand-overs" % (name, lost, made, hand_overs))


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
    if worst["lost"]:
        return finding(CONFIRMED, reason, worst)
    enough = all(seen["hand_overs"] >= FEWEST_HAND_OVERS for seen in results)
    return finding(REFUTED if enough else INCONCLUSIVE, reason, worst)


def judge_statement(name: str, lossless: str) -> Callable[[Evidence, Facts], Finding]:
    """Judge one statement; ``lossless`` is the verdict when it lost nothing in enough hand-overs."""
    lossy = CONFIRMED if lossless == REFUTED else REFUTED

    def judge(evidence: Evidence, facts: Facts) -> Finding:
        seen = evidence.last(name)
        enough = lossless if seen["hand_overs"] >= FEWEST_HAND_OVERS else INCONCLUSIVE
        return finding(lossy if seen["lost"] else enough, describe(name, seen), seen)

    return judge


def expect_plain(facts: Facts) -> str | None:
    """CPython 3.10 and later switch threads only at the end of a loop or at a call, never inside ``n += 1``."""
    if not facts.gil:
        return CONFIRMED if facts.cpus > 1 else None
    return REFUTED if facts.version >= (3, 10) else CONFIRMED


EXPERIMENT = Experiment(
    name="race",
    summary="Races: which unlocked updates of a shared variable lose some, and that a lock keeps them all",
    method="Two threads update one attribute, in six or more runs of 0.04 s, at a switch interval of 0.2 ms: with"
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
        ),
        Claim(
            "race.plain-loses",
            "even a plain n += 1 loses updates",
            judge_statement("n += 1", lossless=REFUTED),
            expect_plain,
            advice="Lock it all the same: whether a plain n += 1 loses anything depends on where this release hands"
            " over, and one call in between, or another build, is enough.",
        ),
        Claim(
            "race.lock-keeps",
            "with a lock nothing is lost",
            judge_statement("with lock: n += 1", lossless=CONFIRMED),
            always(CONFIRMED),
        ),
    ),
)
