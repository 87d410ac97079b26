"""Switching: when one thread hands the interpreter over to another, by time or by counted bytecodes."""

from __future__ import annotations

import dis
import sys
import threading
import time

from lab.experiments._claims import (
    CONFIRMED,
    FEWEST_VALUES,
    INCONCLUSIVE,
    REFUTED,
    UNTESTABLE,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Finding,
    decide,
)
from lab.experiments._voice import Voice
from lab.stats import estimate, median

#: Switch intervals to try, in seconds, and for how many of them each; the second is the default.
INTERVALS = ((0.001, 250), (0.005, 80), (0.02, 25))

USUAL = INTERVALS[1][0]

#: A hand-over takes the interval plus the waking of a thread: tenths of a millisecond.
SLACK_SECONDS = 0.0005
SLACK_SHARE = 0.25
#: On one CPU the thread that wakes waits for the scheduler's turn besides: one tick or two (4 ms each at 250 Hz).
#: An interval of about a tick or less cannot show there, and is not judged.
TURN_SECONDS = 0.008
SHORTEST_ON_ONE_CPU = 0.005


def take_turns(until: float, seen: list[int], takes: list[tuple[float, int]]) -> None:
    """Note whenever this thread has got the interpreter back: (time, rounds of this loop since the last note)."""
    me = threading.get_ident()
    clock = time.monotonic
    loops = 0
    now = clock()
    while now < until:
        if seen[0] != me:
            seen[0] = me
            takes.append((now, loops))
            loops = 0
        loops += 1
        now = clock()


def hand_overs(interval: float, seconds: float) -> tuple[list[float], list[int]]:
    """Two threads contend for that long. Returns (seconds between hand-overs, loops between hand-overs)."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        seen = [0]
        takes: tuple[list[tuple[float, int]], ...] = ([], [])
        until = time.monotonic() + seconds
        team = [threading.Thread(target=take_turns, args=(until, seen, mine)) for mine in takes]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    moments = sorted(moment for mine in takes for moment, _ in mine)
    loops = [count for mine in takes for _, count in mine if count]
    return [later - earlier for earlier, later in zip(moments, moments[1:])], loops


def run(voice: Voice) -> None:
    per_loop = sum(1 for _ in dis.get_instructions(take_turns)) // 2  # the loop is more than half of the function
    voice.observe("bytecodes a loop, at least", per_loop, "bytecodes")
    for interval, count in INTERVALS:
        gaps, loops = hand_overs(interval, interval * count)
        for start in range(0, len(gaps), 100):
            voice.sample(
                "gaps %g" % interval, {"gaps": {"seconds": [round(gap, 7) for gap in gaps[start : start + 100]]}}
            )
        typical = median(gaps) if gaps else 0
        voice.tell("switch interval %g ms: a hand-over every %.2f ms" % (1e3 * interval, 1e3 * typical))
        voice.observe("loops a turn", [interval, median(loops) if loops else 0], "loops")


def judge_interval(evidence: Evidence, facts: Facts) -> Finding:
    if not facts.gil:
        return Finding(UNTESTABLE, "without a GIL there is nothing to hand over")
    turn = TURN_SECONDS if facts.cpus == 1 else 0
    found = {}
    for interval, _ in INTERVALS:
        gaps = [gap for sample in evidence.rounds("gaps %g" % interval) for gap in sample["gaps"]["seconds"]]
        if len(gaps) < FEWEST_VALUES:
            return Finding(REFUTED, "at %g ms there were only %d hand-overs" % (1e3 * interval, len(gaps)))
        found[interval] = estimate(gaps)
    verdicts = set()
    for interval, one in found.items():
        if turn and interval < SHORTEST_ON_ONE_CPU:
            continue
        slack = max(SLACK_SECONDS, SLACK_SHARE * interval)
        verdicts.add(decide(one, interval - slack, interval + slack + turn))
    verdict = verdicts.pop() if len(verdicts) == 1 else INCONCLUSIVE
    parts = ("%.2f ms at %g ms" % (1e3 * one.value, 1e3 * interval) for interval, one in found.items())
    shared = "; on one CPU they wait for the scheduler's turn too" if facts.cpus == 1 else ""
    usual = found[USUAL]
    reason = "hand-overs took " + ", ".join(parts) + shared
    return Finding(verdict, reason, usual.value, usual.low, usual.high, "s")


def judge_bytecodes(evidence: Evidence, facts: Facts) -> Finding:
    if not facts.gil:
        return Finding(UNTESTABLE, "without a GIL there is nothing to hand over")
    per_loop = evidence.last("bytecodes a loop, at least")
    counts = {interval: loops * per_loop for interval, loops in evidence.all("loops a turn")}
    usual = counts[USUAL]
    least, most = min(counts.values()), max(counts.values())
    # A hundred, give or take a factor of ten: what is measured is thousands of times as much.
    verdict = REFUTED if least > 1000 else CONFIRMED if most < 1000 else INCONCLUSIVE
    reason = "at least %d bytecodes at 5 ms: by time" % usual
    return Finding(verdict, reason, usual, None, None, "bytecodes")


EXPERIMENT = Experiment(
    name="switching",
    summary="Switching: the interpreter is handed over by time, not by counted bytecodes",
    method="Two threads run the same loop and note whenever they have got the interpreter back, at switch intervals of"
    " 1, 5 (the default) and 20 ms.",
    watch="The time between hand-overs follows sys.setswitchinterval(); the number of bytecodes follows from it.",
    run=run,
    typical_seconds=1.2,
    claims=(
        Claim(
            "switching.hundred-bytecodes",
            "the interpreter hands over every 100 bytecodes",
            judge_bytecodes,
            lambda facts: REFUTED if facts.gil else UNTESTABLE,
        ),
        Claim(
            "switching.interval",
            "a contended hand-over takes sys.getswitchinterval()",
            judge_interval,
            lambda facts: CONFIRMED if facts.gil else UNTESTABLE,
        ),
    ),
)
