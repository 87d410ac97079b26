"""The fake engine: it plays a script of byte streams, so that the rest of the lab can be tested without an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.engines import Sink, nothing
from lab.errors import CellError, LabError
from lab.model.cell import Job, Outcome
from lab.model.machine import Machine


@dataclass(kw_only=True)
class Fake:
    """An engine for tests: its cells do what a script says."""

    #: The machine that a probe describes.
    machine: Machine
    #: The id of a cell -> the bytes that the cell emits, an exception to raise, or a function of the job and the sink.
    cells: Mapping[str, bytes | LabError | Callable[[Job, Sink], Outcome]]
    #: The jobs that were run, in order.
    jobs: list[Job] = field(default_factory=list)
    #: Whether the engine was closed.
    closed: bool = False

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        meanwhile()
        return self.machine

    def run(self, job: Job, sink: Sink) -> Outcome:
        sink(b"")
        self.jobs.append(job)
        script = self.cells.get(job.cell.id, CellError(f"the cell {job.cell.id} is not in the script"))
        if isinstance(script, LabError):
            raise script
        if isinstance(script, bytes):
            sink(script)
            return Outcome(exit_code=0)
        return script(job, sink)

    def close(self) -> None:
        self.closed = True


def connect(machine: Machine, cells: Mapping[str, bytes], **_: object) -> Fake:
    """A fake engine with this machine and script."""
    return Fake(machine=machine, cells=cells)
