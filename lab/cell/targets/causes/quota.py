"""The quota of the cell allows less than its CPUs."""

from __future__ import annotations

import math

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.causes import Cause, excluded, found


def judge(evidence: Evidence, facts: Facts) -> Finding:
    if facts.rate >= facts.cpus:
        return excluded("no quota is below the %d CPUs of the cell" % facts.cpus)
    stopped = sum(
        max(block.get("stopped_periods", 0) for block in blocks.values()) for blocks in evidence.rounds("round")
    )
    if not stopped:
        return excluded("the quota allows %g CPUs, and it never stopped the workers" % facts.rate)
    return found(
        "the quota allows %g CPUs, and it stopped the workers in %d periods; more than %d of them gain nothing"
        % (facts.rate, stopped, math.ceil(facts.rate))
    )


CAUSE = Cause(
    "a quota allows fewer CPU seconds than the CPU set",
    judge,
    "take no more workers than the quota, rounded up",
)
