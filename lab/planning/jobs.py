"""What an engine is asked to run: jobs with their deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.model.cell import Cell, Job


def job_of(session: str, cell: Cell, experiments: tuple[str, ...], seconds: float, width: float, seed: int = 1) -> Job:
    """What an engine is asked to run, with its deadlines."""
    from lab.model.cell import GRACE_SECONDS, Job

    each = 20 + 2 * seconds  # more than any takes: it ends one that hangs, and no other
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
