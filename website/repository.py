"""The repository's own pages: its Markdown files, and the pictures in them.

Each stands at its path in the repository, so a link between two of them holds here as it does on a code host.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent


def pages() -> dict[str, str]:
    """Return the path of each page and its text."""
    paths = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def pictures() -> list[str]:
    """Return the paths of all pictures."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.png"))
