"""Asks the person at the terminal for predictions."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from lab.errors import UsageError
from lab.messages import tell
from lab.model.cell import Cell
from lab.model.machine import Machine
from lab.teaching import predictions, primers
from lab.teaching.predictions import Predictable, Prediction
from lab.text import names


def check_predictable(experiments: Sequence[str]) -> None:
    """Raise UsageError if no prediction can be asked for. Call this before an engine is started."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--predict needs a terminal, but standard input or standard error is none; run it in a terminal, or"
            " leave --predict out"
        )
    if not primers.predictable(experiments):
        raise UsageError(f"--predict: there is nothing to predict in {', '.join(experiments)}; try: lab run gil pool")


def predicted(experiments: Sequence[str], cells: Sequence[Cell], machine: Machine) -> tuple[dict[str, Any], float]:
    """The predictions as arguments of the session (empty if there are no predictions), and the seconds of asking."""
    began = time.monotonic()
    answers = ask(primers.predictable(experiments), cells, machine)
    return ({"predictions": predictions.stored(answers)} if answers else {}), time.monotonic() - began


def ask(predictable: Sequence[Predictable], cells: Sequence[Cell], machine: Machine) -> tuple[Prediction, ...]:
    """The answers of the person, who is asked for every number in every cell.

    An empty line predicts nothing, and Ctrl-D ends the questions.

    Ctrl-C is left to the caller's signal handler.
    """
    tell(f"What do you expect{_of_python(machine, cells)}? An empty line predicts nothing, Ctrl-D ends the questions.")
    answers: list[Prediction] = []
    last_cell = None
    for cell, number in predictions.questions(predictable, cells):
        if cell != last_cell:
            tell(f"\nwith {names.full_words(cell)}")
        last_cell = cell
        value = _answer(number)
        if value is None:
            tell("")
            break
        if value:
            answers.append(
                Prediction(of=number.of, what=number.what, cell=cell.id, value=float(value), whole=number.whole)
            )
    tell("")
    return tuple(answers)


def _answer(number: Predictable) -> float | None:
    """A number above 0; 0 for an empty line, ``None`` at the end of the input."""
    while True:
        # Not input(): that would write the question to standard output, among the results.
        tell(f"  {number.ask} ", end="")
        line = sys.stdin.readline()
        if not line:
            return None
        if not line.strip():
            return 0
        try:
            return predictions.parse_number(line, whole=number.whole)
        except UsageError as error:
            tell(f"  {error}")


def _of_python(machine: Machine, cells: Sequence[Cell]) -> str:
    """The words for the Python of all cells; empty if the cells have different Pythons."""
    if any(cell.build for cell in cells):
        return ""
    return f" of {names.python_words(machine.python)}"
