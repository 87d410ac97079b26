"""Predictions: the numbers that a person expects before an experiment measures them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError
from lab.model.cell import Cell
from lab.model.session import Session
from lab.text import units

#: A predicted number within this share of the measured interval is right.
NEAR = 0.05


@dataclass(frozen=True, kw_only=True)
class Predictable:
    """A number that can be predicted."""

    #: The claim that uses the number; or ``cores.ARM``, for the speed-up of that arm in the table of cores.
    of: str
    #: The short name of the number.
    what: str
    #: The question to the person.
    ask: str
    #: Whether the number is a count.
    whole: bool = False
    #: The number is not asked for in cells with fewer CPUs.
    least_cpus: int = 1


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A number that a person expects in one cell."""

    #: What the number is about, as in ``Predictable``.
    of: str
    #: The short name of the number.
    what: str
    #: The id of the cell.
    cell: str
    #: The expected number.
    value: float
    #: Whether the number is a count.
    whole: bool = False


def is_right(prediction: Prediction, value: float, low: float, high: float) -> bool:
    """Whether a prediction is right, beside the measured value and its 95 % interval.

    A count is right if it equals the value. Any other number is right if the interval reaches to within :data:`NEAR` of
    it, since no machine quite reaches a speed-up of 2.
    """
    if prediction.whole:
        return prediction.value == value
    return low <= prediction.value * (1 + NEAR) and prediction.value * (1 - NEAR) <= high


def words(prediction: Prediction, value: float) -> str:
    """A number of the kind that was predicted, as a text."""
    return f"{value:g}" if prediction.whole else units.ratio(value)


def questions(predictable: Sequence[Predictable], cells: Sequence[Cell]) -> tuple[tuple[Cell, Predictable], ...]:
    """The questions to ask: for each cell, every number that can be predicted in it."""
    return tuple(
        (cell, number)
        for cell in cells
        if cell.available
        for number in predictable
        if len(cell.cpus) >= number.least_cpus and _is_measured(number, cell)
    )


def _is_measured(number: Predictable, cell: Cell) -> bool:
    """Whether the cell runs the experiment of the number; that of the table of cores is ``gil``."""
    experiment = number.of.partition(".")[0]
    return not cell.experiments or ("gil" if experiment == "cores" else experiment) in cell.experiments


def parse_number(text: str, *, whole: bool) -> float:
    """The number above zero that a person typed. Raises UsageError."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf or (whole and value != int(value)):
        kind = "a whole number, such as 2" if whole else "a number above 0, such as 1.5"
        raise UsageError(f"{text.strip()!r}: give {kind}; an empty line predicts nothing")
    return value


def stored(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The form that is stored in the arguments of a session, under ``predictions``."""
    return [vars(prediction) for prediction in predictions]


def of_session(session: Session) -> tuple[Prediction, ...]:
    """The predictions that a session was started with."""
    return tuple(Prediction(**fields) for fields in session.arguments.get("predictions", ()))
