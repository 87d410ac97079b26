"""The manifest of a session: the content of its session.json. Pure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from lab import __version__
from lab.judging import proofs
from lab.model.cell import Cell, CellResult, Status
from lab.model.machine import Machine
from lab.model.session import Session


def manifest(
    *,
    id: str,  # noqa: A002 - the name of the field
    began: float,
    machine: Machine,
    arguments: Mapping[str, Any],
    cells: Iterable[Cell],
    code_sha256: str = "",
    host: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of session.json at the start of a run. With it, a session can be read even if it has no report.

    ``host`` is the machine that the lab itself runs on; ``machine`` is the machine of the engine.
    """
    return {
        "schema": 1,
        "session": id,
        "began": began,
        "arguments": dict(arguments),
        "engine": machine.engine,
        "machine": dataclasses.asdict(machine),
        "cells": [cell.to_stored() for cell in cells],
        "versions": {"lab": __version__, "code_sha256": code_sha256},
        "host": dict(host or {}),
    }


def manifest_of(session: Session) -> dict[str, Any]:
    """The content that session.json had at the start of this session."""
    return manifest(
        id=session.id,
        began=session.began,
        machine=session.machine,
        arguments=session.arguments,
        cells=[result.cell for result in session.results],
        code_sha256=session.code_sha256,
    )


def noise(results: Iterable[CellResult]) -> dict[str, dict[str, Any]]:
    """For each measured cell the number of its blocks, the disturbed blocks by their causes, and the delivered CPUs."""
    return {result.cell.id: _noise(result) for result in results if result.status is Status.MEASURED}


def _noise(result: CellResult) -> dict[str, Any]:
    samples = (record.data["values"] for record in result.records if record.kind == "sample")
    blocks = [block for sample in samples for block in sample.values() if isinstance(block, dict)]
    causes = collections.Counter(str(block["disturbed"]) for block in blocks if block.get("disturbed"))
    return {"blocks": len(blocks), "disturbed": dict(causes.most_common()), "delivered_cpus": proofs.delivered(result)}
