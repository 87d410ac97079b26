"""Calls differ: they return different results, or take very different times."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding, undisturbed
from lab.cell.claims.estimates import median, quantile
from lab.cell.claims.wording import seconds
from lab.cell.targets.causes import Cause, excluded, found, undecided
from lab.cell.targets.figures import BASE, WAITING_SHARE
from lab.cell.targets.trial import UNKNOWN_SPREAD

#: The slow calls take at least so many times as long as the usual ones.
SPREAD = 3.0
#: Slow calls are seen in so many of the blocks. A block holds a few calls, so one call of twenty is not in every block.
SEEN = 0.2


def judge(evidence: Evidence, facts: Facts) -> Finding:
    timed = [blocks[BASE]["calls"] for blocks in undisturbed(evidence.rounds("round"), BASE) if "calls" in blocks[BASE]]
    trial = evidence.last("trial")
    if trial["same"] is False:
        return found("calls with the same arguments returned different results")
    if not timed:
        return undecided("no call was timed")
    usual = median([calls["p50"] for calls in timed])
    slow = quantile(sorted(calls["p95"] for calls in timed), 1 - SEEN)
    text = "half of the calls take at most %s, and in %.0f %% of the blocks one takes more than %s" % (
        seconds(usual),
        100 * SEEN,
        seconds(slow),
    )
    is_seen = slow > SPREAD * usual
    spread = trial.get("spread", UNKNOWN_SPREAD)
    if trial["idle"] > WAITING_SHARE or spread == UNKNOWN_SPREAD:
        return found(text) if is_seen else excluded(text)
    computed = "one call of twenty takes %s %.0f times the CPU time of half of the calls" % (
        "more than" if spread > SPREAD else "at most",
        spread if spread > SPREAD else SPREAD,
    )
    # A neighbour of the machine makes the time of a call longer, and the CPU time of a few calls too; seldom both.
    if (spread > SPREAD) != is_seen:
        return undecided("%s; %s" % (computed, text))
    return found(computed) if is_seen else excluded(text)


CAUSE = Cause(
    "calls with the same arguments differ",
    judge,
    "make them alike (a seed, a fixed input) before you compare numbers of workers",
)
