"""The report for a terminal: plain tables of at most 80 columns."""

from __future__ import annotations

import textwrap

import tabulate as tabulate_module
from tabulate import tabulate

from lab import summary
from lab.model import Session

WIDTH = 80


def render(session: Session) -> str:
    """The whole session as text."""
    # A head needs no more room than its column: with tabulate's two blanks more the Pool() table has 88 columns.
    tabulate_module.MIN_PADDING = 0
    parts = ["\n".join(_wrap(line) for line in summary.headline(session))]
    for table in summary.tables(session):
        body = tabulate(table.rows, headers=table.head, disable_numparse=True, preserve_whitespace=True)
        title = "\n".join(filter(None, (table.title, _wrap(table.subtitle))))
        notes = "\n".join(_wrap(line) for line in table.notes)
        parts.append("\n\n".join(filter(None, (title, body, notes))))
    parts.extend(_wrap(note) for note in session.notes)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _wrap(line: str) -> str:
    indent = len(line) - len(line.lstrip(" -"))
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * max(indent, 2))
