"""The recipes that images are made from: in ``docker/`` of a checkout, in ``lab/recipes`` where it is installed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lab.errors import ImageError

DEBIAN_BASE = "debian-base"
FREE_THREADED = "free-threaded.Dockerfile"


def find_recipe(name: str, package: Path | None = None) -> Path:
    """The file of that name. ``package`` stands in for the installed package in tests. Raises ImageError."""
    inside = package or Path(__file__).resolve().parents[1]
    for folder in (inside / "recipes", inside.parent / "docker"):
        if (folder / name).is_file():
            return folder / name
    raise ImageError(f"the recipe {name} is not in {inside / 'recipes'}; reinstall multicore-lab")


def fingerprint(recipe: bytes, arguments: Mapping[str, str]) -> str:
    """Twelve digits that change with a recipe or with what it is given; images carry them as a label.

    Without arguments they are those that ``sha256sum`` prints for the recipe.
    """
    given = "".join(f"\0{name}={arguments[name]}" for name in sorted(arguments))
    return hashlib.sha256(recipe + given.encode()).hexdigest()[:12]
