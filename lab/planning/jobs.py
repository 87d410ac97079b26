"""What an engine is asked to run: jobs with their deadlines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.model.cell import Cell, Job


#: Level -> (most seconds of measuring an experiment, half-width of the interval at which it stops sooner).
LEVELS = {"quick": (4.0, 0.15), "default": (10.0, 0.05), "thorough": (60.0, 0.02)}


#: No interval gets narrower than this on any machine that does anything else.
NARROWEST = 0.001


#: Seeds are below this.
SEEDS = 2**32


def check_seconds(limit: float) -> float:
    """A time limit that can be kept. Raises UsageError."""
    if not (limit > 0 and math.isfinite(limit)):
        raise UsageError(f"--time-limit {limit:g}: give a number of seconds above 0, such as 10")
    return limit


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
