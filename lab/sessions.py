"""Putting a session together, and what it means for the exit code. Pure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab import __version__, changes, proofs, verdicts
from lab.cell.experiments import load
from lab.model.cell import Cell, CellResult, Status
from lab.model.fail_on import FailOn
from lab.model.machine import Machine
from lab.model.session import Session, Verdict


def assemble(
    *,
    id: str,  # noqa: A002 - the session's own word for it
    began: float,
    machine: Machine,
    arguments: Mapping[str, Any],
    experiments: Sequence[str],
    results: Sequence[CellResult],
    code_sha256: str,
    wall_seconds: float,
    notes: Sequence[str] = (),
    interrupted: bool = False,
) -> Session:
    """A session with every claim of its experiments judged."""
    found = [load(name) for name in experiments]
    judgements = verdicts.judge(found, results)
    return Session(
        id=id,
        began=began,
        machine=machine,
        arguments=arguments,
        lab_version=__version__,
        code_sha256=code_sha256,
        results=tuple(results),
        judgements=judgements,
        changes=changes.between(found, results, judgements),
        quantities=verdicts.quantities(found, results),
        wall_seconds=wall_seconds,
        notes=tuple(notes),
        interrupted=interrupted,
    )


def manifest(
    *,
    id: str,  # noqa: A002 - as above
    began: float,
    machine: Machine,
    arguments: Mapping[str, Any],
    cells: Iterable[Cell],
    code_sha256: str = "",
    host: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What session.json says at the start. With it a session can be read also when no report was ever written.

    ``host`` is the machine that the lab itself runs on; the engine's is ``machine``.
    """
    return {
        "schema": 1,
        "session": id,
        "began": began,
        "arguments": dict(arguments),
        "engine": machine.engine,
        "machine": dataclasses.asdict(machine),
        "cells": [dataclasses.asdict(cell) for cell in cells],
        "versions": {"lab": __version__, "code_sha256": code_sha256},
        "host": dict(host or {}),
    }


def manifest_of(session: Session) -> dict[str, Any]:
    """What session.json would have said at the start of a session that is there already."""
    return manifest(
        id=session.id,
        began=session.began,
        machine=session.machine,
        arguments=session.arguments,
        cells=[result.cell for result in session.results],
        code_sha256=session.code_sha256,
    )


def noise(results: Iterable[CellResult]) -> dict[str, dict[str, Any]]:
    """What disturbed each cell that was measured: blocks taken, those that do not count, by their causes, and D."""
    return {one.cell.id: _noise(one) for one in results if one.status is Status.MEASURED}


def _noise(result: CellResult) -> dict[str, Any]:
    samples = (record.data["values"] for record in result.records if record.kind == "sample")
    blocks = [block for sample in samples for block in sample.values() if isinstance(block, dict)]
    causes = collections.Counter(str(block["disturbed"]) for block in blocks if block.get("disturbed"))
    return {"blocks": len(blocks), "disturbed": dict(causes.most_common()), "delivered_cpus": proofs.delivered(result)}


def exit_code(session: Session, *, fail_on: FailOn = FailOn.SURPRISE, strict: bool = False) -> int:
    """130 interrupted, 3 a cell could not be run as asked, 1 a verdict that is to be a failure, else 0.

    A surprise is one unless that is ``never``; a refuted or an inconclusive verdict only where it was asked for.
    ``strict`` adds the inconclusive ones to whatever else is. So a noisy machine, on which nothing but inconclusive
    verdicts can come of the noise, never fails a build by itself.
    """
    if session.interrupted:
        return 130
    if any(result.status in (Status.ERROR, Status.TAINTED) for result in session.results):
        return 3
    if fail_on is FailOn.NEVER:
        return 0
    failures = {FailOn.REFUTED: {Verdict.REFUTED}, FailOn.INCONCLUSIVE: {Verdict.INCONCLUSIVE}}.get(fail_on, set())
    if strict:
        failures |= {Verdict.INCONCLUSIVE}
    return 1 if session.surprises or any(one.verdict in failures for one in session.judgements) else 0
