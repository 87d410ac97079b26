"""Builds as the user names them: ``3.9``, ``3.13t``, ``3.13t+gil``, ``3.14+cpu_count=3``, ``pypy3.10``, a path.

    BUILD   = PYTHON {"+" OPTION}
    PYTHON  = VERSION ["t"] | "pypy" VERSION | a path with a "/" in it
    OPTION  = "gil" | "nogil" | "cpu_count=" N

The options become ``-X`` arguments of the interpreter. Their environment variables cannot be used: the worker runs
isolated (``-I``), which makes Python ignore every ``PYTHON…`` variable.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.cell.worker.implementations import IMPLEMENTATIONS
from lab.errors import UsageError

#: The oldest Python that a cell runs on.
OLDEST = (3, 9)
#: The first version with ``-X cpu_count``, ``PYTHON_CPU_COUNT``, and a free-threaded build.
_FIRST_WITH_OPTIONS = (3, 13)
#: What ``all`` stands for where an engine makes images, in addition to the images that exist. The local engine takes
#: the interpreters that it finds.
ALL = ("3.9", "3.11", "3.13", "3.13t", "3.14", "3.15")

_MOST_CPUS = 2**31 - 1  # a C int
_VERSION = re.compile(r"(pypy)?(\d+)\.(\d+)(t?)")
#: A name that is no path. After a comma in a path, such a name ends the path.
_NO_PATH = re.compile(rf"\s*(all|{_VERSION.pattern}(\+[^/]*)?)\s*")
_BEGINS_A_PATH = re.compile(r"\s*(/|~|\.\.?/)")
#: The implementations whose versions have names. The user names an interpreter of another implementation by its path.
_WITH_NAMES = ("cpython", "pypy")
_EXAMPLES = "3.9, 3.13t, 3.13t+gil, 3.14+cpu_count=3, pypy3.10 or /path/to/python"


@functools.total_ordering
@dataclass(frozen=True, kw_only=True, eq=True)
class Build:
    """One Python to run cells on.

    Builds are ordered by version, then with a GIL before free-threaded, then without options first; paths come last.
    """

    #: (major, minor); ``None``: only the path is known, and the interpreter has to be asked.
    version: tuple[int, int] | None
    #: Whether it is a free-threaded build.
    free_threaded: bool = False
    #: What the implementation calls itself, in lower case.
    implementation: str = "cpython"
    #: The path of the interpreter; ``None``: it is named by its version.
    path: str | None = None
    #: The option ``+gil`` (true) or ``+nogil`` (false); ``None``: not given.
    gil: bool | None = None
    #: The option ``+cpu_count=N``; ``None``: not given.
    cpu_count: int | None = None

    @property
    def name(self) -> str:
        """The Python without its options, as the user writes it: ``3.13t``. Images have this name.

        An implementation that the user cannot name (see ``has_name``) gets a name of the same form: ``graalpy3.11``.
        """
        if self.path is not None:
            return self.path
        assert self.version
        kind = "" if self.implementation == "cpython" else self.implementation
        return f"{kind}{'{}.{}'.format(*self.version)}{'t' if self.free_threaded else ''}"

    @property
    def has_name(self) -> bool:
        """Whether the user can name it without its path."""
        return self.implementation in _WITH_NAMES

    @property
    def label(self) -> str:
        """The build as the user writes it, in the one canonical order of options."""
        gil = "" if self.gil is None else "+gil" if self.gil else "+nogil"
        return f"{self.name}{gil}{'' if self.cpu_count is None else f'+cpu_count={self.cpu_count}'}"

    @property
    def key(self) -> str:
        """See :func:`key`."""
        return key(self.label)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The interpreter's first arguments: ``-X gil=1``, ``-X cpu_count=3``."""
        return tuple(word for name, value in self._settings() for word in ("-X", f"{name}={value}"))

    def _settings(self) -> Iterator[tuple[str, int]]:
        if self.gil is not None:
            yield "gil", int(self.gil)
        if self.cpu_count is not None:
            yield "cpu_count", self.cpu_count

    def __str__(self) -> str:
        return self.label

    def __lt__(self, build: object) -> bool:
        if not isinstance(build, Build):
            return NotImplemented
        return self._order() < build._order()

    def _order(self) -> tuple[Any, ...]:
        return (
            self.path or "",
            self.implementation,
            self.version or (0, 0),
            self.free_threaded,
            (self.gil is not None, self.gil or False),
            self.cpu_count or 0,
        )


def key(label: str) -> str:
    """A build's label with only letters, digits, dots, ``-`` and ``_``, for ids, files and containers."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.")


def parse_builds(values: Iterable[str], everything: Iterable[str] = ALL) -> tuple[Build, ...]:
    """The builds that were asked for, in their order; ``all`` stands for ``everything``. Raises UsageError.

    A value may name several builds, separated by commas. The same build twice is refused: it would be measured twice
    under one name. ``all`` adds only builds that were not named.
    """
    wanted = [name for value in values for name in split_names(value)]
    chosen: list[Build] = []
    for text in wanted:
        if text != "all":
            build = parse_build(text)
            if build in chosen:
                raise UsageError(f"build {text}: {build.label} is named twice; name each build once")
            chosen.append(build)
    if wanted.count("all") > 1:
        raise UsageError("build all is named twice; name it once")
    if "all" in wanted:
        chosen += [build for build in sorted({parse_build(text) for text in everything}) if build not in chosen]
    keys: dict[str, str] = {}
    for build in chosen:
        if keys.setdefault(build.key, build.label) != build.label:
            raise UsageError(
                f"build {build.label} and {keys[build.key]} cannot be told apart as {build.key}; name one of them"
            )
    return tuple(chosen)


def split_names(value: str) -> list[str]:
    """The names of builds in one value, separated by commas.

    A path may contain commas. The text after a comma belongs to the path, unless it begins like a path (``/``, ``./``,
    ``../`` or ``~``), or is a whole version or ``all``.
    """
    names: list[str] = []
    for piece in value.split(","):
        if names and "/" in names[-1] and not (_BEGINS_A_PATH.match(piece) or _NO_PATH.fullmatch(piece)):
            names[-1] += f",{piece}"
        else:
            names.append(piece)
    return [name.strip() for name in names]


def parse_build(text: str) -> Build:
    """The build that this text names. Raises UsageError with what is allowed."""
    python, *options = _split(text)
    build = _python(text, python)
    given: dict[str, Any] = {}
    for option in options:
        name, value = _option(text, option)
        if name in given:
            raise UsageError(f"build {text}: {name} is set twice; set it once")
        given[name] = value
    _check_options(text, build, given)
    return replace(build, **given)


def build_from_python(python: Mapping[str, Any]) -> Build:
    """The build that a Python says it is, in a cell's start record: version, kind and ``-X`` options."""
    options = python.get("options") or {}
    gil, cpu_count = options.get("gil"), str(options.get("cpu_count"))
    major, minor = python["version"][:2]
    return Build(
        version=(major, minor),
        free_threaded=bool(python["free_threaded"]),
        implementation=str(python["implementation"]).lower(),
        gil=None if gil is None else gil == "1",
        cpu_count=int(cpu_count) if cpu_count.isdecimal() else None,
    )


def proven_build(asked: Build, answer: Build) -> Build:
    """The build that was asked for, with the version and the kind that its interpreter answered.

    Raises UsageError where the interpreter does not have the options that were asked for.
    """
    build = replace(
        asked, version=answer.version, free_threaded=answer.free_threaded, implementation=answer.implementation
    )
    _check_options(asked.label, build, dict(asked._settings()))
    return build


def _split(text: str) -> list[str]:
    """The Python and its options. In a path, options are found only in the last part: ``g++/bin/python`` is a path."""
    if "/" not in text:
        return text.split("+")
    folder, slash, last = text.rpartition("/")
    name, *options = last.split("+")
    return [f"{folder}{slash}{name}", *options]


def _python(text: str, python: str) -> Build:
    if "/" in python:
        if python.endswith("/"):
            raise UsageError(f"build {text}: that is a folder; name the interpreter in it, such as {python}python3")
        return Build(version=None, path=python)
    match = _VERSION.fullmatch(python)
    if not match:
        hint = "give its first two numbers, as in 3.13" if re.fullmatch(r"\d+(\.\d+\.\d+\w*)?t?", python) else ""
        what = f"there is no build {python!r}" if python else "that names no build"
        raise UsageError(f"build {text}: {what}; {hint or f'give {_EXAMPLES}'}")
    pypy, version, threads = bool(match[1]), (int(match[2]), int(match[3])), bool(match[4])
    if version < OLDEST:
        raise UsageError(f"build {text}: Python {version[0]}.{version[1]} is too old; a cell needs 3.9 or later")
    if version[0] > 3:
        raise UsageError(f"build {text}: there is no Python {version[0]}; give {_EXAMPLES}")
    if threads and pypy:
        raise UsageError(f"build {text}: PyPy has no free-threaded build; leave out the t")
    if threads and version < _FIRST_WITH_OPTIONS:
        raise UsageError(f"build {text}: the first free-threaded build is 3.13t; name that one or a later one")
    return Build(version=version, free_threaded=threads, implementation="pypy" if pypy else "cpython")


def _option(text: str, option: str) -> tuple[str, bool | int]:
    if option in ("gil", "nogil"):
        return "gil", option == "gil"
    name, equals, value = option.partition("=")
    if name == "cpu_count" and equals:
        if not re.fullmatch(r"[0-9]{1,10}", value) or not 1 <= int(value) <= _MOST_CPUS:
            raise UsageError(f"build {text}: cpu_count is {value!r}; give a whole number from 1, as in cpu_count=3")
        return name, int(value)
    raise UsageError(f"build {text}: there is no option {option!r}; there are gil, nogil and cpu_count=N")


def _check_options(text: str, build: Build, given: dict[str, Any]) -> None:
    """Refuse options that this Python does not have. The options of a path are checked when its Python has answered."""
    if given and build.implementation != "cpython":
        kind = IMPLEMENTATIONS.get(build.implementation, build.implementation)
        raise UsageError(f"build {text}: {kind} has none of these options; leave them out")
    if build.version is None:
        return
    if "gil" in given and not build.free_threaded:
        number = "{}.{}".format(*build.version)
        first = number if build.version >= _FIRST_WITH_OPTIONS else "3.13"
        raise UsageError(
            f"build {text}: only a free-threaded build can switch its GIL; did you mean {first}t+gil? ({number}"
            " always has one)"
        )
    if "cpu_count" in given and build.version < _FIRST_WITH_OPTIONS:
        raise UsageError(f"build {text}: cpu_count came with Python 3.13; name that one or a later one")
