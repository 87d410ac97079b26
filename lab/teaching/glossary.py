"""The words of the lab, each with its meaning: for ``lab explain glossary``, docs/glossary.md and the page."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources


@functools.cache
def terms() -> dict[str, str]:
    """Each word and its meaning, in the order of the alphabet. A meaning may have `code` in backticks."""
    text = (resources.files("lab.teaching") / "glossary.toml").read_text("utf-8")
    words: dict[str, str] = tomllib.loads(text)["terms"]
    return words


def page() -> str:
    """The glossary as a page in Markdown."""
    head = "The words of the lab. `lab explain glossary` prints them, with `--markdown` as this page."
    entries = (f"**{word}**: {meaning}" for word, meaning in terms().items())
    return "\n\n".join(("# Glossary", head, *entries)) + "\n"
