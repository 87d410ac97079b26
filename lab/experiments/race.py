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
)
from lab.experiments._voice import Voice

THREADS = 2
CHUNK = 500  # updates between two looks at who had the interpreter last
SWITCH_SECONDS = 0.0002  # shorter than the default, so that a short run has many hand-overs

#: With zero losses in k hand-overs the rate is below about 3/k (the "rule of three"); this many make it below 3 %.
FEWEST_HAND_OVERS = 100
RUN_SECONDS = 0.3
MOST_RUNS = 6


class Shared:
    """The variable that the threads change, the lock, and who noted last that it had the interpreter."""

    def __init__(self) -> None:
        self.number = 0
        self.lock = threading.Lock()
        self.last = 0


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
    gate = threading.Barrier(THREADS)
    tallies: list[tuple[int, int]] = []

    def update() -> None:
        me = threading.get_ident()
        made = hand_overs = 0
        gate.wait()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            statement(shared)
            made += CHUNK
            if shared.last != me:
                shared.last = me
                hand_overs += 1
        tallies.append((made, hand_overs))

    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        team = [threading.Thread(target=update) for _ in range(THREADS)]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    made = sum(tally[0] for tally in tallies)
    return made, made - shared.number, sum(tally[1] for tally in tallies)


def run(voice: Voice) -> None:
    for name, statement in STATEMENTS.items():
        made = lost = hand_overs = 0
        for _ in range(MOST_RUNS):  # on one CPU a hand-over waits for the scheduler, so there are far fewer
            tally = contend(statement, RUN_SECONDS)
            made, lost, hand_overs = made + tally[0], lost + tally[1], hand_overs + tally[2]
            if hand_overs >= FEWEST_HAND_OVERS:
                break
        voice.observe(name, {"made": made, "lost": lost, "hand_overs": hand_overs}, "updates")
        voice.tell("%s: %d of %d updates lost, %d hand-overs" % (name, lost, made, hand_overs))


def describe(name: str, seen: Mapping[str, Any]) -> str:
    """One statement's result in words, with an upper bound where nothing was lost."""
    if seen["lost"]:
        return "'%s' lost %.1f %%" % (name, 100 * seen["lost"] / seen["made"])
    bound = 3 / max(seen["hand_overs"], 1)
    return "'%s' lost none in %d hand-overs (below %.2g each)" % (name, seen["hand_overs"], bound)


def judge_unlocked(evidence: Evidence, facts: Facts) -> Finding:
    names = ("n += 1", "read; call; write")
    results = [evidence.last(name) for name in names]
    reason = "; ".join(describe(name, seen) for name, seen in zip(names, results))
    share = max(seen["lost"] / seen["made"] for seen in results)
    if share > 0:
        return Finding(CONFIRMED, reason, share, None, None, "share")
    enough = all(seen["hand_overs"] >= FEWEST_HAND_OVERS for seen in results)
    return Finding(REFUTED if enough else INCONCLUSIVE, reason, 0.0, None, None, "share")


def judge_statement(name: str, lossless: str) -> Callable[[Evidence, Facts], Finding]:
    """Judge one statement; ``lossless`` is the verdict when it lost nothing in enough hand-overs."""
    lossy = CONFIRMED if lossless == REFUTED else REFUTED

    def judge(evidence: Evidence, facts: Facts) -> Finding:
        seen = evidence.last(name)
        share = seen["lost"] / seen["made"]
        if seen["lost"]:
            return Finding(lossy, describe(name, seen), share, None, None, "share")
        bound = 3 / max(seen["hand_overs"], 1)
        verdict = lossless if seen["hand_overs"] >= FEWEST_HAND_OVERS else INCONCLUSIVE
        return Finding(verdict, describe(name, seen), 0.0, 0.0, min(1.0, bound), "share")

    return judge


def expect_plain(facts: Facts) -> str | None:
    """CPython 3.10 and later switch threads only at the end of a loop or at a call, never inside ``n += 1``."""
    if not facts.gil:
        return CONFIRMED if facts.cpus > 1 else None
    return REFUTED if facts.version >= (3, 10) else CONFIRMED


EXPERIMENT = Experiment(
    name="race",
    summary="Races: which unlocked updates of a shared variable lose some, and that a lock keeps them all",
    method="Two threads update one attribute for 0.3 s at a switch interval of 0.2 ms: with n += 1, with a call between"
    " reading and writing, and under a lock. Lost updates are counted, and the hand-overs that had the chance.",
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
        ),
        Claim(
            "race.plain-loses",
            "even a plain n += 1 loses updates",
            judge_statement("n += 1", lossless=REFUTED),
            expect_plain,
        ),
        Claim(
            "race.lock-keeps",
            "with a lock nothing is lost",
            judge_statement("with lock: n += 1", lossless=CONFIRMED),
            always(CONFIRMED),
        ),
    ),
)
