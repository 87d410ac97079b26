"""Builds the site into ``build/site``: ``python -m website``."""

from __future__ import annotations

import shutil
import subprocess
import sys

from website import commands, diagrams, library, listings, navigation, repository, schemas
from website.repository import ROOT

#: Where the pages are put together, as mkdocs.yml says.
_PAGES = ROOT / "build" / "pages"


def main() -> int:
    """Write the pages and build the site. Returns 1 if a link is broken, or a page is not in the navigation."""
    shutil.rmtree(_PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "website" / "assets", _PAGES)
    for name in repository.pictures():
        (_PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, _PAGES / name)
    pages = listings.with_listings(repository.pages() | commands.pages() | schemas.pages() | library.pages())
    if missing := navigation.missing(pages):
        print(f"mkdocs.yml names no place in the navigation for {', '.join(missing)}", file=sys.stderr)
        return 1
    for name, text in pages.items():
        (_PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        (_PAGES / name).write_text(diagrams.drawn(text), encoding="utf-8")
    return subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
