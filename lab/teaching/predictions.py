"""Predictions: what a person expects before an experiment runs, beside what it then measures. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError
from lab.model.cell import Cell
from lab.model.session import Session


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
