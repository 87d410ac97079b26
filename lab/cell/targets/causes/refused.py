"""The target cannot run in every kind of worker."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.causes import Cause, excluded, found


def judge(evidence: Evidence, facts: Facts) -> Finding:
    reasons: dict[str, str] = {}
    for _, executor, reason in evidence.all("out"):
        reasons.setdefault(executor, reason)
    if not reasons:
        return excluded("it ran in every kind of worker")
    return found("; ".join("%s: %s" % pair for pair in reasons.items()))


CAUSE = Cause("the function does not work in every kind of worker", judge, "take another kind, or repair the reason")
