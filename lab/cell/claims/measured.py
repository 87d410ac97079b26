"""Claims that rest on a number: from rounds to an estimate, from its interval and a tolerance to a verdict."""

from __future__ import annotations

import functools
import time
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from lab.cell.claims.claim import (
    FEWEST_VALUES,
    INCONCLUSIVE,
    Better,
    Claim,
    Evidence,
    Facts,
    Figure,
    Finding,
    Round,
    Tolerance,
    decide,
    disturbances,
    estimate_or_none,
    undisturbed,
)
from lab.cell.claims.estimates import Estimate, median, over_rounds

#: With less than this delivered, one cannot tell one core from several: the machine itself had only one to give.
LEAST_CAPACITY = 1.4

#: A CPU second that does less work by this factor when all CPUs are busy is no CPU second of a core to itself.
MOST_INFLATION = 1.1


def unsaid(value: float) -> str:
    """No sentence: for a number that stands in a table only."""
    return ""


class Measured(NamedTuple):
    """How a number is taken from rounds: the median of one value from each, unless it is pooled."""

    #: The arms that must be undisturbed in a round for the round to count.
    arms: tuple[str, ...]
    #: Takes the number from a round.
    value: Callable[[Round], float]
    #: Makes a sentence of the result; its argument is the value, in ``unit``.
    describe: Callable[[float], str] = unsaid
    #: ``s``, or empty for a ratio.
    unit: str = ""
    #: The arms, and the function, that tell from a round what the machine had to give.
    ceiling: tuple[tuple[str, ...], Callable[[Round], float]] | None = None
    #: Whether the number tells something only where the machine delivers several CPUs.
    parallel: bool = False
    #: Whether the workers are pinned, so that the scheduler need not spread them.
    placed: bool = False
    #: Takes the number from all rounds that count together, such as a quantile of many times.
    pooled: Callable[[Sequence[Round]], float] | None = None
    #: In which direction the number gets better; a comparison of two sessions calls the other direction a regression.
    better: Better = None

    def values(self, rounds: Sequence[Round]) -> list[float]:
        """One value for each round that counts, in order."""
        return [self.value(blocks) for blocks in undisturbed(rounds, *self.arms)]

    def estimate(self, rounds: Sequence[Round]) -> Estimate | None:
        """The median of the values, or the pooled number, with its interval; ``None`` when there are too few rounds."""
        return self._estimate(undisturbed(rounds, *self.arms))

    def _estimate(self, good: Sequence[Round]) -> Estimate | None:
        if self.pooled is None:
            return estimate_or_none([self.value(blocks) for blocks in good])
        return over_rounds(good, self.pooled) if len(good) >= FEWEST_VALUES else None

    def counts(self, rounds: Sequence[Round]) -> tuple[int, int]:
        """(rounds accepted, rounds rejected) of those in which all of its arms took part."""
        good, bad = self._sifted(rounds)
        return len(good), bad

    def weigh(self, rounds: Sequence[Round]) -> tuple[Estimate | None, int, int]:
        """The estimate and the counts together, in half the time."""
        good, bad = self._sifted(rounds)
        return self._estimate(good), len(good), bad

    def _sifted(self, rounds: Sequence[Round]) -> tuple[list[Round], int]:
        took_part = list(rounds)
        for arm in self.arms:
            took_part = [blocks for blocks in took_part if arm in blocks]
        good = undisturbed(took_part, *self.arms)
        return good, len(took_part) - len(good)

    def highest(self, rounds: Sequence[Round]) -> float | None:
        """The ceiling, as the median over the rounds in which it counts; ``None`` when there is none."""
        if self.ceiling is None:
            return None
        arms, value = self.ceiling
        values = [value(blocks) for blocks in undisturbed(rounds, *arms)]
        return median(values) if values else None

    def figure(self, what: str, rounds: Sequence[Round], of: str = "") -> Figure:
        """This number in its experiment's table; see :class:`Figure`."""
        estimate, accepted, rejected = self.weigh(rounds)
        return Figure(what, estimate, self.unit, accepted, rejected, of, self.better)


def over(arm: str, base: str, key: str = "rate") -> Callable[[Round], float]:
    """The ratio of what two arms measured in the same round."""
    return lambda blocks: float(blocks[arm][key] / blocks[base][key])


def value_of(arm: str, key: str) -> Callable[[Round], float]:
    """What one arm measured."""
    return lambda blocks: float(blocks[arm][key])


#: The machine's capacity, in CPUs: what pinned, independent processes reach, over what one does.
CAPACITY = Measured(
    ("probe", "one process"), over("probe", "one process"), lambda cpus: f"the machine delivered {cpus:.2f} CPUs"
)
DELIVERED = (CAPACITY.arms, CAPACITY.value)


def claim(
    name: str,
    statement: str,
    measured: Measured,
    tolerance: Tolerance,
    expected: Callable[[Facts], str | None],
    least_cpus: int = 1,
    advice: str = "",
    source: str = "",
) -> Claim:
    """A claim that is confirmed when the interval of a number lies inside a tolerance, and refuted when outside."""
    return Claim(name, statement, judge(measured, tolerance), expected, least_cpus, tolerance, advice, source)


def judge(measured: Measured, tolerance: Tolerance) -> Callable[[Evidence, Facts], Finding]:
    """The predicate of such a claim. It decides nothing when the machine gave too little to tell, and says why."""

    def predicate(evidence: Evidence, facts: Facts) -> Finding:
        rounds = evidence.rounds("round")
        estimate, accepted, rejected = measured.weigh(rounds)
        causes = _causes(_inflation(evidence), facts) if measured.parallel else []
        if estimate is None:
            disturbed = ", ".join(disturbances(rounds, *measured.arms)) if rounds else "none was taken"
            reason = "too few undisturbed rounds of %d (%s)" % (accepted + rejected, disturbed or "too little time")
            return Finding(INCONCLUSIVE, "", accepted=accepted, rejected=rejected)._replace(
                **_reasoned(reason, *causes)
            )
        verdict = decide(estimate, tolerance.low, tolerance.high)
        clauses = [measured.describe(estimate.value)]
        capacity = _capacity(evidence) if measured.parallel else None
        if capacity:
            clauses.append(CAPACITY.describe(capacity.value))
        trouble = _lack(capacity, rounds, facts, measured) if measured.parallel else None
        if trouble:
            verdict, clauses = INCONCLUSIVE, [trouble]
        elif verdict == INCONCLUSIVE:
            clauses.append("the interval reaches over the tolerance")
            clauses.extend("disturbed by " + cause for cause in disturbances(rounds, *measured.arms))
        return Finding(
            verdict,
            "",
            estimate.value,
            estimate.low,
            estimate.high,
            measured.unit,
            accepted,
            rejected,
            measured.highest(rounds),
            measured.better,
        )._replace(**_reasoned(*clauses, *causes))

    return predicate


# All claims of an experiment need the capacity and the inflation of the same evidence, so each is computed once.
@functools.lru_cache(maxsize=1)
def _capacity(evidence: Evidence) -> Estimate | None:
    return CAPACITY.estimate(evidence.rounds("round"))


@functools.lru_cache(maxsize=1)
def _inflation(evidence: Evidence) -> Estimate | None:
    return inflation(evidence.rounds("round"))


def narrow(estimate: Estimate | None, width: float) -> bool:
    """Whether the interval's half-width is at most this share of the value."""
    return estimate is not None and estimate.high - estimate.low <= 2 * width * estimate.value


def decided(estimate: Estimate | None, tolerance: Tolerance) -> bool:
    """Whether the interval lies wholly inside or wholly outside."""
    return estimate is not None and decide(estimate, tolerance.low, tolerance.high) != INCONCLUSIVE


def enough(rounds: Sequence[Round], fewest: int, measured: Iterable[tuple[Measured, Tolerance]], until: float) -> bool:
    """Whether an experiment may stop.

    It may stop when it has at least ``fewest`` rounds and every claim is decided. A claim that needs capacity also
    needs to know whether the capacity suffices. It must stop when it is ``until``, on the monotonic clock.
    """
    if len(rounds) < fewest:
        return False
    if time.monotonic() >= until:
        return True
    capacity_known = decided(CAPACITY.estimate(rounds), _ENOUGH)
    return all(
        decided(number.estimate(rounds), tolerance) and (capacity_known or not number.parallel)
        for number, tolerance in measured
    )


_ENOUGH = Tolerance(LEAST_CAPACITY, None, "with less, one cannot tell one core from several")


def _reasoned(*clauses: str) -> dict[str, Any]:
    """The two fields of a finding that say why."""
    return {"reason": "; ".join(clauses), "clauses": clauses if len(clauses) > 1 else ()}


def _lack(capacity: Estimate | None, rounds: Sequence[Round], facts: Facts, measured: Measured) -> str | None:
    """Why nothing can be told of several CPUs in this cell, or ``None``."""
    if facts.isolated and not measured.placed:
        return "nothing can be told"  # the cause follows
    if capacity is None:
        causes = ", ".join(disturbances(rounds, *CAPACITY.arms)) or "too little time"
        return "what the machine delivered is not known (%s)" % causes
    if capacity.high < LEAST_CAPACITY:
        return "the machine delivered only %.2f of %d CPUs" % (capacity.value, facts.cpus)
    if capacity.low < LEAST_CAPACITY:
        return "it is not clear what the machine delivered: %.2f to %.2f CPUs" % (capacity.low, capacity.high)
    return None


def causes_of(rounds: Sequence[Round], facts: Facts) -> list[str]:
    """What makes this cell's CPUs less than they seem, by name: each a clause for the reason of a verdict."""
    return _causes(inflation(rounds), facts)


def _causes(inflated: Estimate | None, facts: Facts) -> list[str]:
    causes = []
    if inflated and inflated.low > MOST_INFLATION:
        causes.append(
            "a CPU second did %.2f times less work with all CPUs busy (CPU-second inflation: siblings or a neighbour"
            " share the cores)" % inflated.value
        )
    for core in facts.siblings:
        causes.append("CPUs %s are siblings on one core (SMT)" % ", ".join(map(str, core)))
    if facts.kinds > 1:
        causes.append("its cores are of %d kinds (hybrid)" % facts.kinds)
    if facts.isolated:
        which = ", ".join(map(str, facts.isolated))
        sentence = "CPUs %s are isolated (%s): the scheduler moves nothing to them"
        if len(facts.isolated) == 1:
            sentence = "CPU %s is isolated (%s): the scheduler moves nothing to it"
        causes.append(sentence % (which, "isolcpus, or a CPU set that is not balanced"))
    return causes


def inflation(rounds: Sequence[Round]) -> Estimate | None:
    """How much less work a CPU second does while all CPUs are busy: near 1 where each CPU has a core to itself."""

    def work(block: dict[str, Any]) -> float:
        return float(block["rate"] / max(block["cores"], 1e-9))

    good = undisturbed(rounds, "one process", "probe")
    return estimate_or_none([work(blocks["one process"]) / work(blocks["probe"]) for blocks in good])
