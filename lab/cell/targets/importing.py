"""Imports the user's module in a worker, finds a name in it, and says what is wrong where that fails."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from lab.cell.claims.recorder import NotMeasuredError, in_words
from lab.cell.targets.case import FILE, Case

#: So many names are shown that a module has.
_MOST_NAMES = 5

#: What to do with a module that does the work of a program when it is imported.
BELOW_GUARD = 'put what it does as a program below if __name__ == "__main__":'


class TargetError(NotMeasuredError):
    """The target itself cannot be measured: the message says what is wrong, and what to do."""

    def __init__(self, message: str, missing: str = "", elsewhere: bool = False) -> None:
        super().__init__(message)
        #: The package that was not found; empty where none is missing.
        self.missing = missing
        #: Whether it works here, and not in the environment that this one is compared with.
        self.elsewhere = elsewhere


def import_module(case: Case) -> Any:
    """The module of a case. Raises TargetError with the last line of the traceback, and with what was on the path."""
    folder, name = _place(case)
    _check_name(case, folder, name)
    try:
        if case.source == FILE and folder not in sys.path:
            sys.path.insert(1, folder)  # the first one is the lab's
        if case.source != FILE or "." in name:
            return importlib.import_module(name)
        return _from_file(_path(case), name)
    except BaseException as error:  # whatever the user's module raises while it is imported
        missing = missing_package(error)
        raise TargetError(_import_failed(case, error, missing), missing) from error


def _place(case: Case) -> tuple[str, str]:
    """The folder that a case's module is imported from, and the name of the module there.

    A file in a package is imported by its whole name, so that it can import its neighbours.
    """
    if case.source != FILE:
        return case.project or os.getcwd(), case.where
    folder, file = os.path.split(_path(case))
    stem = file[:-3] if file.endswith(".py") else file
    names = [] if stem == "__init__" else [stem]
    while stem.isidentifier() and os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        names.insert(0, package)
    return folder, ".".join(names) if len(names) > 1 or stem == "__init__" else stem


def _path(case: Case) -> str:
    """The whole path of a case's file, as the module has it. Where its project is known, the current folder is free."""
    return os.path.abspath(os.path.join(case.project, case.where))


def _check_name(case: Case, folder: str, name: str) -> None:
    """Raise TargetError where the user's module has a name that workers import something else by."""
    top = name.partition(".")[0]
    known: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset(sys.builtin_module_names))
    owner = "the lab" if top == "lab" else "Python's standard library" if top in known else ""
    files = [os.path.join(folder, top + ".py"), os.path.join(folder, top, "__init__.py")]
    if owner and any(os.path.exists(file) for file in files):
        raise TargetError(
            "%s has the name %s, by which workers import a module of %s; rename it" % (case.where, top, owner)
        )


def _from_file(path: str, name: str) -> Any:
    """A file as a module of its own name, so that what it defines can be pickled and found again in each worker."""
    import importlib.util

    if name in sys.modules and os.path.abspath(getattr(sys.modules[name], "__file__", None) or "") == path:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError("%s is not a Python file" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)  # nobody is to find half of it
        raise
    return module


def _import_failed(case: Case, error: BaseException, missing: str) -> str:
    if isinstance(error, TargetError):
        return str(error)
    message = "%s cannot be imported: %s" % (case.where, in_place(error))
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    package = name.partition(".")[0]
    if isinstance(error, PermissionError):
        return message + ". The cell's user (number %d) may not read it; allow it: chmod -R o+rX FOLDER" % os.getuid()
    if package == "lab":
        what = 'call lab.scale() below if __name__ == "__main__":, and import modules of the lab there'
        return "%s; a cell has only a part of the lab: %s" % (message, what)
    if missing:
        where = [path for path in sys.path if path and not path.endswith(".zip")]
        return message + ". %s was looked for in %s" % (missing, ", ".join(where) or "no folder")
    if package:
        return message + ". The package %s is in %s; name what it has" % (package, _home(sys.modules[package]))
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "%s; %s" % (message, BELOW_GUARD)
    if isinstance(error, SyntaxError):
        return message + "; repair it, or take a Python that knows its syntax: --python"
    return message + "; repair it, or name another"


def missing_package(error: BaseException) -> str:
    """The module that an import did not find; empty where none is missing, or where only a part of a package is."""
    name = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    return "" if name.partition(".")[0] in sys.modules else name


def _home(module: Any) -> str:
    """The folder or the file that a module was imported from."""
    folders = list(getattr(module, "__path__", ()))
    return ", ".join(folders) or getattr(module, "__file__", None) or "Python itself"


def attribute(module: Any, name: str) -> Any:
    """What a dotted name means in a module. Raises TargetError with the names that are nearest."""
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            import difflib

            names = [word for word, value in vars(found).items() if not word.startswith("_") and callable(value)]
            near = difflib.get_close_matches(part, names) or names[:_MOST_NAMES]
            hint = "; there is %s" % ", ".join(near) if near else "; name a function that it defines"
            raise TargetError("%s has no %s%s" % (getattr(found, "__name__", found), part, hint))
        found = getattr(found, part)
    return found


def in_place(error: BaseException) -> str:
    """An exception in one line, with the file and the line that raised it, if that was in code of the user's."""
    import traceback  # seldom needed, and slow to load

    others = ("<", code_path(), os.path.dirname(os.__file__))
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    if isinstance(error, SyntaxError) or not own:  # the words of a SyntaxError have them
        return in_words(error)
    return "%s (%s, line %s)" % (in_words(error), _from_here(own[-1].filename), own[-1].lineno)


def _from_here(path: str) -> str:
    """A path below the current folder as it is seen from there; any other one as it is."""
    try:
        file = os.path.relpath(path)
    except FileNotFoundError:  # the function has removed the current folder
        return path
    return path if file.startswith("..") else file


def code_path() -> str:
    """The zip file or the folder that the lab's own code was imported from."""
    path = os.path.abspath(__file__)
    for _ in range(4):  # lab/cell/targets/importing.py
        path = os.path.dirname(path)
    return path
