"""Whether the speed-up of one kind of workers keeps a bound that a test sets. Pure.

Only an interval that lies wholly beyond the bound fails. A machine that delivered too little makes speed-ups smaller.
So a bound from below fails only if it would also be missed with all CPUs delivered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.cell.claims.claim import disturbances
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import CAPACITY
from lab.cell.targets import figures
from lab.judging.verdicts import completed, evidence_of, finish_of
from lab.model.cell import CellResult
from lab.model.gates import Outcome
from lab.text import units


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio that was measured."""

    #: What it is: ``speed-up of work:parse with 2 threads``.
    label: str
    #: The ratio with its 95 % interval; ``None``: it is not known.
    estimate: Estimate | None
    #: The same ratio as it would be if the machine had delivered all CPUs; ``None``: not known, or it makes no sense.
    undisturbed: Estimate | None
    #: What disturbed the measurement, or why there is no estimate; empty: nothing.
    trouble: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one bound."""

    #: Whether it was kept.
    outcome: Outcome
    #: What the bound is about.
    label: str
    #: The bound in words: ``at least 1.5``.
    bound: str
    #: What was measured, in words.
    measured: str
    #: What left it open; empty: nothing did.
    reason: str

    @property
    def sentence(self) -> str:
        """The bound, what was measured, and why, in a sentence."""
        verdict = "inconclusive: " if self.outcome is Outcome.INCONCLUSIVE else ""
        why = f"; {self.reason}" if self.reason else ""
        return f"{verdict}the {self.label} is {self.measured}, to be {self.bound}{why}"


@dataclass(frozen=True, kw_only=True)
class Team:
    """What a session tells of one kind of workers."""

    #: The speed-up over one worker alone.
    speed_up: Ratio
    #: The speed-up as a share of the CPUs that the machine delivered.
    efficiency: Ratio
    #: Why these workers cannot do the work, such as an exception; empty: they can.
    broken: str


def team_of(experiment: str, result: CellResult, workers: str, count: int) -> Team:
    """The workers of that name in a cell that measured a case of the user's, ``count`` of them."""
    evidence = evidence_of(experiment, result)
    rounds = evidence.rounds("round")
    speed_up, share = figures.speed_up(workers, rounds), figures.share(workers, count, rounds)
    took_part = [blocks for blocks in rounds if workers in blocks]
    causes = disturbances(rounds, *share.arms)
    out = next((text for name, _, text in evidence.all("out") if name == workers), "")
    finish = finish_of(experiment, result) or {}
    if not took_part:
        causes = [result.reason or finish.get("reason") or "no round was measured"]
    capacity = CAPACITY.estimate(rounds)
    if capacity and capacity.value < 0.9 * count:
        causes = [f"the machine delivered {capacity.value:.2f} of {count} CPUs", *causes]
    is_known = completed(experiment, result)
    name = f"{experiment.partition(':')[2]} with {workers}"
    gain = speed_up.estimate(rounds) if is_known else None
    of_delivered = share.estimate(rounds) if is_known else None
    waits = bool(took_part) and evidence.last("trial")["idle"] > figures.WAITING_SHARE
    full = of_delivered and Estimate(
        count * of_delivered.value, count * of_delivered.low, count * of_delivered.high, of_delivered.size
    )
    ratio = Ratio(
        label=f"speed-up of {name}",
        estimate=gain,
        undisturbed=gain if waits else full,
        trouble=", ".join(causes),
    )
    efficiency = replace(ratio, label=f"efficiency of {name}", estimate=of_delivered, undisturbed=of_delivered)
    return Team(speed_up=ratio, efficiency=efficiency, broken=out)


def at_least(ratio: Ratio, bound: float) -> Answer:
    """Whether a ratio is at least so large."""
    estimate, full = ratio.estimate, ratio.undisturbed
    is_beyond = bool(estimate and full and estimate.high < bound and full.high < bound)
    return _answer(ratio, f"at least {bound:g}", is_met=bool(estimate and estimate.low >= bound), is_beyond=is_beyond)


def at_most(ratio: Ratio, bound: float) -> Answer:
    """Whether a ratio is at most so large. A machine that delivers too little cannot keep such a bound for it."""
    estimate, full = ratio.estimate, ratio.undisturbed
    is_met = bool(estimate and full and estimate.high <= bound and full.high <= bound)
    return _answer(ratio, f"at most {bound:g}", is_met=is_met, is_beyond=bool(estimate and estimate.low > bound))


def _answer(ratio: Ratio, bound: str, *, is_met: bool, is_beyond: bool) -> Answer:
    outcome = Outcome.MET if is_met else Outcome.FAILED if is_beyond else Outcome.INCONCLUSIVE
    return Answer(
        outcome=outcome,
        label=ratio.label,
        bound=bound,
        measured=interval_words(ratio.estimate),
        reason=ratio.trouble if outcome is Outcome.INCONCLUSIVE else "",
    )


def interval_words(estimate: Estimate | None) -> str:
    """A ratio with its interval."""
    if estimate is None:
        return "not known"
    return f"{estimate.value:.2f} (95 % interval {units.interval(estimate.low, estimate.high, '')})"
