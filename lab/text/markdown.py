"""Texts in Markdown, as GitHub reads it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lab.messages import printable

#: GitHub does not show the summary of a step above 1 MiB.
MOST_BYTES = 2**20 - 2**10

_SPECIAL = re.compile(r"([\\`*_\[\]#|~$])")


def escaped(text: str) -> str:
    """The text on one line, escaped so that it has no markup, HTML, mention, formula or end of a column."""
    line = printable(text.replace("\n", " "))
    safe = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;"))
    return safe.replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts that are escaped already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
