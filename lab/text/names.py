"""A cell and a Python in words, the same words everywhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lab.cell.cpus import cpulist
from lab.model.cell import Cell
from lab.text import units


def limit_words(cell: Cell) -> str:
    """What a cell may use, the same words on every machine: ``2 CPUs``, ``2 CPUs, quota 1.5``, or ``quota 1.5``."""
    return _joined(_cpus(cell), cell.limit.quota_label)


def full_words(cell: Cell) -> str:
    """All that distinguishes a cell from others: ``Python 3.13t, 2 CPUs (0-1), quota 1.5, machine 1``."""
    where = f" ({cpulist.render(cell.cpus)})" if cell.cpus and cell.pinned else ""
    build = f"Python {cell.build}" if cell.build else ""
    turn = f"turn {cell.turn}" if cell.turn else ""
    return _joined(build, _cpus(cell) + where, cell.limit.quota_label, cell.machine, turn)


def asked_words(cell: Cell) -> str:
    """The limit as it was asked for: ``2 CPUs``, or ``2 = all, quota 1.5`` where two sizes come to the same."""
    return ", ".join(_asked_parts(cell))


def asked_lines(cell: Cell) -> str:
    """The words of :func:`asked_words`, each part on a line of its own, for the head of a column."""
    return _lines(_asked_parts(cell))


def cell_words(cell: Cell) -> str:
    """The words of :func:`plain_words`, after the build and before the machine if the session has several of them."""
    return _joined(f"Python {cell.build}" if cell.build else "", plain_words(cell))


def plain_words(cell: Cell) -> str:
    """The limit for people who do not know the sizes that were asked for: ``2 CPUs (all)``, ``2 CPUs, quota 1.5``."""
    limit = cell.limit
    if limit.cpus is None and not limit.is_all:
        return ", ".join(cell.limit_parts)
    size = units.cpus(cell.size) + " (all)" * limit.is_all
    return _joined(size, *cell.limit_parts[1:])


def limit_lines(cell: Cell) -> str:
    """The label of a cell without its build, each part on a line of its own."""
    return _lines(cell.limit_parts)


def cell_lines(cell: Cell) -> str:
    """The label of a cell, each part on a line of its own: ``2 = all``, and the quota below."""
    return _lines((cell.build, *cell.limit_parts))


def _asked_parts(cell: Cell) -> tuple[str, ...]:
    limit = cell.limit
    if limit.cpus is None or limit.is_all:
        return cell.limit_parts
    return units.cpus(limit.cpus), *cell.limit_parts[1:]


def _lines(parts: Iterable[str]) -> str:
    return ",\n".join(filter(None, parts))


def python_words(python: Mapping[str, object], *, short: bool = False) -> str:
    """A Python in a few words: ``CPython 3.13.5 with the GIL``; empty: nothing is known of it.

    ``short`` leaves out ``with the GIL``, which is the usual case.
    """
    if not python:
        return ""
    gil = " with the GIL" * (not short) if python["gil_enabled"] else " without the GIL"
    return f"{python['implementation']} {python['release']}{gil}"


def _cpus(cell: Cell) -> str:
    return units.cpus(cell.size) if cell.pinned else ""


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
