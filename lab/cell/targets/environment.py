"""The user's environment in a worker: packages, project folder, and what imports have changed."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.targets.importing import TargetError, code_path

#: How Python announces that an import has switched the GIL on (``Python/import.c``, ``_PyImport_EnableGILAndWarn``).
_SWITCHED_ON = "has been enabled to load module"


def enter(project: str) -> None:
    """Make the packages of this Python and the project importable, as they are for a program of the user's.

    The worker runs without ``site``, because what a site runs could print before the records have their channel. In a
    child of the worker that danger is past. An interpreter or a process that this one starts calls this function too.
    """
    import site

    if not getattr(sys, "_lab_has_entered", False):
        sys._lab_has_entered = True  # type: ignore[attr-defined] # the mark is one of this interpreter
        site.main()
        _add_own_packages()
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [project, *_source_folder(project), *[os.path.join(project, path) for path in others]]
    sys.path[:0] = [path for path in paths if path and path not in sys.path]
    _lab_first()
    go_home(project)


def _add_own_packages() -> None:
    """Make the packages of ``pip install --user`` importable, which Python run with -I leaves out."""
    import site

    folder = site.getusersitepackages()
    if sys.prefix == sys.base_prefix and not os.environ.get("PYTHONNOUSERSITE") and os.path.isdir(folder):
        before, everybodys = list(sys.path), site.getsitepackages()
        site.addsitedir(folder)
        own = [path for path in sys.path if path not in before]
        place = next((place for place, path in enumerate(before) if path in everybodys), len(before))
        sys.path[:] = [*before[:place], *own, *before[place:]]  # a user's package comes before that of all users


def go_home(project: str) -> None:
    """Make the folder of the project the current one, also again after the target has left it.

    Raises TargetError where the cell's user may not read it. Where there is no such folder, nothing changes.
    """
    if project and os.path.isdir(project):
        if not os.access(project, os.R_OK | os.X_OK):
            raise TargetError(
                "the cell's user (number %d) may not read the folder of the project; allow it: chmod -R o+rX FOLDER"
                % os.getuid()
            )
        os.chdir(project)


def importable() -> frozenset[str]:
    """What a worker needs of ``sys.path`` and ``sys.modules``: the folders and the modules that are there."""
    folders = {code_path(), os.path.dirname(os.__file__)}.intersection(sys.path)
    return frozenset(folders.union({"sys", "os", __name__}.intersection(sys.modules)))


def _source_folder(project: str) -> "list[str]":
    """The folder ``src`` of a project that keeps its packages there."""
    folder = os.path.join(project, "src")
    is_package = os.path.exists(os.path.join(folder, "__init__.py"))
    return [folder] if project and os.path.isdir(folder) and not is_package else []


def folder_of(module: Any, project: str) -> str:
    """The folder of a project that has to be on the path for a module of it: ``src``; empty: none but the project."""
    file = os.path.realpath(getattr(module, "__file__", None) or "")
    below = [os.path.join(os.path.realpath(folder), "") for folder in _source_folder(project)]
    return "src" if file.startswith(tuple(below)) else ""


def _lab_first() -> None:
    """A project may have a package named ``lab``, which a worker that is spawned must not take for this one."""
    archive = getattr(globals().get("__loader__"), "archive", None)
    if archive:
        sys.path[:] = [archive, *[path for path in sys.path if path != archive]]


class Imported(NamedTuple):
    """What happened to the GIL while a target was imported."""

    #: Whether the GIL was on before.
    gil_before: bool
    #: Whether the GIL is on now.
    gil_after: bool
    #: The modules that switched it on, as Python's own warning names them.
    modules: tuple[str, ...]


class GilWatch:
    """Watches who switches the GIL on; use as a context manager around imports and calls."""

    def __init__(self) -> None:
        self._before = gil_enabled()
        self._modules: list[str] = []
        self._warnings: Any = None

    def __enter__(self) -> GilWatch:
        import warnings

        self._warnings = warnings.catch_warnings(record=True)
        self._messages = self._warnings.__enter__()
        warnings.simplefilter("always", RuntimeWarning)
        return self

    def __exit__(self, *exception: object) -> None:
        self._warnings.__exit__(None, None, None)
        for warning in self._messages:
            text = str(warning.message)
            if _SWITCHED_ON in text:
                self._modules.append(text.partition(_SWITCHED_ON)[2].strip().partition("'")[2].partition("'")[0])

    @property
    def imported(self) -> Imported:
        """What was seen."""
        return Imported(self._before, gil_enabled(), tuple(self._modules))


def packages() -> dict[str, str]:
    """The versions of the packages from outside the standard library that are loaded, by name.

    The name is that of the package to install, such as PyYAML of the module yaml. Python 3.9 does not know it, so there
    it is that of the module.
    """
    import importlib.metadata as metadata

    known: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())
    modules = {name.partition(".")[0] for name in sys.modules} - {"lab", "__main__", *known}
    owners: "dict[str, list[str]]" = getattr(metadata, "packages_distributions", dict)()
    names = {name for module in modules if not module.startswith("_") for name in owners.get(module, [module])}
    versions: dict[str, str] = {}
    for name in sorted(names):
        if len(versions) == 40:
            break
        try:
            versions[name] = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return versions
