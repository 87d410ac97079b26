"""Whether cells may run side by side: the sentinel's rounds, compared with the bias that is allowed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.cell.claims.claim import estimate_or_none, undisturbed
from lab.cell.claims.estimates import Estimate
from lab.cell.experiments._internal import sentinel as sentinel_experiment
from lab.cell.experiments._internal.companion import NAME as COMPANION
from lab.judging.verdicts import evidence_of
from lab.model.cell import CellResult, Status
from lab.text import units

#: The most that a cell's speed may differ from its speed alone, as a share.
MOST_BIAS = 0.02


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Whether cells may run side by side."""

    #: Whether they may.
    allowed: bool
    #: Why, in a sentence without its full stop.
    reason: str
    #: The speed side by side, as a share of the speed alone; ``None``: not known.
    speed: Estimate | None = None


def judge_side_by_side(sentinel: CellResult, companion: CellResult) -> SideBySide:
    """Whether cells may run side by side, by two cells that did. In doubt they may not."""
    for result in (sentinel, companion):
        if result.status is not Status.MEASURED:
            return SideBySide(allowed=False, reason=f"Whether they disturb each other is not known: {result.reason}")
    spans = evidence_of(COMPANION, companion)
    begun, ended = (max(spans.all(name), default=0.0) for name in ("busy from", "busy until"))
    rounds = evidence_of(sentinel_experiment.NAME, sentinel).rounds("round")
    good = [
        blocks
        for blocks in undisturbed(rounds, "alone", "packed")
        if begun <= blocks["clock"]["began"]
        and blocks["clock"]["began"] + 2 * sentinel_experiment.PHASE_SECONDS <= ended
    ]
    speed = estimate_or_none(
        [blocks["packed"]["rate"] / blocks["alone"]["rate"] for blocks in good if blocks["alone"]["rate"]]
    )
    if speed is None:
        return SideBySide(allowed=False, reason="Whether they disturb each other is not known: too few quiet rounds")
    allowed = speed.inside(1 - MOST_BIAS, 1 + MOST_BIAS)
    verb = "ran" if allowed or speed.outside(1 - MOST_BIAS, 1 + MOST_BIAS) else "may have run"
    reached = f"{units.interval(speed.low, speed.high, 'share')} of its speed alone"
    bound = f"{units.interval(1 - MOST_BIAS, 1 + MOST_BIAS, 'share')} is allowed"
    return SideBySide(allowed=allowed, reason=f"Side by side, a test cell {verb} at {reached}; {bound}", speed=speed)
