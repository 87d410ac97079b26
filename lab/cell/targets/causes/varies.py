"""Calls differ: they return different results, or take very different times."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding, undisturbed
from lab.cell.claims.estimates import median, quantile
from lab.cell.claims.wording import seconds
from lab.cell.targets.causes import Cause, excluded, found, undecided
from lab.cell.targets.figures import BASE

#: The slow calls take at least so many times as long as the usual ones.
SPREAD = 3.0
#: Slow calls are seen in so many of the blocks. A block holds a few calls, so one call of twenty is not in every block.
SEEN = 0.2


def judge(evidence: Evidence, facts: Facts) -> Finding:
    timed = [blocks[BASE]["calls"] for blocks in undisturbed(evidence.rounds("round"), BASE) if "calls" in blocks[BASE]]
    if evidence.last("trial")["same"] is False:
        return found("calls with the same arguments returned different results")
    spread = evidence.last("trial").get("spread", 1.0)
    if spread > SPREAD:
        return found("one call of twenty takes more than %.0f times the CPU time of half of the calls" % spread)
    if not timed:
        return undecided("no call was timed")
    usual = median([calls["p50"] for calls in timed])
    slow = quantile(sorted(calls["p95"] for calls in timed), 1 - SEEN)
    text = "half of the calls take at most %s, and in %.0f %% of the blocks one takes more than %s" % (
        seconds(usual),
        100 * SEEN,
        seconds(slow),
    )
    return found(text) if slow > SPREAD * usual else excluded(text)


CAUSE = Cause(
    "calls with the same arguments differ",
    judge,
    "make them alike (a seed, a fixed input) before you compare numbers of workers",
)
