"""Builds the site into ``build/site``: ``python -m website``."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

try:
    from website import commands, diagrams, gallery, library, listings, navigation, repository, schemas
    from website.repository import ROOT
except ModuleNotFoundError as error:
    sys.exit(f"the site needs the package {error.name}; install what makes the site: pip install -e '.[dev]'")

#: Where the pages are put together, as mkdocs.yml says.
_PAGES = ROOT / "build" / "pages"


def main() -> NoReturn:
    """Write the pages and build the site. The exit code is 1 if a link is broken or a page is not in the navigation."""
    shutil.rmtree(_PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "website" / "assets", _PAGES)
    for name in repository.pictures():
        (_PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, _PAGES / name)
    generated = commands.pages() | schemas.pages() | library.pages() | gallery.pages()
    pages = listings.with_listings(repository.pages() | generated)
    if missing := navigation.missing(pages):
        sys.exit(f"mkdocs.yml names no place in the navigation for {', '.join(missing)}")
    for name, text in pages.items():
        (_PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        (_PAGES / name).write_text(diagrams.drawn(text), encoding="utf-8")
    os.chdir(ROOT)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    os.execv(sys.executable, command)  # noqa: S606 # its words are fixed, and no shell reads them


if __name__ == "__main__":
    main()
