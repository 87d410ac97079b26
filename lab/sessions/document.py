"""A session as the JSON document that ``--format json`` prints; lab/schema/session.schema.json describes it."""

from __future__ import annotations

import dataclasses
from typing import Any

from lab.cell.claims.estimates import Estimate, median
from lab.cell.targets.figures import Workers
from lab.judging import programs, proofs, race_atlas, speedups
from lab.judging.advice import Advice, all_advice, workers_of
from lab.model.cell import CellResult
from lab.model.machine import Machine
from lab.model.session import Judgement, Quantity, Session

SCHEMA = 1


def document(session: Session) -> dict[str, Any]:
    """The session as data for JSON."""
    machine = session.machine
    return {
        "schema": SCHEMA,
        "session": {
            "id": session.id,
            "began": session.began,
            "wall_seconds": session.wall_seconds,
            "interrupted": session.interrupted,
            "engine": machine.engine,
            "image": machine.image,
            "host": host_document(machine),
            "details": dict(machine.details),
            "versions": {"lab": session.lab_version, "code_sha256": session.code_sha256},
            "arguments": dict(session.arguments),
            "notes": list(session.notes),
        },
        "cells": [cell_document(result) for result in session.results],
        "verdicts": [_verdict(judgement) for judgement in session.judgements],
        "scaling": [
            {
                "python": model.build or None,
                "on": model.machine or None,
                "arm": model.arm,
                "model": model.fit.model,
                "points": model.fit.points,
                "contention_identifiable": model.fit.contention_identifiable,
                "serial": model.fit.serial._asdict(),
                "coherency": model.fit.coherency._asdict() if model.fit.coherency else None,
            }
            for model in speedups.scaling(session.results)
        ],
        "changes": [dataclasses.asdict(change) for change in session.changes],
        "quantities": _quantities(session),
        "atlas": list(race_atlas.document(session)),
        "advice": advice(session),
        "programs": [_program(row) for row in programs.measured(session)],
    }


def _program(row: programs.Measured) -> dict[str, Any]:
    """A program under one limit."""
    return {
        "name": row.program.label,
        "command": row.program.command,
        "parameters": dict(row.program.parameters),
        "cells": [result.cell.id for result in row.results],
        "wall_seconds": _estimate(row.interval("wall")),
        "cpu_seconds": row.middle("cpu"),
        "user_seconds": row.middle("user"),
        "system_seconds": row.middle("system"),
        "cores_used": median(row.cores) if row.cores else None,
        "speed_up": _estimate(row.speed_up if row.speed_up and row.speed_up.low > 0 else None),
        "efficiency": row.efficiency,
        "peak_memory_bytes": row.memory,
        "throttled_share": row.throttled,
        "throttled_seconds": row.middle("throttled_seconds"),
        "pressure_seconds": row.middle("pressure"),
        "most_processes": row.most("processes"),
        "most_threads": row.most("threads"),
        "runs": [dict(run) for run in row.runs],
        "failures": [dict(run) for run in row.failures],
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    return estimate._asdict() if estimate else None


def advice(session: Session) -> list[dict[str, Any]]:
    """What to take for each function of the user's in each cell."""
    return [_advice(each) for each in all_advice(session)]


def _advice(advice: Advice) -> dict[str, Any]:
    option, speed_up = advice.option, advice.speed_up
    return {
        "case": advice.case.label,
        "cell": advice.cell,
        "executor": None if option is None else option.executor or "none",
        "workers": None if option is None else option.workers,
        "own_state": None if option is None else option.own,
        "speed_up": None if speed_up is None else speed_up._asdict(),
        "sentence": advice.sentence,
        "code": advice.code or None,
    }


def host_document(machine: Machine) -> dict[str, Any]:
    """The machine whose CPUs the cells use, as data for JSON."""
    return {
        "cpus": list(machine.cpus),
        "host_cpus": list(machine.host_cpus),
        "kernel": machine.python.get("kernel"),
        "machine": machine.python.get("machine"),
    }


def cell_document(result: CellResult) -> dict[str, Any]:
    """A cell as data for JSON; what only a run can tell is ``None`` in a plan."""
    outcome, end = result.outcome, result.data("end")
    after = None if end.get("stopped") else end.get("proof")  # a cell that was asked to stop has not come to its end
    capacity = speedups.capacity(result) if result.proof else None
    return {
        "id": result.cell.id,
        "build": dict(result.python) or None,
        "python": result.cell.build or None,
        "limit": {
            "cpus": result.cell.size,
            "quota_cpus": result.cell.quota_cpus,
            "pinned": result.cell.pinned,
            "label": result.cell.label,
        },
        "cpus": list(result.cell.cpus),
        "notes": list(result.cell.notes),
        "status": result.status.value,
        "reason": result.reason,
        "wall_seconds": result.wall_seconds,
        "parallelism_cpus": proofs.parallelism(result.proof) if result.proof else None,
        "rate_cpus": proofs.rate_of(result),
        "delivered_cpus": proofs.delivered(result),
        "capacity_cpus": capacity._asdict() if capacity else None,
        "pinned_by": result.pinned_by,
        "proof": {
            "asked": list(result.cell.cpus),
            "engine": dict(outcome.outside) if outcome else None,
            "before": dict(result.proof) or None,
            "after": {"pool_size": None, **after} if after else None,
        },
        "cores": [
            {
                "arm": row.arm,
                "workers": row.workers,
                "speed_up": row.speed_up._asdict() if row.speed_up else None,
                "cores_used": row.cores_used._asdict() if row.cores_used else None,
                "accepted": row.accepted,
                "rounds": row.rounds,
            }
            for row in (speedups.of_cell(result) if result.proof else ())
        ],
    }


def _quantities(session: Session) -> list[dict[str, Any]]:
    """Every number; one of the user's own code with its workers."""
    workers = workers_of(session)
    return [_quantity(each, workers.get((each.experiment, each.cell, each.of))) for each in session.quantities]


def _quantity(quantity: Quantity, workers: Workers | None) -> dict[str, Any]:
    fields = dataclasses.asdict(quantity)
    del fields["better"]  # it follows from the experiment, and the published schema does not have it
    fields["executor"] = None if workers is None else workers.executor or "none"
    fields["workers"] = None if workers is None else workers.workers
    fields["own_state"] = None if workers is None else workers.own
    fields["chunk_size"] = None if workers is None else workers.chunk or None
    return fields


def _verdict(judgement: Judgement) -> dict[str, Any]:
    interval = None if judgement.low is None or judgement.high is None else [judgement.low, judgement.high]
    return {
        "claim": judgement.claim,
        "statement": judgement.statement,
        "cell": judgement.cell,
        "verdict": judgement.verdict.value,
        "expected": judgement.expected.value if judgement.expected else None,
        "surprise": judgement.surprise,
        "reason": judgement.reason,
        "evidence": {
            "value": judgement.value,
            "interval": interval,
            "unit": judgement.unit,
            "ceiling": judgement.ceiling,
            "samples": {"accepted": judgement.accepted, "rejected": judgement.rejected},
        },
    }
