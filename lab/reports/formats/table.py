"""The report for a terminal: plain tables of at most 80 columns."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.text.table import CODE, GAP, WIDTH

if TYPE_CHECKING:
    from lab.model.session import Session
    from lab.text.table import Table

#: This format is rendered for the width of the terminal.
FITS_WIDTH = True

#: A last column that is wider than this has text, whose lines can be broken.
_TEXT = 50

#: The fewest characters that are left for such a column. With less room the table is split.
_LEAST_ROOM = 20


def check_libraries() -> None:
    """Load the libraries of the report now, while the program waits for an engine anyway."""
    import tabulate  # noqa: F401 - only to load it

    from lab.reports import tables  # noqa: F401 - only to load it


def render(session: Session, width: int = WIDTH) -> str:
    """The whole session as text, in lines of at most 80 characters, or of at most ``width`` where that is less.

    In a narrow terminal a table becomes a paragraph for each row.
    """
    from lab.reports import tables
    from lab.text import table as layout

    width = min(max(width, layout.NARROWEST), WIDTH)
    parts = ["\n".join(_wrap(line, width) for line in tables.headline(session).lines)]
    for table in tables.all_tables(session):
        body = "\n\n".join(layout.fit_table(part.head, part.rows, width) for part in _fitting(table))
        title = "\n".join(filter(None, (_wrap(table.title, width), _wrap(table.subtitle, width))))
        notes = "\n".join(_wrap(line, width) for line in table.notes)
        parts.append("\n\n".join(filter(None, (title, body, notes))))
    parts.extend(_wrap(note, width) for note in session.notes)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _fitting(table: Table) -> Iterator[Table]:
    """The table if it fits. Else its last column is broken into lines, or its columns are split into several tables."""
    widths = [
        max(len(line) for row in (table.head, *table.rows) for line in row[column].split("\n"))
        for column in range(len(table.head))
    ]
    room = WIDTH - sum(widths[:-1]) - GAP * len(widths[:-1])
    if widths[-1] <= room:
        yield table
    elif widths[-1] > _TEXT and room >= _LEAST_ROOM:
        rows = ((*row[:-1], textwrap.fill(row[-1], room, break_on_hyphens=False)) for row in table.rows)
        head = (*table.head[:-1], textwrap.fill(table.head[-1], room))
        yield replace(table, head=head, rows=tuple(rows))
    else:
        for columns in _column_groups(table, widths):
            rows = (tuple(row[column] for column in (0, *columns)) for row in table.rows)
            yield replace(table, head=tuple(table.head[column] for column in (0, *columns)), rows=tuple(rows))


def _column_groups(table: Table, widths: list[int]) -> Iterator[list[int]]:
    """The numbers of the columns that fit beside the first column, group by group.

    Neighbours whose heads begin with the same line stay together.
    """
    room = WIDTH - widths[0]
    columns = range(1, len(widths))
    piece: list[int] = []
    for _, group in itertools.groupby(columns, key=lambda column: table.head[column].partition("\n")[0]):
        more = list(group)
        if piece and sum(widths[column] + GAP for column in (*piece, *more)) > room:
            yield piece
            piece = []
        piece += more
    yield piece


def _wrap(line: str, width: int) -> str:
    if line.startswith(CODE):  # code cannot be broken
        return f"    {line.removeprefix(CODE)}"
    indent = len(line) - len(line.lstrip(" -"))
    return textwrap.fill(line, width, subsequent_indent=" " * max(indent, 2), break_on_hyphens=False)
