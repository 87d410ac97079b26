"""A table as text, before any report has given it a form. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model import CellResult


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table: column heads (``\\n`` breaks them), rows of cells, and lines to read under it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    subtitle: str = ""


def title_of(result: CellResult) -> str:
    """A cell's name in a table: ``2 = all``, and a quota on a line of its own."""
    return result.cell.label.replace(", ", ",\n")
