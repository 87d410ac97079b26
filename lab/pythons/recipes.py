"""The recipes that images are made from: in ``docker/`` of a checkout, in ``lab/recipes`` of an installed lab."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from lab.errors import ImageError

DEBIAN_BASE = "debian-base"
FREE_THREADED = "free-threaded.Dockerfile"


def find_recipe(name: str, package: Path | None = None) -> Path:
    """The recipe of this name. ``package`` replaces the installed package in tests. Raises ImageError."""
    inside = package or Path(__file__).resolve().parents[1]
    for folder in (inside / "recipes", inside.parent / "docker"):
        if (folder / name).is_file():
            return folder / name
    raise ImageError(f"the recipe {name} is not in {inside / 'recipes'}", "reinstall multicore-lab")


def fingerprint(recipe: bytes, arguments: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits that change with a recipe or with its arguments. Images carry them as a label.

    Without arguments they are the first digits that ``sha256sum`` prints for the recipe.
    """
    settings = "".join(f"\0{name}={arguments[name]}" for name in sorted(arguments))
    return hashlib.sha256(recipe + settings.encode()).hexdigest()[:12]
