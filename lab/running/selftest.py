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
    """How many verdicts of controls were right or wrong."""

    #: Decisive verdicts that are true.
    right: int = 0
    #: Decisive verdicts that are not true.
    wrong: int = 0
    #: Verdicts that decide nothing, because of noise.
    inconclusive: int = 0
    #: Every other verdict: untestable, or an error.
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
    """Run the controls once beside this neighbour, in a cell of their own."""
    numbered_cell = dataclasses.replace(cell, id=f"{neighbour}{number}")
    job = job_of(session, numbered_cell, (f"_control-{neighbour}",), seconds, 0.02)
    (result,) = runner.run(engine, [job], folder, parallel_cells.NoProgress(), stop)
    return result


def judge_controls(neighbour: str, results: Sequence[CellResult]) -> list[Judgement]:
    """Judge every control claim of these cells. The expected verdict is the truth."""
    return list(verdicts.judge_claims([load(f"_control-{neighbour}")], results))


def score(judgements: Sequence[Judgement]) -> Score:
    """Count the right, wrong and undecided verdicts."""
    wrong = sum(judgement.surprise for judgement in judgements)
    right = sum(judgement.verdict.decisive for judgement in judgements) - wrong
    undecided = sum(judgement.verdict is Verdict.INCONCLUSIVE for judgement in judgements)
    return Score(right=right, wrong=wrong, inconclusive=undecided, other=len(judgements) - right - wrong - undecided)
