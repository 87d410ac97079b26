"""Reports: functions from a session to text. Each format is one module with ``render(session)``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from lab.messages import printable
from lab.reports import formats as formats_package

if TYPE_CHECKING:
    from lab.model.cell import CellResult
    from lab.model.session import Session


#: The formats that are read as they are printed. In the others the format itself says how a character is written.
_FOR_READERS = ("html", "markdown", "screen", "summary", "table", "transcript")


def format_names() -> tuple[str, ...]:
    """The names of all formats, one for each module in ``formats``."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(formats_package.__path__)))


def render(session: Session, form: str, width: int | None = None) -> str:
    """A session in one of the formats. ``width``, in characters, is for the formats that fit a terminal."""
    module = importlib.import_module(f"lab.reports.formats.{form}")
    fitted = {"width": width} if width is not None and getattr(module, "FITS_WIDTH", False) else {}
    text = cast(str, module.render(session, **fitted))
    return "\n".join(map(printable, text.split("\n"))) if form in _FOR_READERS else text


def check_libraries(form: str) -> None:
    """Raise MissingExtraError if the format needs a library that is not installed. Call it before measuring."""
    module = importlib.import_module(f"lab.reports.formats.{form}")
    if hasattr(module, "check_libraries"):
        module.check_libraries()


def so_far(results: Sequence[CellResult], width: int) -> list[str]:
    """The lines of the tables for the cells that have been measured, while others still run; none: no numbers yet."""
    from lab.reports.formats import screen

    return [printable(line) for line in screen.so_far(results, width)]


def needs(form: str) -> frozenset[str]:
    """The experiments that a format needs: without them its report is empty."""
    return frozenset(getattr(importlib.import_module(f"lab.reports.formats.{form}"), "NEEDS", ()))


def document(session: Session) -> dict[str, Any]:
    """A session as the JSON document that ``json`` prints."""
    from lab.sessions import document as json

    return json.document(session)
