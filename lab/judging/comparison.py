"""Two sessions compared: every number that both have, as a ratio with an interval. Pure.

The interval of a ratio is made of the intervals of its two numbers, which a bootstrap over blocks of rounds gave. In
logarithms, the squared distances to the ends are added (Zou and Donner 2008, "Construction of confidence limits about
effect measures", Statistics in Medicine 27).

A comparison of equal sessions may report a false change with probability ``FALSE_ALARMS``, all numbers together.
Therefore each interval is widened to its part of that probability, by Student's quantile. The part is Holm's (1979, "A
simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6). With m numbers it is
first an m-th, as Bonferroni's. When k numbers have changed, it is an (m - k)-th for the others, until no further number
changes.

A time or a rate also depends on the speed of the machine, which changes by half on a shared one. So it is compared a
second time, in units of what one process did in the same rounds. It counts as changed only if both comparisons say so.
Nothing is decided in a cell that did not get the CPUs that it was allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from lab.cell.claims.claim import FEWEST_VALUES, Better
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import Measured, value_of
from lab.cell.experiments import shown
from lab.judging import differences, programs, proofs
from lab.judging.records import MALFORMED
from lab.judging.verdicts import evidence_of
from lab.model import session as session_
from lab.model.cell import Cell, CellResult, Status
from lab.model.session import Judgement, Quantity, Session
from lab.text import units

#: How often equal sessions may be called different, all numbers together.
FALSE_ALARMS = 0.02

#: The usual tolerance: a smaller change is none.
TOLERANCE = 0.05

#: A cell that got less than this share of what it was allowed (D and R) is not compared: its numbers tell about the
#: machine. Everywhere in the lab, D is called short below this share.
SHORT = 0.9

#: The confidence of the intervals that the numbers come with.
_GIVEN = 0.95

#: Numbers of the user's own code that follow from others: comparing them too would only widen all intervals.
_FOLLOWING = ("of delivered", "cores used", "call, p95")

#: What a process on one CPU does, by the capacity probe's rounds.
_SPEED = Measured(("one process",), value_of("one process", "rate"))


#: A number in both sessions, in the form that the caller has.
_Number = TypeVar("_Number")


class NumberChange(StrEnum):
    """How a number differs between two sessions."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    CHANGED = "changed"  # neither direction is known to be better
    ALIKE = "alike"  # within the tolerance
    UNDECIDED = "undecided"  # the interval overlaps the tolerance limit


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of one cell, ready to be compared."""

    #: What the number is, the same words in both sessions.
    name: str
    #: The unit; empty for a plain ratio.
    unit: str
    #: The value with its 95 % interval, in ``unit``.
    estimate: Estimate
    #: In which direction the number gets better.
    better: Better = None
    #: What one process did in the same rounds, in payloads a second; ``None``: not known, or not needed.
    speed: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A number that both sessions have, and how it differs."""

    #: What the number is.
    name: str
    #: The label of the cell's limit.
    cell: str
    #: The cell's Python in the base session.
    build: str
    #: The unit; empty for a plain ratio.
    unit: str
    #: The number in the base session.
    base: Estimate
    #: The number in the new session.
    new: Estimate
    #: New over base, with an interval of ``confidence``.
    ratio: Estimate
    #: The same ratio in units of one process's speed, for times and rates; ``None``: not known.
    at_speed: Estimate | None
    #: The confidence of the two ratios' intervals.
    confidence: float
    #: How the number differs.
    change: NumberChange


@dataclass(frozen=True, kw_only=True)
class VerdictChange:
    """A claim with a decisive verdict in both sessions, where the two verdicts differ."""

    #: The claim's id.
    claim: str
    #: The label of the cell's limit.
    cell: str
    #: The cell's Python in the base session.
    build: str
    #: The judgement in the base session.
    base: Judgement
    #: The judgement in the new session.
    new: Judgement

    @property
    def regression(self) -> bool:
        """Whether the new verdict is a surprise and the one of the base is none."""
        return self.new.surprise and not self.base.surprise


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that two sessions have in common."""

    #: The numbers.
    pairs: tuple[Pair, ...]
    #: The verdicts that differ.
    verdict_changes: tuple[VerdictChange, ...]
    #: The labels of the cells that were compared.
    cells: tuple[str, ...]
    #: The builds that were compared.
    builds: tuple[str, ...]
    #: A smaller change, as a share, is none.
    tolerance: float
    #: The confidence of the widest intervals.
    confidence: float
    #: A sentence for each cell in which nothing is decided, because it got too little of the machine.
    short: tuple[str, ...] = ()

    @property
    def regressed(self) -> bool:
        """Whether any number or verdict is a regression."""
        return any(number.change is NumberChange.REGRESSION for number in self.pairs) or any(
            verdict.regression for verdict in self.verdict_changes
        )


def compare(
    base: Session, new: Session, tolerance: float = TOLERANCE, false_alarms: float = FALSE_ALARMS
) -> Comparison:
    """Every number and verdict of the cells that both sessions have measured."""
    couples = in_common(base, new)
    builds = {base_result.cell.id: session_.build_of(base, base_result) for base_result, _ in couples}
    numbers = [
        (base_result.cell, number, new_numbers[number.name])
        for base_result, new_result in couples
        for new_numbers in [{number.name: number for number in numbers_of(new, new_result)}]
        for number in numbers_of(base, base_result)
        if number.name in new_numbers and new_numbers[number.name].unit == number.unit
    ]
    short = {
        base_result.cell.id: [*_short(base, base_result), *_short(new, new_result)]
        for base_result, new_result in couples
    }

    def at(confidence: float, number: tuple[Cell, Number, Number]) -> Pair:
        cell, base_number, new_number = number
        return pair(cell.limit_label, base_number, new_number, tolerance, confidence, builds[cell.id])

    tested = [number for number in numbers if not short[number[0].id]]
    decided = iter(stepped_down(tested, at, false_alarms))
    widest = 1 - false_alarms / max(len(tested), 1)
    return Comparison(
        pairs=tuple(
            replace(at(widest, number), change=NumberChange.UNDECIDED) if short[number[0].id] else next(decided)
            for number in numbers
        ),
        short=tuple(line for lines in short.values() for line in lines),
        verdict_changes=tuple(
            change
            for base_result, new_result in couples
            for change in _verdict_changes(base, new, base_result.cell, new_result.cell, builds)
        ),
        cells=tuple(base_result.cell.label for base_result, _ in couples),
        builds=tuple(dict.fromkeys(builds.values())),
        tolerance=tolerance,
        confidence=widest,
    )


def stepped_down(
    numbers: Sequence[_Number], at: Callable[[float, _Number], Pair], false_alarms: float = FALSE_ALARMS
) -> list[Pair]:
    """Every number at the confidence of the step that decided it; an undecided number at that of the last step.

    ``at`` makes the pair of a number with an interval of that confidence.
    """
    pairs: dict[int, Pair] = {}
    left = list(range(len(numbers)))
    while left:
        confidence = 1 - false_alarms / len(left)
        pairs |= {place: at(confidence, numbers[place]) for place in left}
        open_ = [place for place in left if pairs[place].change in (NumberChange.ALIKE, NumberChange.UNDECIDED)]
        if len(open_) == len(left):
            break
        left = open_
    return [pairs[place] for place in range(len(numbers))]


def in_common(base: Session, new: Session) -> list[tuple[CellResult, CellResult]]:
    """The cells that both sessions have measured on the same build: those of the same name, else of the same limit.

    A limit counts only where it names one cell in each session. Two sessions with one build each are compared, also
    where the builds differ.
    """
    base_results, new_results = (
        [result for result in session.results if result.status is Status.MEASURED] for session in (base, new)
    )
    new_build_of = differences.paired(
        *([session_.build_of(session, result) for result in session.results] for session in (base, new))
    )
    couples = []
    for result in base_results:
        build = session_.build_of(base, result)
        candidates = [
            candidate for candidate in new_results if new_build_of.get(build) == session_.build_of(new, candidate)
        ]
        named = [candidate for candidate in candidates if candidate.cell.id == result.cell.id]
        limited = [candidate for candidate in candidates if _limit(candidate.cell) == _limit(result.cell)]
        rivals = [
            rival
            for rival in base_results
            if (build, _limit(result.cell)) == (session_.build_of(base, rival), _limit(rival.cell))
        ]
        if named or len(limited) == len(rivals) == 1:
            couples.append((result, (named or limited)[0]))
    return couples


def _short(session: Session, result: CellResult) -> list[str]:
    delivered, rate = proofs.delivered(result), proofs.rate(result.proof)
    if delivered is None or delivered >= SHORT * rate:
        return []
    return [f"{session.id} got {delivered:.2f} of {units.cpus(rate)} at {result.cell.label}"]


def _limit(cell: Cell) -> tuple[object, ...]:
    return cell.size, cell.quota_cpus, cell.pinned


def numbers_of(session: Session, result: CellResult) -> list[Number]:
    """The numbers of a cell that have an interval: those that claims rest on, and those of the tables."""
    measured: list[tuple[str, str, Judgement | Quantity]] = [
        (judgement.claim, judgement.claim.rpartition(".")[0], judgement)
        for judgement in session.judgements
        if judgement.cell == result.cell.id
    ]
    measured += [
        (_name_of(quantity), quantity.experiment, quantity)
        for quantity in session.quantities
        if quantity.cell == result.cell.id and quantity.what not in _FOLLOWING
    ]
    speeds: dict[str, Estimate | None] = {}
    numbers = []
    for name, experiment, number in measured:
        value, low, high, accepted = number.value, number.low, number.high, number.accepted or 0
        if value is None or low is None or high is None or accepted < FEWEST_VALUES:
            continue
        if not 0 < low < high < math.inf or not low <= value <= high:
            continue
        if experiment not in speeds:
            speeds[experiment] = _speed(experiment, programs.turns_of(session, result))
        speed = speeds[experiment] if number.unit == "s" or number.unit.endswith("/s") else None
        estimate = Estimate(value, low, high, accepted)
        numbers.append(Number(name=name, unit=number.unit, estimate=estimate, better=number.better, speed=speed))
    return numbers


def _name_of(quantity: Quantity) -> str:
    """What a number is called, with the thing that it belongs to: ``work.py:busy: 2 threads: calls/s``."""
    return ": ".join(filter(None, (shown(quantity.experiment), quantity.of, quantity.what)))


def _speed(experiment: str, results: Iterable[CellResult]) -> Estimate | None:
    """What one process did beside these measurements; ``None``: not known."""
    rounds = [blocks for result in results for blocks in evidence_of(experiment, result).rounds("round")]
    try:
        estimate = _SPEED.estimate(rounds)
    except MALFORMED:
        return None
    return estimate if estimate and 0 < estimate.low < estimate.high < math.inf else None


def pair(cell: str, base: Number, new: Number, tolerance: float, confidence: float, build: str = "") -> Pair:
    """One number in both sessions, and how it differs."""
    raw = ratio([new.estimate], [base.estimate], confidence)
    at_speed = None
    if base.speed and new.speed:
        # A slow machine needs more time for a task, and does fewer tasks in a second.
        over, under = [new.estimate, new.speed], [base.estimate, base.speed]
        if base.unit.endswith("/s"):
            over, under = [new.estimate, base.speed], [base.estimate, new.speed]
        at_speed = ratio(over, under, confidence)
    return Pair(
        name=base.name,
        cell=cell,
        build=build,
        unit=base.unit,
        base=base.estimate,
        new=new.estimate,
        ratio=raw,
        at_speed=at_speed,
        confidence=confidence,
        change=_change([estimate for estimate in (raw, at_speed) if estimate], base.better, tolerance),
    )


def ratio(over: Iterable[Estimate], under: Iterable[Estimate], confidence: float) -> Estimate:
    """The product of the estimates ``over`` divided by that of ``under``, with its interval; all are independent."""
    middle = below = above = 0.0
    sizes = []
    for sign, estimates in ((1, over), (-1, under)):
        for estimate in estimates:
            wider = _student(confidence, estimate.size) / _student(_GIVEN, estimate.size)
            down = math.log(estimate.value / estimate.low) * wider
            up = math.log(estimate.high / estimate.value) * wider
            middle += sign * math.log(estimate.value)
            below += (down if sign > 0 else up) ** 2
            above += (up if sign > 0 else down) ** 2
            sizes.append(estimate.size)
    low, high = middle - math.sqrt(below), middle + math.sqrt(above)
    return Estimate(math.exp(middle), math.exp(min(low, 700)), math.exp(min(high, 700)), min(sizes))


def _student(confidence: float, size: int) -> float:
    """Student's two-sided quantile for the mean of so many values, exact also for a confidence very near 1."""
    from scipy.special import stdtrit  # loaded here, because it takes half a second

    return float(stdtrit(max(size - 1, 2), (1 + confidence) / 2))


def _change(ratios: list[Estimate], better: Better, tolerance: float) -> NumberChange:
    most = 1 + tolerance
    for direction, is_beyond in (
        ("higher", all(estimate.low > most for estimate in ratios)),
        ("lower", all(estimate.high < 1 / most for estimate in ratios)),
    ):
        if is_beyond and better is None:
            return NumberChange.CHANGED
        if is_beyond:
            return NumberChange.IMPROVEMENT if direction == better else NumberChange.REGRESSION
    is_inside = any(estimate.low >= 1 / most and estimate.high <= most for estimate in ratios)
    return NumberChange.ALIKE if is_inside else NumberChange.UNDECIDED


def _verdict_changes(
    base: Session, new: Session, base_cell: Cell, new_cell: Cell, builds: Mapping[str, str]
) -> list[VerdictChange]:
    new_judgements = _decisive(new, new_cell.id)
    return [
        VerdictChange(
            claim=claim,
            cell=base_cell.limit_label,
            build=builds[base_cell.id],
            base=judgement,
            new=new_judgements[claim],
        )
        for claim, judgement in _decisive(base, base_cell.id).items()
        if claim in new_judgements and new_judgements[claim].verdict is not judgement.verdict
    ]


def _decisive(session: Session, cell: str) -> Mapping[str, Judgement]:
    return {
        judgement.claim: judgement
        for judgement in session.judgements
        if judgement.cell == cell and judgement.verdict.decisive
    }
