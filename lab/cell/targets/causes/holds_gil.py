"""The target holds the GIL: its threads take turns, while processes work at the same time."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.arms import METHODS, THREAD
from lab.cell.targets.causes import (
    AS_WELL,
    SECOND_CPU,
    Cause,
    best,
    excluded,
    found,
    is_idle,
    is_in_vain,
    is_lost_in_handing_over,
    shared_only,
    undecided,
)
from lab.cell.targets.figures import cores


def judge(evidence: Evidence, facts: Facts) -> Finding:
    if not evidence.last("imported")["gil_after"]:
        return excluded("this Python runs without a GIL")
    threads, processes = best(evidence, [THREAD], facts.cpus), best(evidence, METHODS, facts.cpus)
    if threads is None or processes is None:
        return undecided("threads or processes were not measured often enough")
    (arm, gained), (_, base) = threads, processes
    used = cores(arm.name).estimate(evidence.rounds("round"))
    text = "%s do %.2f times the work of one worker, on %.2f cores; processes do %.2f times" % (
        arm.name,
        gained.value,
        used.value if used else float("nan"),
        base.value,
    )
    if base.high < SECOND_CPU:
        return undecided("processes gain nothing either: %s" % text)
    if gained.high < AS_WELL * base.low:
        if shared_only(evidence):
            return undecided("either the GIL or what they share: %s; measure with --state both" % text)
        if is_lost_in_handing_over(evidence):
            return undecided("handing the items over takes as long as the calls: %s" % text)
        if is_idle(arm.name, gained, evidence.rounds("round")):
            return undecided("C code waits with the GIL, or threads share a lock around a wait: %s" % text)
        if is_in_vain(arm.name, gained, evidence.rounds("round")):
            return undecided("threads that take turns would use one core: %s" % text)
        part = "" if gained.high < SECOND_CPU else " for a part of its time"
        return found("it holds the GIL%s: %s" % (part, text))
    return excluded(text) if gained.low > AS_WELL * base.high or gained.low > SECOND_CPU else undecided(text)


CAUSE = Cause(
    "the function holds the GIL while it works, so its threads take turns",
    judge,
    "use processes, or a Python without the GIL; in C code give the GIL up around long work",
    least_cpus=2,
)
