"""The result costs more to hand over to another process than to compute."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.causes import Cause, excluded, found

#: Handing over that takes this share of the call decides what processes gain.
MUCH = 0.5


def judge(evidence: Evidence, facts: Facts) -> Finding:
    trial = evidence.last("trial")
    if trial["pickle_error"]:
        return found("the result cannot be pickled at all: %s" % trial["pickle_error"])
    cost, call = trial["pickle_seconds"], trial["call_seconds"]
    text = "pickling the result (%.3g MB) takes %.3g ms, a call takes %.3g ms" % (
        trial["result_bytes"] / 1e6,
        1e3 * cost,
        1e3 * call,
    )
    return found(text) if cost > MUCH * call and cost > 1e-4 else excluded(text)


CAUSE = Cause(
    "the result costs more to pickle than it gains to compute it elsewhere",
    judge,
    "return less, write the result where the parent can read it (a file, shared memory), or take threads",
)
