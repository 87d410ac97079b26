"""Threads contend for an object that they share, or for an allocator."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.claims.measured import Measured, over
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
from lab.cell.targets.figures import Workers, measured_arms, speed_up

#: Why nothing contends for an object where the GIL lets one thread work at a time.
_TURNS = "with the GIL, threads take turns before they could contend"


def judge(evidence: Evidence, facts: Facts) -> Finding:
    has_gil = evidence.last("imported")["gil_after"]
    pair = _shared_and_own(evidence, facts.cpus)
    return _beside_own(evidence, *pair, has_gil) if pair else _beside_processes(evidence, facts, has_gil)


def _shared_and_own(evidence: Evidence, cpus: int) -> "tuple[Workers, Workers] | None":
    """The most threads, at most so many, that were measured both with a shared object and with objects of their own."""
    arms = {(arm.workers, arm.own): arm for arm in measured_arms(evidence) if arm.executor == THREAD}
    counts = [workers for workers, own in arms if own and (workers, False) in arms and workers <= cpus]
    return (arms[max(counts), False], arms[max(counts), True]) if counts else None


def _beside_own(evidence: Evidence, shared: Workers, own: Workers, has_gil: bool) -> Finding:
    """What threads do with a shared object, beside what they do with their own, if the GIL leaves them several CPUs."""
    rounds = evidence.rounds("round")
    ratio = Measured((shared.name, own.name), over(shared.name, own.name)).estimate(rounds)
    gained = speed_up(own.name, rounds).estimate(rounds)
    if ratio is None or gained is None:
        return undecided("shared and own state were not measured often enough")
    if has_gil and gained.high < SECOND_CPU:
        return excluded(_TURNS)
    text = "with shared state %d threads do %.2f times the work that they do with state of their own" % (
        own.workers,
        ratio.value,
    )
    if ratio.high < AS_WELL and not (has_gil and gained.low < SECOND_CPU):
        return found(text)
    return excluded(text) if ratio.low > AS_WELL else undecided(text)


def _beside_processes(evidence: Evidence, facts: Facts, has_gil: bool) -> Finding:
    """What threads do, beside what processes do, which share nothing."""
    threads, processes = best(evidence, [THREAD], facts.cpus), best(evidence, METHODS, facts.cpus)
    rounds = evidence.rounds("round")
    is_open = threads is not None and is_in_vain(threads[0].name, threads[1], rounds)
    are_idle = threads is not None and is_idle(threads[0].name, threads[1], rounds)
    if has_gil and not (is_open or are_idle or shared_only(evidence)):
        return excluded(_TURNS)
    if threads is None or processes is None:
        return undecided("threads or processes were not measured often enough")
    text = "threads do %.2f times the work of one worker, processes %.2f times" % (threads[1].value, processes[1].value)
    if processes[1].high < SECOND_CPU:
        return undecided("processes gain nothing either: %s" % text)
    if threads[1].high < AS_WELL * processes[1].low:
        if is_lost_in_handing_over(evidence):
            return undecided("handing the items over takes as long as the calls: %s" % text)
        if has_gil and are_idle:
            return undecided("%s; they share a lock around a wait, or C code waits with the GIL" % text)
        if has_gil:
            return undecided("%s; either they wait for the GIL, or they contend" % text)
        return found("%s; there is no GIL, so they contend for an object, a lock or the allocator" % text)
    return excluded(text) if threads[1].low > AS_WELL * processes[1].high else undecided(text)


CAUSE = Cause(
    "threads contend for something that they share",
    judge,
    "give each thread an object of its own, or collect results locally and merge them at the end",
    least_cpus=2,
)
