"""A call is shorter than what an executor needs to hand it over."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.claims.wording import seconds
from lab.cell.targets.causes import Cause, call_seconds, excluded, found


def judge(evidence: Evidence, facts: Facts) -> Finding:
    call = call_seconds(evidence)
    costs = evidence.last("dispatch")
    text = "a call takes %s; handing one over takes %s" % (
        seconds(call),
        ", ".join("%s to a %s" % (seconds(cost), kind) for kind, cost in costs.items()),
    )
    return found(text) if costs and call < min(costs.values()) else excluded(text)


CAUSE = Cause(
    "a call is shorter than what an executor needs to hand it over",
    judge,
    "hand over many calls at a time: chunksize=, or a function that does a whole batch",
)
