"""What a call takes and gives costs more to hand over to another process than to compute."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.claims.wording import seconds
from lab.cell.targets.causes import Cause, call_seconds, excluded, found

#: Handing over that takes this share of the call decides what processes gain.
MUCH = 0.3


def judge(evidence: Evidence, facts: Facts) -> Finding:
    trial = evidence.last("trial")
    if trial["pickle_error"]:
        return found("the result cannot be pickled at all: %s" % trial["pickle_error"])
    item = (evidence.all("item") or [{"bytes": 0, "seconds": 0.0, "error": ""}])[-1]
    if item["error"]:
        return found("an item cannot be pickled at all: %s" % item["error"])
    cost, call = trial["pickle_seconds"] + item["seconds"], call_seconds(evidence)
    text = "pickling %s (%.3g MB) takes %s, a call takes %s" % (
        "an item and the result" if item["bytes"] else "the result",
        (trial["result_bytes"] + item["bytes"]) / 1e6,
        seconds(cost),
        seconds(call),
    )
    return found(text) if cost > MUCH * call and cost > 1e-4 else excluded(text)


CAUSE = Cause(
    "what is handed over costs too much to pickle for what a call computes",
    judge,
    "hand over less (a file name, a range), write the result where the parent can read it (a file, shared memory), or"
    " take threads",
)
