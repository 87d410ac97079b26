"""Threads contend for an object that they share, or for an allocator."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.claims.measured import Measured, over
from lab.cell.targets.arms import METHODS, THREAD
from lab.cell.targets.causes import AS_WELL, SECOND_CPU, Cause, best, excluded, found, undecided
from lab.cell.targets.figures import measured_arms


def judge(evidence: Evidence, facts: Facts) -> Finding:
    if evidence.last("imported")["gil_after"]:
        return excluded("with the GIL, threads take turns before they could contend")
    rounds = evidence.rounds("round")
    arms = {(arm.workers, arm.own): arm for arm in measured_arms(evidence) if arm.executor == THREAD}
    counts = sorted((workers for workers, own in arms if own and (workers, False) in arms), reverse=True)
    for workers in [count for count in counts if count <= facts.cpus][:1]:
        shared, own = arms[workers, False].name, arms[workers, True].name
        ratio = Measured((shared, own), over(shared, own)).estimate(rounds)
        if ratio is None:
            return undecided("shared and own state were not measured often enough")
        text = "with shared state %d threads do %.2f times the work that they do with state of their own" % (
            workers,
            ratio.value,
        )
        if ratio.high < AS_WELL:
            return found(text)
        return excluded(text) if ratio.low > AS_WELL else undecided(text)
    threads, processes = best(evidence, [THREAD], facts.cpus), best(evidence, METHODS, facts.cpus)
    if threads is None or processes is None:
        return undecided("threads or processes were not measured often enough")
    text = "threads do %.2f times the work of one worker, processes %.2f times" % (threads[1].value, processes[1].value)
    if processes[1].high < SECOND_CPU:
        return undecided("processes gain nothing either: %s" % text)
    if threads[1].high < AS_WELL * processes[1].low:
        return found("%s; there is no GIL, so they contend for an object, a lock or the allocator" % text)
    return excluded(text) if threads[1].low > AS_WELL * processes[1].high else undecided(text)


CAUSE = Cause(
    "threads contend for something that they share",
    judge,
    "give each thread an object of its own, or collect results locally and merge them at the end",
    least_cpus=2,
)
