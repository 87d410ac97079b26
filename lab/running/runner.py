"""Runs a plan: cells through an engine, into the store, to results.

Each cell has a thread of its own, which does nothing but wait for the engine. A cell holds its CPUs until its end
record has come: while its container is taken down, the next one starts, which takes longer, so nothing is disturbed.
Where cells run one after the other, the next container is made while the one before it starts, before that measures.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from lab.engines import Engine
from lab.errors import EngineError, Interrupted
from lab.judging.records import Reader, read_records
from lab.judging.status import conclude
from lab.model.cell import Cell, CellResult, Job, Record, Status
from lab.sessions.folder import SessionFolder

#: After an exception, how long to wait for the cells that run to be ended, in seconds; they have been told to.
_ENDING_SECONDS = 15.0
_POLL_SECONDS = 0.2


class Progress(Protocol):
    """What the runner tells while it works, always from the thread that called it."""

    def cell_begins(self, cell: Cell) -> None: ...

    def record(self, record: Record) -> None: ...

    def cell_ends(self, result: CellResult) -> None: ...


class StopRequest(Protocol):
    """Whether the user asked to stop."""

    requested: bool


#: Which of the waiting jobs may start now, beside those that hold their CPUs; ``None``: none before one of these ends.
#: What it returns may be on other CPUs than planned.
Schedule = Callable[[Sequence[Job], Sequence[Job]], Job | None]


def one_at_a_time(waiting: Sequence[Job], running: Sequence[Job]) -> Job | None:
    """The schedule that never disturbs anything: in the order of the plan."""
    return None if running else waiting[0]


def run(
    engine: Engine,
    jobs: Sequence[Job],
    folder: SessionFolder,
    progress: Progress,
    stop: StopRequest,
    schedule: Schedule = one_at_a_time,
    aside: Callable[[set[int]], None] = lambda busy: None,
) -> tuple[CellResult, ...]:
    """Run every job; a cell that fails costs that cell only. After a request to stop, the rest stays ``PLANNED``.

    ``aside`` is told the CPUs that are about to be measured, so that whoever runs this can keep off them.
    The results are in the order of the jobs, whatever order they ran in.
    """
    results: dict[str, CellResult] = {}
    waiting = [job for job in jobs if job.cell.available]
    holding: dict[str, Job] = {}
    tasks: dict[str, _Task] = {}
    heard: _Heard = queue.SimpleQueue()
    end = _Either(stop)

    def prepare(job: Job) -> None:
        if job.cell.id not in tasks:  # not made ahead
            tasks[job.cell.id] = _Task(engine, job, folder, heard, end)

    try:
        while tasks or (waiting and not stop.requested):
            while waiting and not stop.requested and (job := schedule(waiting, tuple(holding.values()))):
                waiting = [one for one in waiting if one.cell.id != job.cell.id]
                holding[job.cell.id] = job
                progress.cell_begins(job.cell)
                prepare(job)
                aside({cpu for one in holding.values() for cpu in one.cell.cpus})
                tasks[job.cell.id].go.set()
            said = heard.get()
            if isinstance(said, BaseException):
                raise said
            if isinstance(said, Cell):  # it is made, and starts
                if waiting and schedule is one_at_a_time:
                    prepare(waiting[0])
            elif isinstance(said, Record):
                if said.kind == "end":
                    holding.pop(said.cell, None)
                progress.record(said)
            else:
                holding.pop(said.cell.id, None)
                task = tasks.pop(said.cell.id)
                task.join()
                waiting = [one for one in waiting if one.cell.id != said.cell.id]  # it may have failed before its turn
                if task.go.is_set() or not stop.requested:
                    results[said.cell.id] = said
                    folder.ended(_ending(said))
                    progress.cell_ends(said)
    except BaseException:  # not swallowed: whatever it is, the cells that run are ended first
        end.now = True
        until = time.monotonic() + _ENDING_SECONDS
        for task in tasks.values():
            task.join(max(0.0, until - time.monotonic()))
        raise
    return tuple(results.get(job.cell.id) or _not_run(job.cell) for job in jobs)


def _ending(result: CellResult) -> dict[str, Any]:
    """How a cell ended, in the form that it has in the report: with it a run that is killed can be read."""
    return {
        "id": result.cell.id,
        "cpus": list(result.cell.cpus),
        "status": result.status.value,
        "reason": result.reason,
        "wall_seconds": result.wall_seconds,
        "proof": {"engine": dict(result.outcome.outside) if result.outcome else None},
    }


def _not_run(cell: Cell) -> CellResult:
    if cell.available:
        return CellResult(cell=cell, status=Status.PLANNED, reason="interrupted before it ran")
    return CellResult(cell=cell, status=Status.UNAVAILABLE, reason=cell.reason)


class _Either:
    """A request to stop, from the user or because the run itself cannot go on."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self.now = False

    @property
    def requested(self) -> bool:
        return self.now or self._stop.requested


_Heard = queue.SimpleQueue[Cell | Record | CellResult | BaseException]


class _Task:
    """A cell in a thread: made, held until ``go``, run. It says its cell when that starts, then its records; its last
    word is a result or, for a defect, an exception."""

    def __init__(self, engine: Engine, job: Job, folder: SessionFolder, heard: _Heard, stop: _Either) -> None:
        self.go = threading.Event()
        self._engine = engine
        self._job = job
        self._folder = folder
        self._heard = heard
        self._stop = stop
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, seconds: float | None = None) -> None:
        """Wait for its end, or for so many seconds."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._heard.put(self._run_cell())
        except BaseException as error:  # the runner raises it, in its own thread
            self._heard.put(error)

    def _run_cell(self) -> CellResult:
        cell = self._job.cell
        reader = Reader()
        begun, started = time.monotonic(), False
        failure, outcome = None, None
        with self._folder.cell(cell.id) as file:

            def sink(piece: bytes) -> None:
                nonlocal begun, started
                while not self.go.is_set():
                    self._check()
                    self.go.wait(_POLL_SECONDS)
                    begun = time.monotonic()
                if not started:
                    started = True
                    self._heard.put(cell)
                file.append(piece)
                for record in reader.feed(piece):
                    self._heard.put(record)
                self._check()

            try:
                outcome = self._engine.run(self._job, sink)
                if outcome.stream is not None:
                    file.replace(outcome.stream)
                    reader = read_records(outcome.stream)
                else:
                    reader.finish()
            except (EngineError, Interrupted) as error:
                failure = str(error)
        return conclude(cell, reader, outcome, failure, time.monotonic() - begun)

    def _check(self) -> None:
        if self._stop.requested:
            raise Interrupted("interrupted while it ran")
