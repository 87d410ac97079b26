"""A cell, and a Python, in words: the same words wherever they are spoken of. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from lab.cell.cpus import cpulist
from lab.model.cell import Cell
from lab.text import units


def limit_words(cell: Cell) -> str:
    """What a cell may use, the same words on every machine: ``2 CPUs``, ``2 CPUs, quota 1.5``, or ``quota 1.5`` where
    that alone is the limit."""
    return _joined(_cpus(cell), _quota(cell))


def full_words(cell: Cell) -> str:
    """All that tells a cell apart: ``Python 3.13t, 2 CPUs (0-1), quota 1.5, machine 1``."""
    where = f" ({cpulist.render(cell.cpus)})" if cell.cpus and cell.pinned else ""
    build = f"Python {cell.build}" if cell.build else ""
    return _joined(build, _cpus(cell) + where, _quota(cell), cell.machine)


def asked_words(cell: Cell) -> str:
    """A limit as it was asked for, where two that come to the same are one: ``2 CPUs``, ``2 = all, quota 1.5``."""
    first, *others = cell.limit.split(", ")
    return _joined(units.cpus(int(first)) if first.isdecimal() else first, *others)


def python_words(python: Mapping[str, object], *, short: bool = False) -> str:
    """A Python in a few words: ``CPython 3.13.5 with the GIL``; ``short`` leaves out a GIL that is there, as it usually
    is. Empty where nobody has said."""
    if not python:
        return ""
    gil = " with the GIL" * (not short) if python["gil_enabled"] else " without the GIL"
    return f"{python['implementation']} {python['release']}{gil}"


def _cpus(cell: Cell) -> str:
    return units.cpus(cell.size) if cell.pinned else ""


def _quota(cell: Cell) -> str:
    return "" if cell.quota_cpus is None else f"quota {cell.quota_cpus:g}"


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
