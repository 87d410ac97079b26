"""Two sessions held against each other: every number that both have, as a ratio with an interval. Pure.

A pair's interval is made of the two numbers' own, which a bootstrap over blocks of rounds gave, in logarithms: the
distances to their ends add up as squares (Zou and Donner 2008, "Construction of confidence limits about effect
measures", Statistics in Medicine 27). All pairs together may raise a false alarm in FALSE_ALARMS of comparisons of like
with like, so that each one's interval is widened to its part of that, by Student's quantile. The part is Holm's (1979,
"A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6): of m numbers first an
m-th, as Bonferroni's is; once k of them have changed, an (m - k)-th for the others, until no further one does.

A time or a rate also depends on how fast the machine was just then, which on a shared one changes by half. So it is
taken a second time in units of what one process did in the same rounds, and counts as changed only where both say so.
Where a cell did not get the CPUs that it was allowed, nothing in it is decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from lab.cell.claims.claim import FEWEST_VALUES
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import Measured, of
from lab.judging import differences, proofs
from lab.judging.verdicts import evidence_of
from lab.model import session as session_
from lab.model.cell import Cell, CellResult, Status
from lab.model.session import Judgement, Session
from lab.text import units

#: How often like sessions may be called different, all numbers together.
FALSE_ALARMS = 0.02

#: The usual tolerance: a change by less is none.
TOLERANCE = 0.05

#: A cell that got less than this share of what it was allowed (D and R) compares with no other: that another one got
#: more is news of the machine. It is the share at which the lab calls D short everywhere.
SHORT = 0.9

#: The confidence of the intervals that the numbers come with.
_GIVEN = 0.95

#: What a process on one CPU does, by the capacity probe's rounds.
_SPEED = Measured(("one process",), of("one process", "rate"), "")

#: Claims on a speed-up: their numbers are plain ratios, of which more is better.
_SPEED_UPS = (
    "gil.no-speedup",
    "gil.processes-scale",
    "gil.always-one-core",
    "cliff.small-blocks",
    "cliff.large-blocks",
    "oversubscription.waiting-gains",
)


#: A number in both sessions, in whatever form the caller has it.
_Number = TypeVar("_Number")


class NumberChange(StrEnum):
    """What became of a number."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    CHANGED = "changed"  # and nobody knows which way is better
    ALIKE = "alike"  # within the tolerance
    UNDECIDED = "undecided"  # the interval reaches over the tolerance


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of one cell with its 95 % interval, in ``unit``; ``worse`` is 1 where more is worse, -1 where less is,
    0 where that is not known. ``speed`` is what one process did meanwhile, in payloads a second; ``None``: unknown."""

    name: str
    unit: str
    found: Estimate
    worse: int
    speed: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A number in both sessions. ``cell`` is the cell's limit, ``build`` its Python in the base. ``ratio`` is new over
    base with an interval of that ``confidence``; ``at_speed`` the same in units of one process's speed, for times and
    rates where that is known."""

    name: str
    cell: str
    build: str
    unit: str
    base: Estimate
    new: Estimate
    ratio: Estimate
    at_speed: Estimate | None
    confidence: float
    change: NumberChange


@dataclass(frozen=True, kw_only=True)
class VerdictChange:
    """A claim whose verdict is decisive in both sessions, and another one."""

    claim: str
    cell: str
    build: str
    base: Judgement
    new: Judgement

    @property
    def regression(self) -> bool:
        """Whether it is a surprise now, and was none."""
        return self.new.surprise and not self.base.surprise


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that two sessions have in common. ``tolerance`` is a share; ``confidence`` that of the widest intervals;
    ``builds`` are those that it compares; ``short`` says which cells got so little of the machine that nothing in them
    is decided."""

    pairs: tuple[Pair, ...]
    turns: tuple[VerdictChange, ...]
    cells: tuple[str, ...]
    builds: tuple[str, ...]
    tolerance: float
    confidence: float
    short: tuple[str, ...] = ()

    @property
    def regressed(self) -> bool:
        return any(one.change is NumberChange.REGRESSION for one in self.pairs) or any(
            one.regression for one in self.turns
        )


def compare(
    base: Session, new: Session, tolerance: float = TOLERANCE, false_alarms: float = FALSE_ALARMS
) -> Comparison:
    """Every number and verdict of the cells that both sessions have measured."""
    couples = in_common(base, new)
    builds = {mine.cell.id: session_.build_of(base, mine) for mine, _ in couples}
    numbers = [
        (mine.cell, one, theirs[one.name])
        for mine, other in couples
        for theirs in [{one.name: one for one in numbers_of(new, other)}]
        for one in numbers_of(base, mine)
        if one.name in theirs and theirs[one.name].unit == one.unit
    ]
    short = {mine.cell.id: [*_short(base, mine), *_short(new, other)] for mine, other in couples}

    def at(confidence: float, number: tuple[Cell, Number, Number]) -> Pair:
        cell, one, other = number
        return pair(cell.limit, one, other, tolerance, confidence, builds[cell.id])

    tested = [number for number in numbers if not short[number[0].id]]
    decided = iter(stepped_down(tested, at, false_alarms))
    widest = 1 - false_alarms / max(len(tested), 1)
    return Comparison(
        pairs=tuple(
            replace(at(widest, number), change=NumberChange.UNDECIDED) if short[number[0].id] else next(decided)
            for number in numbers
        ),
        short=tuple(line for lines in short.values() for line in lines),
        turns=tuple(turn for mine, other in couples for turn in _turns(base, new, mine.cell, other.cell, builds)),
        cells=tuple(mine.cell.label for mine, _ in couples),
        builds=tuple(dict.fromkeys(builds.values())),
        tolerance=tolerance,
        confidence=widest,
    )


def stepped_down(
    numbers: Sequence[_Number], at: Callable[[float, _Number], Pair], false_alarms: float = FALSE_ALARMS
) -> list[Pair]:
    """Every number at the confidence of the step at which it was decided; those that never are, at that of the last.

    ``at`` makes a pair of a number, its interval of that confidence.
    """
    found: dict[int, Pair] = {}
    left = list(range(len(numbers)))
    while left:
        confidence = 1 - false_alarms / len(left)
        found |= {place: at(confidence, numbers[place]) for place in left}
        open_ = [place for place in left if found[place].change in (NumberChange.ALIKE, NumberChange.UNDECIDED)]
        if len(open_) == len(left):
            break
        left = open_
    return [found[place] for place in range(len(numbers))]


def in_common(base: Session, new: Session) -> list[tuple[CellResult, CellResult]]:
    """The cells that both have measured, on the same build: of the same name, or else the only ones under the same
    limit. Where each session has but one build, and another one, it is held against that."""
    mine, theirs = ([one for one in side.results if one.status is Status.MEASURED] for side in (base, new))
    there = differences.paired(*([session_.build_of(side, one) for one in side.results] for side in (base, new)))
    found = []
    for one in mine:
        build = session_.build_of(base, one)
        alike = [other for other in theirs if there.get(build) == session_.build_of(new, other)]
        named = [other for other in alike if other.cell.id == one.cell.id]
        limited = [other for other in alike if _limit(other.cell) == _limit(one.cell)]
        same = [
            other for other in mine if (build, _limit(one.cell)) == (session_.build_of(base, other), _limit(other.cell))
        ]
        if named or len(limited) == len(same) == 1:
            found.append((one, (named or limited)[0]))
    return found


def _short(session: Session, result: CellResult) -> list[str]:
    delivered, rate = proofs.delivered(result), proofs.rate(result.proof)
    if delivered is None or delivered >= SHORT * rate:
        return []
    return [f"{session.id} got {delivered:.2f} of {units.cpus(rate)} at {result.cell.label}"]


def _limit(cell: Cell) -> tuple[object, ...]:
    return cell.size, cell.quota_cpus, cell.pinned


def numbers_of(session: Session, result: CellResult) -> list[Number]:
    """The numbers of a cell that have an interval: those that claims rest on, and those of the tables."""
    said = [
        (one.claim, one.claim.partition(".")[0], one.value, one.low, one.high, one.unit, one.accepted)
        for one in session.judgements
        if one.cell == result.cell.id
    ]
    said += [
        (f"{one.experiment}: {one.what}", one.experiment, one.value, one.low, one.high, one.unit, one.accepted)
        for one in session.quantities
        if one.cell == result.cell.id
    ]
    speeds: dict[str, Estimate | None] = {}
    found = []
    for name, experiment, value, low, high, unit, accepted in said:
        if value is None or low is None or high is None or (accepted or 0) < FEWEST_VALUES:
            continue
        if not 0 < low < high < math.inf or not low <= value <= high:
            continue
        if experiment not in speeds:
            speeds[experiment] = _speed(experiment, result)
        speed = speeds[experiment] if unit in ("s", "/s") else None
        estimate = Estimate(value, low, high, accepted or 0)
        found.append(Number(name=name, unit=unit, found=estimate, worse=is_worse(name, unit), speed=speed))
    return found


def _speed(experiment: str, result: CellResult) -> Estimate | None:
    rounds = evidence_of(experiment, result).rounds("round")
    try:
        found = _SPEED.estimate(rounds)
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None  # records that no experiment of ours wrote
    return found if found and 0 < found.low < found.high < math.inf else None


def is_worse(name: str, unit: str) -> int:
    """Which way a number gets worse: 1 up, -1 down, 0 nobody knows."""
    what = name.partition(": ")[2]
    if unit in ("s", "MiB") or what.startswith(("stopped", "throttled")):
        return 1
    return -1 if unit == "/s" or name in _SPEED_UPS or what.startswith("speed-up") else 0


def pair(cell: str, base: Number, new: Number, tolerance: float, confidence: float, build: str = "") -> Pair:
    """One number in both, and what became of it."""
    raw = ratio([new.found], [base.found], confidence)
    at_speed = None
    if base.speed and new.speed:
        # What takes long on a slow machine, and what a slow machine does few of.
        over, under = [new.found, new.speed], [base.found, base.speed]
        if base.unit == "/s":
            over, under = [new.found, base.speed], [base.found, new.speed]
        at_speed = ratio(over, under, confidence)
    return Pair(
        name=base.name,
        cell=cell,
        build=build,
        unit=base.unit,
        base=base.found,
        new=new.found,
        ratio=raw,
        at_speed=at_speed,
        confidence=confidence,
        change=_change([one for one in (raw, at_speed) if one], base.worse, tolerance),
    )


def ratio(over: Iterable[Estimate], under: Iterable[Estimate], confidence: float) -> Estimate:
    """The product of some estimates over that of others, all independent of each other, with its interval."""
    middle = below = above = 0.0
    size = []
    for sign, estimates in ((1, over), (-1, under)):
        for one in estimates:
            wider = _student(confidence, one.size) / _student(_GIVEN, one.size)
            down, up = math.log(one.value / one.low) * wider, math.log(one.high / one.value) * wider
            middle += sign * math.log(one.value)
            below += (down if sign > 0 else up) ** 2
            above += (up if sign > 0 else down) ** 2
            size.append(one.size)
    low, high = middle - math.sqrt(below), middle + math.sqrt(above)
    return Estimate(math.exp(middle), math.exp(min(low, 700)), math.exp(min(high, 700)), min(size))


def _student(confidence: float, size: int) -> float:
    """Student's two-sided quantile for the mean of so many values; exact, as far out as correction for many needs."""
    from scipy.special import stdtrit  # loaded here, for it takes half a second

    return float(stdtrit(max(size - 1, 2), (1 + confidence) / 2))


def _change(ratios: list[Estimate], worse: int, tolerance: float) -> NumberChange:
    most = 1 + tolerance
    for sign, beyond in (
        (1, all(one.low > most for one in ratios)),
        (-1, all(one.high < 1 / most for one in ratios)),
    ):
        if beyond:
            return (
                NumberChange.CHANGED
                if not worse
                else NumberChange.REGRESSION
                if sign == worse
                else NumberChange.IMPROVEMENT
            )
    inside = any(one.low >= 1 / most and one.high <= most for one in ratios)
    return NumberChange.ALIKE if inside else NumberChange.UNDECIDED


def _turns(base: Session, new: Session, mine: Cell, other: Cell, builds: Mapping[str, str]) -> list[VerdictChange]:
    now = _decisive(new, other.id)
    return [
        VerdictChange(claim=claim, cell=mine.limit, build=builds[mine.id], base=one, new=now[claim])
        for claim, one in _decisive(base, mine.id).items()
        if claim in now and now[claim].verdict is not one.verdict
    ]


def _decisive(session: Session, cell: str) -> Mapping[str, Judgement]:
    return {one.claim: one for one in session.judgements if one.cell == cell and one.verdict.decisive}
