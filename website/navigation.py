"""The navigation: which pages mkdocs.yml names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from website.repository import ROOT


def missing(pages: Iterable[str]) -> list[str]:
    """Return the pages to which the navigation does not lead; listings and reports are reached by links."""
    settings = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), yaml.BaseLoader)  # noqa: S506 # makes only text
    named = set(_named(settings["nav"]))
    return sorted(
        page for page in pages if page.endswith(".md") and page not in named and not page.startswith("files/")
    )


def _named(part: Any) -> Iterator[str]:
    """The pages in a part of the navigation: a page, a list of parts, or parts by their titles."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _named(inner)
