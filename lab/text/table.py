"""A table as text, before any report has given it a form. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from lab.model.cell import CellResult
from lab.text import names


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its title, and with lines to read above and below."""

    #: The title.
    title: str
    #: The heads of the columns; ``\\n`` breaks a line.
    head: tuple[str, ...]
    #: The rows, each with as many texts as there are columns.
    rows: tuple[tuple[str, ...], ...]
    #: Lines to read below the table. Those that begin with a tab are code.
    notes: tuple[str, ...] = ()
    #: A line to read below the title; empty: none.
    subtitle: str = ""


def title_of(result: CellResult) -> str:
    """The name of a cell in a table: ``2 = all``, with a quota on a line of its own."""
    return names.cell_lines(result.cell)


#: What a line of code among the notes of a table begins with.
CODE = "\t"

#: The width that fits into every terminal, in characters.
WIDTH = 80


#: The number of blanks between two columns of a table.
GAP = 2


#: The shortest lines; in a narrower terminal they are not shorter.
NARROWEST = 40


def fit_table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """The rows as a table, if it fits into this width; else as a paragraph for each row."""
    width = max(width, NARROWEST)
    text = grid(head, rows)
    if max(map(len, text.splitlines()), default=0) <= width:
        return text
    return "\n".join(fit_sentence(_paragraph(head, row), width) for row in rows)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table whose columns are only as wide as their texts. Leading blanks of a text are kept.

    Without this, tabulate makes each column two blanks wider, and the table of Pool() needs 88 columns.
    """
    import tabulate

    usual, tabulate.MIN_PADDING = tabulate.MIN_PADDING, 0
    try:
        return str(tabulate.tabulate(rows, headers=head, disable_numparse=True, preserve_whitespace=True))
    finally:
        tabulate.MIN_PADDING = usual


def _paragraph(head: Sequence[str], row: Sequence[str]) -> str:
    lines = ([mark.join(text.splitlines()) for text in texts] for mark, texts in ((" ", head), (" / ", row)))
    first, *others = zip(*lines, strict=True)
    return f"- {first[1]}: " + "; ".join(f"{name} {value}" for name, value in others if value not in ("", "-"))


def fit_sentence(text: str, width: int) -> str:
    """The sentence, broken into lines of at most this width; longer words are broken too."""
    return textwrap.fill(text, max(width, NARROWEST), subsequent_indent="  ", break_on_hyphens=False)
