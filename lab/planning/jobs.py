"""What an engine is asked to run: jobs with their deadlines. Pure."""

from __future__ import annotations

from lab.cell.worker.job import deadline_for
from lab.model.cell import GRACE_SECONDS, Cell, Job


def job_of(session: str, cell: Cell, experiments: tuple[str, ...], seconds: float, width: float, seed: int = 1) -> Job:
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
    )
