"""Listings: what a page links to beside other pages, such as an example or a schema, is a page with its text.

On a code host the same link leads to the file itself.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from website import markdown
from website.repository import ROOT

#: A link of Markdown to a place in the repository: its target, without an anchor.
_LINK = re.compile(r"(?<=\]\()[^):#\s]+(?=\))")

_LANGUAGES = {".py": "python", ".sh": "sh", ".toml": "toml", ".json": "json", ".yml": "yaml", ".xsd": "xml"}


def with_listings(pages: Mapping[str, str]) -> dict[str, str]:
    """Return the pages with their links to files and folders leading to listings, and these listings."""
    all_pages: dict[str, str] = {}
    for name, text in pages.items():
        folder = Path(name).parent

        def listed(link: re.Match[str], folder: Path = folder) -> str:
            place = os.path.normpath(folder / link[0])
            if place in pages or place.endswith((".png", ".html")) or not (ROOT / place).exists():
                return link[0]
            listing = f"files/{place.lstrip('.')}.md"
            all_pages.setdefault(listing, _listing(place))
            return os.path.relpath(listing, folder)

        all_pages[name] = _LINK.sub(listed, text)
    return all_pages


def _listing(place: str) -> str:
    path = ROOT / place
    if path.suffix == ".ipynb":
        return _notebook(json.loads(path.read_text("utf-8")))
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        return markdown.page(f"# {place}", *(f"## {file.name}\n\n{_fenced(file)}" for file in files))
    return markdown.page(f"# {place}", _fenced(path))


def _fenced(path: Path) -> str:
    return markdown.fenced(path.read_text("utf-8"), _LANGUAGES.get(path.suffix, "text"))


def _notebook(notebook: dict[str, Any]) -> str:
    """The cells of a notebook, and what each printed or showed."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else markdown.fenced(source, "python"))
        for output in cell.get("outputs", ()):
            shown = output.get("data", {"text/plain": output.get("text", "")})
            is_html = "text/html" in shown
            text = "".join(shown["text/html" if is_html else "text/plain"])
            parts.append(f'<div class="shown">{text}</div>' if is_html else markdown.fenced(text))
    return markdown.page(*parts)
