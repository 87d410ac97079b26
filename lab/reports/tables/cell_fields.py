"""The facts about a cell that a verdict needs when it is read alone: build, limit, proof. Pure."""

from __future__ import annotations

from lab.judging import proofs
from lab.model import machine
from lab.model import session as session_
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.text.spreadsheets import Value


def fields_of_cell(session: Session, result: CellResult) -> dict[str, Value]:
    """The facts about a cell by name, always the same names in the same order.

    ``parallelism_cpus``, ``rate_cpus`` and ``delivered_cpus`` are P, R and D. ``cpu_ids`` has blanks between the ids,
    because spreadsheets take ``1-2`` for a date. ``build`` is the Python as ``--python`` names it.
    """
    python, proof = result.python, result.proof
    return {
        "engine": session.machine.engine,
        "image": image_of(session, result),
        "implementation": python.get("implementation"),
        "python": python.get("release"),
        "gil": {True: "on", False: "off", None: None}[python.get("gil_enabled")],
        "cell": result.cell.id,
        "cpus": result.cell.size,
        "quota_cpus": result.cell.quota_cpus,
        "cpu_ids": " ".join(map(str, result.cell.cpus)) or None,
        "pinned_by": result.pinned_by if result.proof else None,
        "status": result.status.value,
        "parallelism_cpus": proofs.parallelism(proof) if proof else None,
        "rate_cpus": proofs.rate(proof) if proof else None,
        "delivered_cpus": proofs.delivered(result),
        "build": session_.build_of(session, result) or None,
    }


def image_of(session: Session, result: CellResult) -> str | None:
    """The image that a cell ran from. In a session of several builds it is the image of the cell's build."""
    facts = machine.builds_of(session.machine).get(result.cell.build)
    return facts.image if facts else session.machine.image
