"""The report for a terminal: plain tables of at most 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.model import Session

WIDTH = 80


def check() -> None:
    """Load what a report is made with: not before an engine is asked, which is waited for anyway."""
    import tabulate  # noqa: F401 - only to load it

    from lab import summary  # noqa: F401 - only to load it


def render(session: Session) -> str:
    """The whole session as text."""
    from lab import layout, summary

    parts = ["\n".join(_wrap(line) for line in summary.headline(session))]
    for table in summary.tables(session):
        body = layout.grid(table.head, table.rows)
        title = "\n".join(filter(None, (_wrap(table.title), _wrap(table.subtitle))))
        notes = "\n".join(_wrap(line) for line in table.notes)
        parts.append("\n\n".join(filter(None, (title, body, notes))))
    parts.extend(_wrap(note) for note in session.notes)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _wrap(line: str) -> str:
    indent = len(line) - len(line.lstrip(" -"))
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * max(indent, 2), break_on_hyphens=False)
