"""The status of a cell that has ended, and why. Pure."""

from __future__ import annotations

import dataclasses

from lab.cell.claims.wording import shortened
from lab.cell.experiments import shown
from lab.judging import proofs
from lab.judging.records import Reader
from lab.model.cell import Cell, CellResult, Outcome, Status


def conclude(
    cell: Cell, reader: Reader, outcome: Outcome | None, failure: str | None = None, wall_seconds: float = 0.0
) -> CellResult:
    """The result of a cell, by its records and by how it ended."""
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
    lack = _lack(result)
    if lack:
        return Status.UNAVAILABLE, lack
    taints = proofs.taints(result)
    if taints:
        return Status.TAINTED, "; ".join(taints)
    outcome = result.outcome
    troubles = [failure, outcome.reason if outcome else None, *result.faults]
    failed = [
        f"{shown(record.data['experiment'])} {record.data['reason']}"
        for record in result.records
        if record.kind == "finish" and record.data["outcome"] != "ok"
    ]
    reasons = [text for text in (*troubles, *failed) if text]
    if reasons and outcome and not result.records and outcome.last_words:
        reasons.append(f"it said: {shortened(outcome.last_words, 160)}")
    if not reasons and outcome and outcome.exit_code:
        reasons.append(f"the worker exited with status {outcome.exit_code}")
    return (Status.ERROR, "; ".join(reasons)) if reasons else (Status.MEASURED, None)


def _lack(result: CellResult) -> str | None:
    """Why this machine is too small for a cell of Compose, which starts its cells on every machine; else ``None``."""
    affinity = result.proof.get("affinity")
    if affinity is None or len(affinity) >= result.cell.size:
        return None
    if result.cell.cpus:  # these ids were chosen because they exist: too few ids are a taint
        return None
    return f"needs {result.cell.size} CPUs, this machine has {len(affinity)}"
