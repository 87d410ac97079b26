"""The job of a worker: what the process in a cell is asked to run, as it travels there."""

from __future__ import annotations

import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence

#: Every process of a cell of the local engine inherits this variable, whose value is the ``mark`` of the job.
MARK = "MULTICORE_LAB_CELL"

#: Every seed is below this number.
SEEDS = 2**32


class WorkerJob(NamedTuple):
    """What a worker runs, and under which limit."""

    #: The id of the session.
    session: str
    #: The id of the cell.
    cell: str
    #: The names of the experiments, in order.
    experiments: Sequence[str] = ()
    #: The most time to measure, for each experiment, in seconds.
    seconds: float = 0.0
    #: The half-width, as a share of the value, at which measuring stops sooner.
    width: float = 0.0
    #: How long an experiment may take before it is ended, in seconds.
    deadline_seconds: float = 0.0
    #: The seed of everything that is done in random order.
    seed: int = 1
    #: How many CPUs the cell has to have; ``None`` means all.
    cpus: Optional[int] = None
    #: The CPUs that were asked for, as a kernel list; ``None`` where no CPU set limits the cell.
    asked: Optional[str] = None
    #: The quota of the cell, in CPUs.
    quota: Optional[float] = None
    #: The ids to narrow the affinity to; ``None`` where the worker does not pin itself.
    pin: Optional[Sequence[int]] = None
    #: Who has limited the cell: ``engine`` (a CPU set), ``step`` (the affinity of a step), ``worker`` or ``none``.
    pinned_by: str = "none"
    #: Whether to describe the build, the machine and its CPUs too, as a probe does.
    look: bool = False
    #: A name for the semaphores that experiments make, so that an engine can find what they leave behind.
    mark: Optional[str] = None
    #: The name of a file in the folder for temporary files, where the records are kept too; ``None``: nowhere.
    kept_in: Optional[str] = None
    #: The files of earlier cells there, which are to be removed.
    spent: Sequence[str] = ()
    #: The name of an experiment that measures code of the user's -> its case.
    cases: Optional[Mapping[str, Mapping[str, Any]]] = None
    #: Whether the cell is alone with its processes, its folders and its shared memory, as in a container.
    alone: bool = False

    def to_json(self) -> str:
        """The job as the last argument of a worker's command line."""
        return json.dumps(self._asdict())


def from_json(text: str) -> WorkerJob:
    """The job that :meth:`WorkerJob.to_json` has written."""
    return WorkerJob(**json.loads(text))


def deadline_for(seconds: float) -> float:
    """How long an experiment may take, in seconds, that may measure for ``seconds``.

    It is more than any experiment takes: it ends one that hangs, and no other.
    """
    return 20 + 4 * seconds
