"""The report for a terminal: plain tables of at most 80 columns."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from lab import summary
from lab.model import Session

WIDTH = 80


def render(session: Session) -> str:
    """The whole session as text."""
    parts = ["\n".join(summary.headline(session))]
    for table in summary.tables(session):
        body = tabulate(table.rows, headers=table.head, disable_numparse=True, preserve_whitespace=True)
        notes = "\n".join(_wrap(line) for line in table.notes)
        parts.append(
            "\n".join(text for text in (table.title, "", body, "" if notes else None, notes) if text is not None)
        )
    parts.extend(session.notes)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _wrap(line: str) -> str:
    indent = len(line) - len(line.lstrip(" -"))
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * max(indent, 2), break_long_words=False)
