"""Switching: whether a thread hands the interpreter over by time or by counted bytecodes."""

from __future__ import annotations

import dis
import functools
import sys
import threading
import time
from typing import Any, Sequence

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    UNTESTABLE,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Figure,
    Finding,
    Round,
    decide,
    disturbances,
    docs,
    estimate_or_none,
    seen,
    undisturbed,
)
from lab.cell.claims.estimates import Estimate, median, quantile
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.rounds import Crew, shuffler

#: Switch intervals, in seconds, and how many intervals a block lasts. The second interval is the default.
INTERVALS = ((0.001, 20), (0.005, 10), (0.015, 6))
#: The fewest rounds that must count.
FEWEST_ROUNDS = 5
#: The first hand-overs of a block do not count, because the threads are still starting.
STARTING = 2

#: The most gaps that the record of a block has.
MOST_GAPS = 100

USUAL = INTERVALS[1][0]

#: A hand-over takes the interval plus the waking of a thread: tenths of a millisecond.
SLACK_SECONDS = 0.0005
SLACK_SHARE = 0.25
#: On one CPU the thread that wakes also waits for the scheduler: one tick or two (4 ms each at 250 Hz).
#: An interval of about a tick or less cannot show there, so it is not judged.
SCHEDULER_SECONDS = 0.008
SHORTEST_ON_ONE_CPU = 0.005


def note_handovers(until: float, last: list[int], takes: list[tuple[float, int]]) -> None:
    """Note each time that this thread gets the interpreter back: (time, loops since the last note)."""
    me = threading.get_ident()
    clock = time.monotonic
    loops = 0
    now = clock()
    while now < until:
        if last[0] != me:
            last[0] = me
            takes.append((now, loops))
            loops = 0
        loops += 1
        now = clock()


def hand_overs(interval: float, seconds: float) -> tuple[list[float], list[int]]:
    """Let two threads contend for a time. Returns (seconds between hand-overs, loops between hand-overs)."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        last = [0]
        takes: tuple[list[tuple[float, int]], ...] = ([], [])
        until = time.monotonic() + seconds
        team = [threading.Thread(target=note_handovers, args=(until, last, thread_takes)) for thread_takes in takes]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    moments = sorted(moment for thread_takes in takes for moment, _ in thread_takes)
    loops = [count for thread_takes in takes for _, count in thread_takes if count]
    return [later - earlier for earlier, later in zip(moments, moments[1:])], loops


def contended(interval: float, count: int) -> dict[str, Any]:
    """One block: the hand-overs at a switch interval, over ``count`` intervals."""
    gaps, loops = hand_overs(interval, interval * count)
    # Without a GIL, or on a busy CPU, there may be any number of gaps. But a round must fit into one record.
    first_gaps = [round(gap, 7) for gap in gaps[STARTING : STARTING + MOST_GAPS]]
    return {"gaps": first_gaps, "loops": median(loops) if loops else None}


def name_of(interval: float) -> str:
    return "%g ms" % (1e3 * interval)


def run(recorder: Recorder) -> None:
    per_loop = sum(1 for _ in dis.get_instructions(note_handovers)) // 2  # the loop is more than half of the function
    recorder.observe("bytecodes a loop, at least", per_loop, "bytecodes")
    blocks = {name_of(interval): functools.partial(contended, interval, count) for interval, count in INTERVALS}
    order = shuffler(recorder.seed)
    rounds: list[Round] = []
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus) as crew:
        while not rounds or (not settled(rounds, len(recorder.cpus)) and time.monotonic() < until):
            rounds.append(crew.gated(blocks, len(rounds), order))
            recorder.sample("round", rounds[-1])
    for name in blocks:
        gaps = rounds[-1][name]["gaps"]
        recorder.tell("switch interval %s: a hand-over every %.2f ms" % (name, 1e3 * median(gaps) if gaps else 0))


def settled(rounds: Sequence[Round], cpus: int) -> bool:
    """Whether enough rounds count and their verdict is decided."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return True  # nothing is judged
    if counts(USUAL, rounds)[0] < FEWEST_ROUNDS:
        return False
    return judge_rounds(rounds, cpus).verdict != INCONCLUSIVE


def gaps_at(interval: float, rounds: Sequence[Round]) -> list[float]:
    """All gaps between hand-overs, in seconds, of the rounds that count."""
    name = name_of(interval)
    return [gap for blocks in undisturbed(rounds, name) for gap in blocks[name]["gaps"]]


def judge_interval(evidence: Evidence, facts: Facts) -> Finding:
    if not facts.gil:
        return Finding(UNTESTABLE, "without a GIL there is nothing to hand over")
    return judge_rounds(evidence.rounds("round"), facts.cpus)


def judge_rounds(rounds: Sequence[Round], cpus: int) -> Finding:
    """Judge the switch interval by the rounds of a cell with a GIL and so many CPUs."""
    good, bad = counts(USUAL, rounds)
    scheduler_wait = SCHEDULER_SECONDS if cpus == 1 else 0
    estimates: dict[float, Estimate] = {}
    parts = []
    for interval, _ in INTERVALS:
        gaps = gaps_at(interval, rounds)
        estimate = estimate_or_none(gaps)
        if estimate is None and scheduler_wait and interval < SHORTEST_ON_ONE_CPU:
            continue
        if estimate is None:
            reason = "at %s there were only %d hand-overs in %d rounds" % (name_of(interval), len(gaps), good)
            # On one CPU the scheduler may be the cause that hand-overs are rare.
            verdict = REFUTED if good >= FEWEST_ROUNDS and not scheduler_wait else INCONCLUSIVE
            return Finding(verdict, reason, accepted=good, rejected=bad)
        estimates[interval] = estimate
        numbers = (1e3 * estimate.value, name_of(interval), 1e3 * quantile(gaps, 0.05), 1e3 * quantile(gaps, 0.95))
        parts.append("%.2f ms at %s (nine in ten: %.2f to %.2f)" % numbers)
    verdicts = set()
    for interval, estimate in estimates.items():
        if scheduler_wait and interval < SHORTEST_ON_ONE_CPU:
            continue
        slack = max(SLACK_SECONDS, SLACK_SHARE * interval)
        verdict = decide(estimate, interval - slack, interval + slack + scheduler_wait)
        # The scheduler's slice is longer on a host with more CPUs, and it differs between kernels.
        late = verdict == REFUTED and scheduler_wait and estimate.low > interval
        verdicts.add(INCONCLUSIVE if late else verdict)
    verdict = verdicts.pop() if len(verdicts) == 1 else INCONCLUSIVE
    usual = estimates[USUAL]
    reason = "hand-overs took " + ", ".join(parts)
    if cpus == 1:
        reason += "; on one CPU they also wait for the scheduler"
    if verdict == INCONCLUSIVE:
        reason += "".join("; disturbed by " + cause for cause in disturbances(rounds, name_of(USUAL)))
    return Finding(verdict, reason, usual.value, usual.low, usual.high, "s", good, bad, USUAL, "lower")


def counts(interval: float, rounds: Sequence[Round]) -> tuple[int, int]:
    """(rounds accepted, rounds rejected)."""
    good = len(undisturbed(rounds, name_of(interval)))
    return good, len(rounds) - good


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    rows = []
    for interval, _ in INTERVALS:
        gaps = gaps_at(interval, rounds)
        good, bad = counts(interval, rounds)
        what = "hand-over at %s, median" % name_of(interval)
        rows.append(Figure(what, estimate_or_none(gaps), "s", good, bad, better="lower"))
        # These quantiles have no bootstrap interval: too few values lie beyond them.
        for share in (0.05, 0.95) if gaps else ():
            value = quantile(gaps, share)
            what = "hand-over at %s, %g %%" % (name_of(interval), 100 * share)
            rows.append(Figure(what, Estimate(value, value, value, len(gaps)), "s", good, bad, better="lower"))
    return rows


def judge_bytecodes(evidence: Evidence, facts: Facts) -> Finding:
    if not facts.gil:
        return Finding(UNTESTABLE, "without a GIL there is nothing to hand over")
    rounds = evidence.rounds("round")
    per_loop = evidence.last("bytecodes a loop, at least")
    good, bad = counts(USUAL, rounds)
    estimates = {}
    for interval, _ in INTERVALS:
        name = name_of(interval)
        loops = [blocks[name]["loops"] for blocks in undisturbed(rounds, name) if blocks[name]["loops"]]
        estimate = estimate_or_none([count * per_loop for count in loops])
        if estimate is not None:  # at the shortest interval on one CPU hand-overs may be too rare
            estimates[interval] = estimate
    usual = estimates.get(USUAL)
    if usual is None:
        return Finding(INCONCLUSIVE, "too few undisturbed rounds of %d" % len(rounds), accepted=good, rejected=bad)
    # The limit is ten times the claimed hundred. The measured numbers are thousands of times as high.
    least = min(estimate.low for estimate in estimates.values())
    most = max(estimate.high for estimate in estimates.values())
    verdict = REFUTED if least > 1000 else CONFIRMED if most < 1000 else INCONCLUSIVE
    reason = "at least %d bytecodes at 5 ms: by time" % usual.value
    return Finding(verdict, reason, usual.value, usual.low, usual.high, "bytecodes", good, bad)


EXPERIMENT = Experiment(
    name="switching",
    summary="Switching: the interpreter is handed over by time, not by counted bytecodes",
    method="Two threads run the same loop and note each time that they get the interpreter back. Each of five rounds"
    " has blocks at switch intervals of 1, 5 (the default) and 15 ms, in random order.",
    watch="The time between hand-overs follows sys.setswitchinterval(). The number of bytecodes follows from it.",
    run=run,
    typical_seconds=1.2,
    figures=figures,
    claims=(
        Claim(
            "switching.hundred-bytecodes",
            "the interpreter switches threads every 100 bytecodes",
            judge_bytecodes,
            lambda facts: REFUTED if facts.gil else UNTESTABLE,
            advice="Do not count bytecodes: lock what threads share. If a thread has to answer within 5 ms, set a"
            " shorter interval with sys.setswitchinterval().",
            source=seen(docs("whatsnew/3.2.html#multi-threading"), "PEP 703"),
        ),
        Claim(
            "switching.interval",
            "a contended hand-over takes sys.getswitchinterval()",
            judge_interval,
            lambda facts: CONFIRMED if facts.gil else UNTESTABLE,
            advice="Do not derive delays from the switch interval here: measure them (lab run convoy).",
            source=seen(docs("library/sys.html#sys.setswitchinterval"), "PEP 703"),
        ),
    ),
)
