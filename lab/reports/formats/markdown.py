"""The report for a page or a job summary, in GitHub's Markdown."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from lab.messages import printable
from lab.model.session import Session
from lab.reports import tables
from lab.text.markdown import escaped
from lab.text.table import CODE


def render(session: Session) -> str:
    """The whole session as Markdown."""
    parts = ["# multicore-lab", "  \n".join(map(escaped, tables.headline(session).lines))]
    for table in tables.all_tables(session):
        parts.append("\n\n".join(filter(None, (f"## {escaped(table.title)}", escaped(table.subtitle)))))
        head = [escaped(name.replace("_\n", "_").replace("\n", " ")) for name in table.head]
        rows = [[escaped(re.sub(r"\n *", " ", text)).replace("  ", "&emsp;") for text in row] for row in table.rows]
        parts.append(tabulate(rows, headers=head, tablefmt="github", disable_numparse=True))
        if table.notes:
            parts += _notes(table.notes)
    parts.extend(map(escaped, session.notes))
    return "\n\n".join(parts) + "\n"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    """The lines below a table as lists, and code in blocks of its own."""
    for is_code, lines in itertools.groupby(notes, lambda line: line.startswith(CODE)):
        if is_code:
            yield "\n".join(("```python", *(printable(line.removeprefix(CODE)) for line in lines), "```"))
        else:
            yield "\n".join(map(_item, lines))


def _item(line: str) -> str:
    line = escaped(line)
    if line.startswith("    "):
        return f"  - {line.strip()}"
    return f"\n**{line}**\n" if line.endswith(":") else line if line.startswith("- ") else f"- {line}"
