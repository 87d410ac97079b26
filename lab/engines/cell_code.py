"""The code that runs inside a cell, as the zip file in which it travels there."""

from __future__ import annotations

import functools
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.cell.experiments import files as taken_in
from lab.cell.experiments import module_of


def cell_code(experiments: Iterable[str] | None = None, *, packed: bool = True) -> bytes:
    """A zip file of the code that runs inside a cell. The same source gives the same bytes.

    Without ``experiments`` it holds all of ``lab/cell``. A session keeps this file. With ``experiments`` it holds these
    and their imports. A container gets this file in its command line, which the engine copies many times. Only a Python
    with zlib can read a file that is ``packed``; one that is not is twice as long.
    """
    compression = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    names = None if experiments is None else tuple(experiments)
    return _zipped(names, compression, tuple(sorted(taken_in().items())))


@functools.cache
def _zipped(experiments: tuple[str, ...] | None, compression: int, own: tuple[tuple[str, str], ...]) -> bytes:
    package = Path(__file__).resolve().parents[1]
    if experiments is None:
        files = [package / "__init__.py", *sorted((package / "cell").rglob("*.py"))]
    else:
        modules = ["lab.cell.worker.supervisor", *map(module_of, experiments)]
        if "lab.cell.targets.scale" in modules:  # it finds the causes by their files
            modules += [
                f"lab.cell.targets.causes.{file.stem}" for file in (package / "cell/targets/causes").glob("*.py")
            ]
        files = _needed(package, modules, {module_of(name): Path(path) for name, path in own})
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        named = {file.relative_to(package.parent).as_posix(): file for file in files}
        for name, path in own:
            if experiments is None or name in experiments:
                named[module_of(name).replace(".", "/") + ".py"] = Path(path)
        for name, file in named.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), file.read_bytes(), compression)
    return memory.getvalue()


#: Imports that only a type checker needs.
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?: .*\n|\n)+", re.MULTILINE)

#: An import from the lab, as the code of a cell writes it. Several names may stand in brackets.
_IMPORT = re.compile(r"^ *from (lab[.\w]*) import (?:\(([^)]*)\)|(.*))", re.MULTILINE)


def _needed(package: Path, modules: Iterable[str], own: Mapping[str, Path]) -> list[Path]:
    """The files of these modules of the lab, and of everything that they import, also inside a function.

    ``own`` has the files of modules that are the user's. These are followed, and are not among the files.
    """
    files: set[Path] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        path = package.parent.joinpath(*module.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        file = own.get(module, file)
        if file in files or not file.is_file():  # a name within a module is no module
            continue
        files.add(file)
        queue.append(module.rpartition(".")[0])
        for package_name, bracketed, plain in _IMPORT.findall(_FOR_TYPES.sub("", file.read_text(encoding="utf-8"))):
            names = re.findall(r"\w+", (bracketed or plain).partition("#")[0])
            queue += [package_name, *(f"{package_name}.{name}" for name in names)]
    return sorted(files - {*own.values()})
