"""Putting a session together, and what it means for the exit code. Pure."""

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
        "cells": [cell.to_stored() for cell in cells],
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
