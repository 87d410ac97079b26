"""Asking the person at the terminal what they expect."""

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
    """Nobody waits for an engine in order to learn that nothing can be asked. Raises UsageError."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--predict asks at a terminal, and standard input or standard error is not one; run it in a terminal, or"
            " leave --predict out"
        )
    if not primers.predictable(experiments):
        raise UsageError(f"--predict: there is nothing to predict in {', '.join(experiments)}; try: lab run gil pool")


def predicted(experiments: Sequence[str], cells: Sequence[Cell], machine: Machine) -> tuple[dict[str, Any], float]:
    """What to keep among the session's arguments (nothing when nothing was predicted), and the seconds it took."""
    began = time.monotonic()
    found = ask(primers.predictable(experiments), cells, machine)
    return ({"predictions": predictions.stored(found)} if found else {}), time.monotonic() - began


def ask(predictable: Sequence[Predictable], cells: Sequence[Cell], machine: Machine) -> tuple[Prediction, ...]:
    """Ask for every number in every cell; an empty line predicts nothing, Ctrl-D ends the questions.

    Ctrl-C is left to the caller's signal handler.
    """
    tell(f"What do you expect{_of(machine, cells)}? An empty line predicts nothing, Ctrl-D ends the questions.")
    found: list[Prediction] = []
    last = None
    for cell, one in predictions.asked(predictable, cells):
        if cell != last:
            tell(f"\nwith {names.full_words(cell)}")
        last = cell
        answered = _answer(one)
        if answered is None:
            tell("")
            break
        if answered:
            found.append(Prediction(of=one.of, what=one.what, cell=cell.id, value=float(answered), whole=one.whole))
    tell("")
    return tuple(found)


def _answer(one: Predictable) -> float | None:
    """A number above 0; 0 for an empty line, ``None`` at the end of the input."""
    while True:
        # Not input(): that would write the question to standard output, among the results.
        sys.stderr.write(f"  {one.ask} ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return None
        if not line.strip():
            return 0
        try:
            return predictions.number(line, whole=one.whole)
        except UsageError as error:
            tell(f"  {error}")


def _of(machine: Machine, cells: Sequence[Cell]) -> str:
    """The Python that it is about, where all cells have the same."""
    if any(cell.build for cell in cells):
        return ""
    return f" of {names.python_words(machine.python)}"
