"""Runs a plan: sends cells through an engine, stores their records, and returns their results.

Each cell has a thread of its own, which only waits for the engine. A cell holds its CPUs until its end record has
come. Then the next cell starts while the container of the previous one is removed. Starting takes longer than removing,
so the measurement is not disturbed. Where cells run one after the other, the next container is made while the previous
one starts, before that one measures.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lab.engines import Engine
from lab.errors import EngineError, Interrupted
from lab.judging.records import Reader, read_records
from lab.judging.status import conclude
from lab.model.cell import Cell, CellResult, Job, Record, Status
from lab.sessions.folder import SessionFolder

#: After an exception: how many seconds to wait until the running cells, which were told to stop, have ended.
_ENDING_SECONDS = 15.0
_POLL_SECONDS = 0.2
#: After a request to stop: how many seconds the running cells have to end. Then they are given up.
_STOPPING_SECONDS = 4.0
#: How often a request to stop is looked for, in seconds.
_STOP_POLL_SECONDS = 0.5


class Progress(Protocol):
    """Receives what happens during a run. The runner calls it from the thread that called the runner."""

    def cell_begins(self, cell: Cell) -> None: ...

    def record(self, record: Record) -> None: ...

    def cell_ends(self, result: CellResult) -> None: ...


class StopRequest(Protocol):
    """Knows whether the user asked to stop."""

    requested: bool


#: Takes the waiting jobs and the jobs that hold their CPUs. Returns the job to start now, or ``None`` to wait until a
#: running job ends. The returned job may be on other CPUs than planned.
Schedule = Callable[[Sequence[Job], Sequence[Job]], Job | None]


def one_at_a_time(waiting: Sequence[Job], running: Sequence[Job]) -> Job | None:
    """The schedule that runs the jobs one after the other, in the order of the plan."""
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
    """The results of all jobs, in the order of the jobs. A cell that fails does not end the run.

    After a request to stop, the cells that have not run stay ``PLANNED``. Before a cell starts, ``aside`` is called
    with all CPUs that are measured, so that the caller can keep off them.
    """
    return _Run(engine, jobs, folder, progress, stop, schedule, aside).results()


@dataclass(frozen=True)
class Started:
    """Event: a cell was made, and starts."""

    #: The cell that starts.
    cell: Cell


@dataclass(frozen=True)
class Recorded:
    """Event: the worker of a cell wrote a record."""

    #: The record, as it was read.
    record: Record


@dataclass(frozen=True)
class Ended:
    """Event: a cell has ended, well or not."""

    #: What the cell gave.
    result: CellResult


@dataclass(frozen=True)
class Failed:
    """Event: a thread failed because of a defect or a signal. The run cannot continue."""

    #: The exception, which the runner raises in its own thread.
    error: BaseException


_Event = Started | Recorded | Ended | Failed
_Events = queue.SimpleQueue[_Event]


class _Run:
    """One run: which jobs wait, which hold their CPUs, and which have a thread."""

    def __init__(
        self,
        engine: Engine,
        jobs: Sequence[Job],
        folder: SessionFolder,
        progress: Progress,
        stop: StopRequest,
        schedule: Schedule,
        aside: Callable[[set[int]], None],
    ) -> None:
        self._engine = engine
        self._jobs = jobs
        self._folder = folder
        self._progress = progress
        self._stop = stop
        self._schedule = schedule
        self._aside = aside
        self._waiting = [job for job in jobs if job.cell.available]
        self._holding: dict[str, Job] = {}
        self._tasks: dict[str, _Task] = {}
        self._results: dict[str, CellResult] = {}
        self._events: _Events = queue.SimpleQueue()
        self._task_stop = _Either(stop)
        self._give_up_at: float | None = None

    def results(self) -> tuple[CellResult, ...]:
        """Run all jobs, and return their results."""
        try:
            while self._tasks or (self._waiting and not self._stop.requested):
                self._start_jobs()
                self._handle_next()
        except BaseException:  # raised again, after the running cells have ended
            self._end_tasks()
            raise
        return tuple(self._results.get(job.cell.id) or _not_run(job.cell) for job in self._jobs)

    def _start_jobs(self) -> None:
        """Start every job that the schedule allows now."""
        while self._waiting and not self._stop.requested:
            job = self._schedule(self._waiting, tuple(self._holding.values()))
            if job is None:
                return
            self._remove_waiting(job.cell)
            self._holding[job.cell.id] = job
            self._progress.cell_begins(job.cell)
            self._prepare(job)
            self._aside({cpu for holder in self._holding.values() for cpu in holder.cell.cpus})
            self._tasks[job.cell.id].go.set()

    def _handle_next(self) -> None:
        """Handle the next event. After a request to stop, a cell that does not end in time is given up."""
        with contextlib.suppress(queue.Empty):
            self._handle(self._events.get(timeout=_STOP_POLL_SECONDS))
        if not self._stop.requested:
            return
        self._give_up_at = self._give_up_at or time.monotonic() + _STOPPING_SECONDS
        if time.monotonic() > self._give_up_at:
            for task in list(self._tasks.values()):
                self._take_result(task.given_up())

    def _handle(self, event: _Event) -> None:
        match event:
            case Started():
                self._prepare_next()
            case Recorded(record):
                self._take_record(record)
            case Ended(result):
                self._take_result(result)
            case Failed(error):
                raise error

    def _prepare_next(self) -> None:
        """Make the next cell ahead of its turn, where it is known which cell is next."""
        if self._waiting and self._schedule is one_at_a_time:
            self._prepare(self._waiting[0])

    def _take_record(self, record: Record) -> None:
        if record.kind == "end":
            self._holding.pop(record.cell, None)
        self._progress.record(record)

    def _take_result(self, result: CellResult) -> None:
        self._holding.pop(result.cell.id, None)
        task = self._tasks.pop(result.cell.id, None)
        if task is None:  # it was given up
            return
        self._remove_waiting(result.cell)  # a cell that was made ahead may have failed before its turn
        if task.go.is_set() or not self._stop.requested:
            self._results[result.cell.id] = result
            self._folder.ended(_ending(result))
            self._progress.cell_ends(result)

    def _prepare(self, job: Job) -> None:
        """Give the job a thread that makes its cell, unless it has one already."""
        if job.cell.id not in self._tasks:
            self._tasks[job.cell.id] = _Task(self._engine, job, self._folder, self._events, self._task_stop)

    def _remove_waiting(self, cell: Cell) -> None:
        self._waiting = [job for job in self._waiting if job.cell.id != cell.id]

    def _end_tasks(self) -> None:
        """Tell all running cells to stop, and wait some seconds for them."""
        self._task_stop.now = True
        deadline = time.monotonic() + _ENDING_SECONDS
        for task in self._tasks.values():
            task.join(max(0.0, deadline - time.monotonic()))


def _ending(result: CellResult) -> dict[str, Any]:
    """How a cell ended, in the form of the report. With it, a run that was killed can be read."""
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
    """A request to stop: by the user, or because the run itself cannot continue."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self.now = False

    @property
    def requested(self) -> bool:
        return self.now or self._stop.requested


class _Task:
    """A cell in a thread. The cell is made, held until ``go`` is set, and run.

    The thread puts ``Started``, then ``Recorded`` for each record, and at last ``Ended`` or ``Failed``.
    """

    def __init__(self, engine: Engine, job: Job, folder: SessionFolder, events: _Events, stop: _Either) -> None:
        self.go = threading.Event()
        self._engine = engine
        self._job = job
        self._folder = folder
        self._events = events
        self._stop = stop
        self._reader = Reader()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most for this many seconds."""
        self._thread.join(seconds)

    def given_up(self) -> CellResult:
        """The result of a cell that does not end although it was told to."""
        failure = "interrupted while it ran, and the engine did not end it in time"
        return conclude(self._job.cell, self._reader, None, failure, time.monotonic() - self._began)

    def _run(self) -> None:
        try:
            self._events.put(Ended(self._run_cell()))
        except BaseException as error:  # the runner raises it, in its own thread
            self._events.put(Failed(error))

    def _run_cell(self) -> CellResult:
        cell, reader, started = self._job.cell, self._reader, False
        failure, outcome = None, None
        with self._folder.cell(cell.id) as file:

            def sink(piece: bytes) -> None:
                nonlocal started
                while not self.go.is_set():
                    self._check()
                    self.go.wait(_POLL_SECONDS)
                    self._began = time.monotonic()
                if not started:
                    started = True
                    self._events.put(Started(cell))
                file.append(piece)
                for record in reader.feed(piece):
                    self._events.put(Recorded(record))
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
        return conclude(cell, reader, outcome, failure, time.monotonic() - self._began)

    def _check(self) -> None:
        if self._stop.requested:
            raise Interrupted("interrupted while it ran")
