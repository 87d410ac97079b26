"""Runs a plan: one cell after the other through an engine, into the store, to results."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Protocol

from lab import proofs
from lab.engines import Engine
from lab.errors import EngineError, Interrupted
from lab.model import Cell, CellResult, Job, Outcome, Record, Status
from lab.records import Reader, read
from lab.store import SessionFolder


class Progress(Protocol):
    """What the runner tells while it works."""

    def cell_begins(self, cell: Cell) -> None: ...

    def record(self, record: Record) -> None: ...

    def cell_ends(self, result: CellResult) -> None: ...


class Stop(Protocol):
    """Whether the user asked to stop."""

    requested: bool


def run(
    engine: Engine, jobs: Sequence[Job], folder: SessionFolder, progress: Progress, stop: Stop
) -> tuple[CellResult, ...]:
    """Run every job; a cell that fails costs that cell only. After a request to stop, the rest stays ``PLANNED``."""
    results = []
    for job in jobs:
        if not job.cell.available:
            results.append(CellResult(cell=job.cell, status=Status.UNAVAILABLE, reason=job.cell.reason))
        elif stop.requested:
            results.append(CellResult(cell=job.cell, status=Status.PLANNED, reason="interrupted before it ran"))
        else:
            results.append(run_cell(engine, job, folder, progress, stop))
    return tuple(results)


def run_cell(engine: Engine, job: Job, folder: SessionFolder, progress: Progress, stop: Stop) -> CellResult:
    """Run one cell and say what became of it."""
    reader = Reader()
    begun = time.monotonic()

    def sink(piece: bytes) -> None:
        folder.append(piece)
        for record in reader.feed(piece):
            progress.record(record)
        if stop.requested:
            raise Interrupted("interrupted while it ran")

    progress.cell_begins(job.cell)
    folder.begin_cell(job.cell.id)
    failure, outcome = None, None
    try:
        outcome = engine.run(job, sink)
        if outcome.stream is not None:
            folder.replace_cell(job.cell.id, outcome.stream)
            reader = read(outcome.stream)
        else:
            reader.finish()
    except (EngineError, Interrupted) as error:
        failure = str(error)
    finally:
        folder.end_cell()
    result = conclude(job.cell, reader, outcome, failure, time.monotonic() - begun)
    progress.cell_ends(result)
    return result


def conclude(
    cell: Cell, reader: Reader, outcome: Outcome | None, failure: str | None = None, wall_seconds: float = 0.0
) -> CellResult:
    """What became of a cell, from its records and from how it ended."""
    result = CellResult(
        cell=cell,
        status=Status.MEASURED,
        reason=None,
        records=tuple(reader.records),
        faults=tuple(reader.faults),
        outcome=outcome,
        wall_seconds=wall_seconds,
    )
    status, reason = _status(result, failure)
    return dataclasses.replace(result, status=status, reason=reason)


def _status(result: CellResult, failure: str | None) -> tuple[Status, str | None]:
    lacking = _lacking(result)
    if lacking:
        return Status.UNAVAILABLE, lacking
    taints = proofs.taints(result)
    if taints:
        return Status.TAINTED, "; ".join(taints)
    outcome = result.outcome
    troubles = [failure, outcome.reason if outcome else None, *result.faults]
    failed = [
        f"{record.data['experiment']} {record.data['reason']}"
        for record in result.records
        if record.kind == "finish" and record.data["outcome"] != "ok"
    ]
    said = [text for text in (*troubles, *failed) if text]
    if said and outcome and not result.records and outcome.stderr_tail.strip():
        said.append(f"it said: {outcome.stderr_tail.strip().splitlines()[-1][:160]}")
    if not said and outcome and outcome.exit_code:
        said.append(f"the worker exited with status {outcome.exit_code}")
    return (Status.ERROR, "; ".join(said)) if said else (Status.MEASURED, None)


def _lacking(result: CellResult) -> str | None:
    """Why a cell of Compose, which starts on every machine, found that this one is too small for it."""
    affinity = result.proof.get("affinity")
    if affinity is None or len(affinity) >= result.cell.size:
        return None
    if result.cell.cpus:  # these ids were chosen because they exist: too few of them is a taint, not a lack
        return None
    have = len(affinity)
    return f"needs {result.cell.size} CPUs, this machine has {have}"
