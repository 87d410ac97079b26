"""Markdown: what the generated pages are written with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def plain(text: str) -> str:
    """Return words that mean themselves, on one line; none of them becomes markup."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Return words as code, also inside of a table."""
    return f"`{text}`".replace("|", "\\|")


def fenced(text: str, language: str = "text") -> str:
    """Return a block of code."""
    return f"````{language}\n{text.rstrip()}\n````"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown of one line."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page(*parts: str) -> str:
    """Return a page of parts; empty parts are left out."""
    return "\n\n".join(part for part in parts if part) + "\n"
