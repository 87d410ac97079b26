"""What an engine is asked to run: jobs with their deadlines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cell.targets.case import Case
from lab.cell.worker.job import deadline_for
from lab.model.cell import GRACE_SECONDS, Cell, Job


def job_of(
    session: str,
    cell: Cell,
    experiments: tuple[str, ...],
    seconds: float,
    width: float,
    seed: int = 1,
    cases: Sequence[Case] = (),
    project: str = "",
    other: str = "",
) -> Job:
    """The job of a cell, with its deadlines."""
    each = deadline_for(seconds)
    return Job(
        session=session,
        cell=cell,
        experiments=experiments,
        seconds=seconds,
        width=width,
        experiment_deadline=each,
        cell_deadline=each * len(experiments) + GRACE_SECONDS,
        seed=seed,
        cases={case.experiment: case.to_stored() for case in cases},
        project=project,
        other=other,
    )
