"""Predictions: what a person expects before an experiment runs, beside what it then measures. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab import build_columns, cores
from lab.cell.claims.estimates import Estimate
from lab.errors import UsageError
from lab.model.cell import Cell, CellResult
from lab.model.session import Session
from lab.text import units
from lab.text.table import Table

#: A number predicted within this share of the measured one is right, also where the interval is narrower.
NEAR = 0.05

#: ``of`` with this prefix is a speed-up of the cores table: that of the arm whose name follows.
_CORES = "cores."


@dataclass(frozen=True, kw_only=True)
class Predictable:
    """A number that can be predicted.

    ``of`` is the claim that rests on it, or ``cores.`` and an arm of the cores table, for its speed-up; ``what`` its
    short name, ``ask`` the question. ``whole`` numbers are counts; in a cell with fewer than ``least_cpus`` CPUs there
    is nothing to predict.
    """

    of: str
    what: str
    ask: str
    whole: bool = False
    least_cpus: int = 1


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is expected of one cell."""

    of: str
    what: str
    cell: str
    value: float
    whole: bool = False


def asked(predictable: Sequence[Predictable], cells: Sequence[Cell]) -> tuple[tuple[Cell, Predictable], ...]:
    """What to ask: each number in each cell that can have it, cell by cell."""
    return tuple(
        (cell, one) for cell in cells if cell.available for one in predictable if len(cell.cpus) >= one.least_cpus
    )


def number(text: str, *, whole: bool) -> float:
    """What somebody typed, as a number above zero. Raises UsageError."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf or (whole and value != int(value)):
        kind = "a whole number, such as 2" if whole else "a number above 0, such as 1.5"
        raise UsageError(f"{text.strip()!r}: give {kind}; an empty line predicts nothing")
    return value


def stored(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """As they are kept among the session's arguments, under ``predictions``."""
    return [vars(one) for one in predictions]


def of_session(session: Session) -> tuple[Prediction, ...]:
    """The predictions that a session was started with."""
    return tuple(Prediction(**one) for one in session.arguments.get("predictions", ()))


def rows(session: Session) -> list[tuple[Prediction, tuple[str, str, str, str]]]:
    """Each prediction with four texts: predicted, measured, its 95 % interval, and whether it was right."""
    results = {result.cell.id: result for result in session.results}
    found = []
    for one in of_session(session):
        value = measured(session, one, results.get(one.cell))
        if value is None:
            texts = (_text(one, one.value), "?", "-", "not measured")
        else:
            exact = value.low == value.high
            interval = "exact" if exact else units.interval(value.low, value.high, "")
            texts = (_text(one, one.value), _text(one, value.value), interval, judged(one, value))
        found.append((one, texts))
    return found


def tables(session: Session) -> list[Table]:
    """What was predicted beside what was measured, number by number; no table without a prediction."""
    labels = build_columns.labels(session)
    found, lines = rows(session), []
    for of in dict.fromkeys(one.of for one, _ in found):
        mine = [(one, texts) for one, texts in found if one.of == of]
        names = (mine[0][0].what, *[""] * (len(mine) - 1))
        lines += [
            (name, labels.get(one.cell, one.cell), *texts) for name, (one, texts) in zip(names, mine, strict=True)
        ]
    head = ("prediction", "CPUs", "predicted", "measured", "95 % interval", "it was")
    near = f"right: the same count; else within {NEAR * 100:.0f} % of the interval"
    return [Table(title="Prediction beside measurement", head=head, rows=tuple(lines), notes=(near,))] if lines else []


def measured(session: Session, one: Prediction, result: CellResult | None) -> Estimate | None:
    """The number that was predicted, with its interval; ``None`` when the cell did not give it."""
    if result is None or not result.proof:
        return None
    if one.of.startswith(_CORES):
        arm = one.of.removeprefix(_CORES)
        return next((row.speed_up for row in cores.rows(result) if row.arm == arm), None)
    for claim in session.judgements:
        if (claim.claim, claim.cell) == (one.of, one.cell) and claim.value is not None:
            low, high = (claim.value if bound is None else bound for bound in (claim.low, claim.high))
            return Estimate(claim.value, low, high, claim.accepted or 1)
    return None


def judged(one: Prediction, found: Estimate) -> str:
    """``right``, or by how much it is off. A count is right when it is the same; any other number when the interval
    reaches to within :data:`NEAR` of it: a speed-up of 2 is never quite reached."""
    if one.whole:
        right = one.value == found.value
    else:
        right = found.low <= one.value * (1 + NEAR) and one.value * (1 - NEAR) <= found.high
    return "right" if right else f"off by {_text(one, abs(one.value - found.value))}"


def _text(one: Prediction, value: float) -> str:
    return f"{value:g}" if one.whole else units.ratio(value)
