"""The lab's own error rate: claims whose truth is known, run in a cell, judged and counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from lab.cell.experiments import load
from lab.engines import Engine
from lab.judging import verdicts
from lab.model.cell import Cell, CellResult
from lab.model.session import Judgement, Verdict
from lab.planning.jobs import job_of
from lab.running import parallel_cells, runner
from lab.running.runner import StopRequest
from lab.sessions.folder import SessionFolder


class Score(NamedTuple):
    """How the controls came out: one claim beside one neighbour, or several together."""

    right: int = 0
    wrong: int = 0
    inconclusive: int = 0
    other: int = 0


def measure_controls(
    engine: Engine,
    session: str,
    cell: Cell,
    neighbour: str,
    number: int,
    seconds: float,
    folder: SessionFolder,
    stop: StopRequest,
) -> CellResult:
    """Run the controls once, in a cell of their own."""
    own = dataclasses.replace(cell, id=f"{neighbour}{number}")
    job = job_of(session, own, (f"_control-{neighbour}",), seconds, 0.02)
    (result,) = runner.run(engine, [job], folder, parallel_cells.NoProgress(), stop)
    return result


def judge_controls(neighbour: str, results: Sequence[CellResult]) -> list[Judgement]:
    """Every control claim of these cells; the expected verdict is the truth."""
    return list(verdicts.judge([load(f"_control-{neighbour}")], results))


def score(judgements: Sequence[Judgement]) -> Score:
    """Count them."""
    wrong = sum(one.surprise for one in judgements)
    right = sum(one.verdict.decisive for one in judgements) - wrong
    undecided = sum(one.verdict is Verdict.INCONCLUSIVE for one in judgements)
    return Score(right=right, wrong=wrong, inconclusive=undecided, other=len(judgements) - right - wrong - undecided)
