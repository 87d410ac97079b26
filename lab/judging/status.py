"""What became of a cell. Pure."""

from __future__ import annotations

import dataclasses

from lab.judging import proofs
from lab.judging.records import Reader
from lab.model.cell import Cell, CellResult, Outcome, Status


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
    if said and outcome and not result.records and outcome.last_words:
        said.append(f"it said: {outcome.last_words[:160]}")
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
