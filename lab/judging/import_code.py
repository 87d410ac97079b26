"""Imports in code to paste: of the user's functions, from modules and from files. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

#: What the code calls its own things. What is imported has none of these names.
RESERVED = frozenset(
    (
        *(
            "argument",
            "benchmark",
            "cache",
            "call",
            "collected",
            "context",
            "function",
            "item",
            "items",
            "module",
            "own",
        ),
        *("pool", "prepared", "results", "run", "statement"),
        *("asyncio", "functools", "importlib", "multiprocessing", "sys", "threading"),
    )
)


class Imports:
    """The imports that the code begins with. They are found from the folder of the project."""

    def __init__(self, homes: Mapping[str, str], folder: str = "") -> None:
        """``homes`` has the name of the module that a file is imported as, by the path of the file.

        ``folder`` has the packages of the project; empty: the project itself.
        """
        self._homes = homes
        self._names: dict[tuple[str, str], str] = {}
        #: The lines so far, in order.
        self.lines: list[str] = [f'sys.path.append("{folder}")'] if folder else []

    def module(self, where: str) -> str:
        """Import a module, or a file as one. Returns its name in the code."""
        home = self._home(where)
        return self._once(home, "", "module", _line(home, "", "module"))

    def name(self, where: str, name: str, alias: str = "") -> str:
        """Import what has a dotted name in a module or a file. Returns the expression for it: ``alias``, if given."""
        home = self._home(where)
        first, _, rest = name.partition(".")
        if alias and not rest:
            return self._once(home, first, alias, _line(home, first, alias))
        usual = first
        while usual in RESERVED or usual in (name for key, name in self._names.items() if key != (home, first)):
            usual += "_"
        expression = self._once(home, first, usual, _line(home, first, usual)) + (f".{rest}" if rest else "")
        if not alias:
            return expression
        self.lines.append(f"{alias} = {expression}")
        return alias

    def _once(self, home: str, first: str, name: str, line: str) -> str:
        """The name of what this line imports, which is the one of an earlier line that imports the same."""
        if (home, first) not in self._names:
            self._names[home, first] = name
            self.lines.append(line)
        return self._names[home, first]

    def _home(self, where: str) -> str:
        """The module that a file is imported as, once the folder of the module is on the path."""
        if not where.endswith(".py"):
            return where
        path = posixpath.normpath(where)
        stem = posixpath.dirname(path) if posixpath.basename(path) == "__init__.py" else path.removesuffix(".py")
        is_outside = posixpath.isabs(stem) or stem.startswith("../")
        usual = posixpath.basename(stem) if is_outside else stem.replace("/", ".")
        home = self._homes.get(where, usual)
        folder = stem
        for _ in home.split("."):
            folder = posixpath.dirname(folder)
        line = f'sys.path.append("{folder}")'
        if folder and line not in self.lines:
            self.lines.append(line)
        return home


def _line(home: str, first: str, name: str) -> str:
    """The line that imports a name of a module, or, without one, the module itself."""
    if not all(part.isidentifier() for part in home.split(".")):
        whole = f'importlib.import_module("{home}")'
        return f"{name} = {whole}.{first}" if first else f"{name} = {whole}"
    what = f"from {home} import {first}" if first else f"import {home}"
    return what if name == first else f"{what} as {name}"
