"""What an engine is asked to run: jobs with their deadlines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cell.programs.program import Program
from lab.cell.targets.case import Case
from lab.cell.worker.job import deadline_for
from lab.model.cell import GRACE_SECONDS, Cell, Job
from lab.model.room import Room


def job_of(
    session: str,
    cell: Cell,
    experiments: tuple[str, ...],
    seconds: float,
    width: float,
    seed: int = 1,
    cases: Sequence[Case | Program] = (),
    project: str = "",
    other: str = "",
    room: Room | None = None,
) -> Job:
    """The job of a cell, with its deadlines."""
    longest = max((_longest_seconds(case, cell) for case in cases), default=0.0)
    each = deadline_for(seconds) + longest
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
        room=room,
    )


def _longest_seconds(case: Case | Program, cell: Cell) -> float:
    """How long a case may take in a cell, in seconds; a quota below one CPU makes each call longer."""
    if isinstance(case, Program):
        return case.longest_seconds
    return case.longest_seconds(cell.size) / min(1.0, cell.limit.quota_cpus or 1.0)
