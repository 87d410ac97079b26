"""Whether cells may run side by side: the sentinel's rounds, held against the most bias that is borne. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.cell.claims.claim import estimate_or_none, undisturbed
from lab.cell.claims.estimates import Estimate
from lab.cell.experiments._internal import sentinel as sentinel_experiment
from lab.cell.experiments._internal.companion import NAME as COMPANION
from lab.judging.verdicts import evidence_of
from lab.model.cell import CellResult, Status
from lab.text import units

#: The most that a cell's speed may differ from what it is alone, as a share.
MOST_BIAS = 0.02


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Whether to pack, why in a line, and the packed speed as a share of that alone (``None``: not known)."""

    allowed: bool
    reason: str
    speed: Estimate | None = None


def judge(sentinel: CellResult, companion: CellResult) -> Packing:
    """What the two cells, run side by side, say. In doubt cells are not packed."""
    for result in (sentinel, companion):
        if result.status is not Status.MEASURED:
            return Packing(allowed=False, reason=f"whether they disturb each other is not known: {result.reason}")
    spans = evidence_of(COMPANION, companion)
    begun, ended = (max(spans.all(name), default=0.0) for name in ("busy from", "busy until"))
    rounds = evidence_of(sentinel_experiment.NAME, sentinel).rounds("round")
    good = [
        one
        for one in undisturbed(rounds, "alone", "packed")
        if begun <= one["clock"]["began"] and one["clock"]["began"] + 2 * sentinel_experiment.PHASE_SECONDS <= ended
    ]
    speed = estimate_or_none([one["packed"]["rate"] / one["alone"]["rate"] for one in good if one["alone"]["rate"]])
    if speed is None:
        return Packing(allowed=False, reason="whether they disturb each other is not known: too few quiet rounds")
    found = f"{_share(1 - speed.high)} to {_share(1 - speed.low)} slower side by side"
    if speed.inside(1 - MOST_BIAS, 1 + MOST_BIAS):
        return Packing(allowed=True, reason=f"a sentinel is {found}, within {_share(MOST_BIAS)}", speed=speed)
    surely = speed.outside(1 - MOST_BIAS, 1 + MOST_BIAS)
    verb = "is" if surely else "may be"
    return Packing(allowed=False, reason=f"a sentinel {verb} {found}; {_share(MOST_BIAS)} is allowed", speed=speed)


def _share(value: float) -> str:
    return units.share(value)
