"""Texts in Markdown, as GitHub reads it. Pure."""

from __future__ import annotations

import re

from lab.messages import printable

_SPECIAL = re.compile(r"([\\`*_\[\]#|~$])")


def escaped(text: str) -> str:
    """The text on one line, escaped so that it has no markup, HTML, mention, formula or end of a column."""
    line = printable(text.replace("\n", " "))
    safe = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;"))
    return safe.replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
