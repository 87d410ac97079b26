"""What an engine is asked to run: jobs with their deadlines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cell.measuring.cell_limit import USUAL_PERIOD_SECONDS
from lab.cell.programs.program import Program
from lab.cell.targets.arms import counts
from lab.cell.targets.case import PATIENCE, Case
from lab.cell.targets.figures import FEWEST_ROUNDS
from lab.cell.worker.job import deadline_for
from lab.model.cell import GRACE_SECONDS, Cell, Job
from lab.model.room import Room

#: A round has about so many blocks for each number of workers: a kind of worker each, and threads once more.
_BLOCKS_A_COUNT = 6


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
    longest = case.longest_seconds(cell.size) / min(1.0, cell.limit.quota_cpus or 1.0)
    return longest if cell.limit.quota_cpus is None else longest + _periods_seconds(cell.size)


def _periods_seconds(cpus: int) -> float:
    """How long all rounds take under a quota, in seconds, where each block takes two of its periods (over_periods)."""
    arms = _BLOCKS_A_COUNT * (len(counts(cpus, waits=True)) + 1)
    return PATIENCE * FEWEST_ROUNDS * arms * 2 * USUAL_PERIOD_SECONDS
