"""A table as text, before any report has given it a form. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from lab.model.cell import CellResult
from lab.text import names


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
    return names.cell_lines(result.cell)


#: What has room in every terminal, in characters, and what stands between two columns of a table.
WIDTH = 80


GAP = 2


#: In a narrower one lines are this long all the same.
NARROWEST = 40


def fit_table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A table where it fits into that many columns; else a paragraph for each row."""
    width = max(width, NARROWEST)
    text = grid(head, rows)
    if max(map(len, text.splitlines()), default=0) <= width:
        return text
    return "\n".join(fit_sentence(_paragraph(head, row), width) for row in rows)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are as wide as what is in them: with the two blanks more that tabulate gives each, that of
    Pool() has 88 columns. Blanks that a text begins with stay."""
    import tabulate

    usual, tabulate.MIN_PADDING = tabulate.MIN_PADDING, 0
    try:
        return str(tabulate.tabulate(rows, headers=head, disable_numparse=True, preserve_whitespace=True))
    finally:
        tabulate.MIN_PADDING = usual


def _paragraph(head: Sequence[str], row: Sequence[str]) -> str:
    first, *others = zip(head, row, strict=True)
    return f"- {first[1]}: " + "; ".join(f"{name} {value}" for name, value in others if value not in ("", "-"))


def fit_sentence(text: str, width: int) -> str:
    """A sentence, broken into lines of at most that many columns; words that are longer are broken too."""
    return textwrap.fill(text, max(width, NARROWEST), subsequent_indent="  ", break_on_hyphens=False)
