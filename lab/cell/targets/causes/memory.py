"""The workers wait for memory: a CPU second does less work when several of them work at the same time."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding, Round
from lab.cell.claims.measured import MOST_INFLATION, Measured
from lab.cell.measuring.rounds import PROBE
from lab.cell.targets.arms import METHODS
from lab.cell.targets.causes import Cause, best, excluded, found, undecided
from lab.cell.targets.figures import base_of


def _work(blocks: Round, arm: str) -> float:
    """Calls or payloads in a CPU second."""
    return float(blocks[arm]["rate"] / max(blocks[arm]["cores"], 1e-9))


def judge(evidence: Evidence, facts: Facts) -> Finding:
    if evidence.all("items"):
        return undecided("the time of a whole list holds more than the calls; measure without --items")
    processes = best(evidence, METHODS, facts.cpus)
    if processes is None:
        return undecided("processes were not measured often enough")
    name, rounds = processes[0].name, evidence.rounds("round")
    base = base_of(name, rounds)

    def inflation(blocks: Round) -> float:
        target = _work(blocks, base) / max(_work(blocks, name), 1e-9)
        probe = _work(blocks, "one process") / max(_work(blocks, PROBE), 1e-9)
        return target / max(probe, 1e-9)

    ratio = Measured((name, base, PROBE, "one process"), inflation).estimate(rounds)
    if ratio is None:
        return undecided("too few undisturbed rounds")
    text = "a CPU second of %s does %.2f times less work than that of one worker, beside the capacity probe" % (
        name,
        ratio.value,
    )
    if ratio.low > MOST_INFLATION:
        return found(text)
    return excluded(text) if ratio.high < MOST_INFLATION else undecided(text)


CAUSE = Cause(
    "the workers wait for memory or share a cache",
    judge,
    "work on smaller pieces that fit into a cache; more workers gain little",
    least_cpus=2,
)
