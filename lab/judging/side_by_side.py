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
    #: Why, in a line.
    reason: str
    #: The speed side by side, as a share of the speed alone; ``None``: not known.
    speed: Estimate | None = None


def judge_side_by_side(sentinel: CellResult, companion: CellResult) -> SideBySide:
    """Whether cells may run side by side, by two cells that did. In doubt they may not."""
    for result in (sentinel, companion):
        if result.status is not Status.MEASURED:
            return SideBySide(allowed=False, reason=f"whether they disturb each other is not known: {result.reason}")
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
        return SideBySide(allowed=False, reason="whether they disturb each other is not known: too few quiet rounds")
    bound = f"{units.share(1 - MOST_BIAS)} to {units.share(1 + MOST_BIAS)} is allowed"
    if speed.inside(1 - MOST_BIAS, 1 + MOST_BIAS):
        return SideBySide(allowed=True, reason=f"a test cell ran at {_of_its_speed(speed)}, and {bound}", speed=speed)
    verb = "ran" if speed.outside(1 - MOST_BIAS, 1 + MOST_BIAS) else "may have run"
    reason = f"side by side a test cell {verb} at {_of_its_speed(speed)}, and {bound}"
    return SideBySide(allowed=False, reason=reason, speed=speed)


def _of_its_speed(speed: Estimate) -> str:
    """A speed side by side in words, of which 100 % is the speed alone."""
    return f"{units.share(speed.low)} to {units.share(speed.high)} of its speed alone"
