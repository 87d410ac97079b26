"""The target waits instead of computing."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding, estimate_or_none
from lab.cell.targets.causes import Cause, excluded, found, undecided
from lab.cell.targets.figures import BASE, WAITING_SHARE


def judge(evidence: Evidence, facts: Facts) -> Finding:
    if evidence.all("items"):
        return undecided("the time of a whole list holds more than the calls; measure without --items")
    rounds = [blocks for blocks in evidence.rounds("round") if blocks.get(BASE, {}).get("delay") is not None]
    idle = estimate_or_none([1 - blocks[BASE]["cores"] - blocks[BASE]["delay"] for blocks in rounds])
    if idle is None:
        return undecided("the CPU time of one worker is not known")
    trial = evidence.last("trial")
    if idle.low > WAITING_SHARE and max(trial["idle"], 1 - trial["cores"]) < WAITING_SHARE:
        return undecided("its first calls computed, in processes that live on and are not counted in the rounds")
    text = "one worker neither computes nor waits for a CPU for %.0f %% of its time" % max(0, 100 * idle.value)
    if idle.low > WAITING_SHARE:
        return found(text)
    return excluded(text) if idle.high < WAITING_SHARE else undecided(text)


CAUSE = Cause(
    "the function waits for something, and does not compute",
    judge,
    "threads are enough, and more of them than CPUs pay; so does asyncio",
)
