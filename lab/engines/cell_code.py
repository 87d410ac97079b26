"""The code that runs inside a cell, as the zip file in which it travels there."""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from lab.cell.experiments import module_of


def cell_code(experiments: Iterable[str] | None = None) -> bytes:
    """A zip file of what runs inside a cell. The same source gives the same bytes.

    Without ``experiments`` it holds all of ``lab/cell``, which is what a session keeps. With ``experiments`` it holds
    these and what they import: a container gets it in its command line, which the engine copies many times.
    """
    return _zipped(None if experiments is None else tuple(experiments))


@functools.cache
def _zipped(experiments: tuple[str, ...] | None) -> bytes:
    package = Path(__file__).resolve().parents[1]
    if experiments is None:
        files = [package / "__init__.py", *sorted((package / "cell").rglob("*.py"))]
    else:
        files = _needed(package, ["lab.cell.worker.supervisor", *map(module_of, experiments)])
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(str(file.relative_to(package.parent)), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return memory.getvalue()


#: Imports that are only there for whoever checks the types.
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?: .*\n|\n)+", re.MULTILINE)

#: An import of our own, as the code of a cell writes it; several names may stand in brackets.
_IMPORT = re.compile(r"^ *from (lab[.\w]*) import (?:\(([^)]*)\)|(.*))", re.MULTILINE)


def _needed(package: Path, modules: Iterable[str]) -> list[Path]:
    """The files of these modules of ours, and of all that they import, also when that is within a function."""
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = package.parent.joinpath(*module.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if file in found or not file.is_file():  # a name within a module is no module
            continue
        found.add(file)
        waiting.append(module.rpartition(".")[0])
        for within, bracketed, plain in _IMPORT.findall(_FOR_TYPES.sub("", file.read_text(encoding="utf-8"))):
            names = re.findall(r"\w+", (bracketed or plain).partition("#")[0])
            waiting += [within, *(f"{within}.{name}" for name in names)]
    return sorted(found)
