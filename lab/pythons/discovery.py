"""The interpreters of this machine, for the local engine. Each one in the usual places is asked what it is.

The library python-discovery is not used. It finds only the active versions of pyenv, and it asks one interpreter after
another. Each may take up to 15 s, because it runs ``site`` and everything that ``site`` starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.errors import CellError, EngineError, UsageError
from lab.interrupts import in_threads
from lab.model.build import OLDEST, Build, proven_build
from lab.pythons.identity import Answer
from lab.pythons.programs import NAME, Broken, ask

#: How many programs are asked at a time.
_AT_A_TIME = 8
#: How many broken programs a message names.
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """One Python of this machine."""

    #: The path of the program.
    path: str
    #: The kind of place in which it was found, such as ``PATH``.
    place: str
    #: What the program said it is.
    answer: Answer

    @property
    def build(self) -> Build:
        return self.answer.build

    @property
    def problem(self) -> str | None:
        """Why neither a version nor ``all`` stands for this interpreter; ``None`` when they do."""
        return self.answer.problem or (None if self.build.has_name else "--python knows it by its path only")


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """The Pythons of this machine."""

    #: The interpreters, the preferred ones first.
    interpreters: tuple[Interpreter, ...] = ()
    #: The programs that have the name of a Python and do not answer as one.
    broken: tuple[Broken, ...] = ()

    @property
    def usable_builds(self) -> tuple[str, ...]:
        """The names of the builds that can be run: what ``--python all`` stands for here."""
        usable = {python.build for python in self.interpreters if not python.problem}
        return tuple(str(build) for build in sorted(usable))

    def has(self, broken: Broken) -> bool:
        """Whether one of the interpreters is a build that the name of this broken program stands for."""
        return bool(broken.builds & {python.build for python in self.interpreters})

    @property
    def left_out(self) -> tuple[str, ...]:
        """The Pythons that are here and that ``--python all`` does not stand for: a phrase for each reason."""
        usable = self.usable_builds
        reasons: dict[str, dict[str, None]] = {}
        for python in sorted(self.interpreters, key=lambda python: python.build):
            if python.problem and python.build.name not in usable:
                reason = "too old" if (python.build.version or OLDEST) < OLDEST else python.problem
                reasons.setdefault(reason, {})[python.build.name] = None
        broken = [str(program) for program in self.broken if not self.has(program)]
        return (*(f"{', '.join(names)} ({reason})" for reason, names in reasons.items()), *_first(broken))


def find_interpreters(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Discovery:
    """Find every interpreter in the usual places, each once, the preferred interpreters first.

    The places, in this order:

    - the active virtual environment (``VIRTUAL_ENV``) and the ``.venv`` of ``folder`` (the current folder);
    - each folder of ``PATH``;
    - the versions of pyenv and of uv;
    - the lab's own Python, unless an ``environment`` is given.

    Programs that do not answer as a Python are listed apart. A virtual environment stands for the Python that it was
    made from. A cell runs that Python, with the standard library only.
    """
    variables = os.environ if environment is None else environment
    own = [("the lab's own", sys.executable)] if environment is None else []
    places = list(_once([*_candidates(variables, Path.cwd() if folder is None else folder), *own]))
    answers = in_threads(ask, [path for _, path in places], _AT_A_TIME)
    interpreters: dict[str, Interpreter] = {}
    ranks: dict[str, int] = {}
    broken = []
    order = list(dict.fromkeys(_group(place, path) for place, path in places))
    for (place, path), answer in zip(places, answers, strict=True):
        if isinstance(answer, Broken):
            broken.append(answer)
        elif answer.executable not in interpreters:
            interpreters[answer.executable] = Interpreter(path=answer.executable, place=place, answer=answer)
            ranks[answer.executable] = order.index(_group(place, path))
    ranked = sorted(
        interpreters.values(),
        key=lambda python: (ranks[python.path], python.build, python.answer.best_first, python.path),
    )
    discovery = Discovery(interpreters=tuple(ranked))
    # A version manager has dozens of shims. A shim that does not run is left out if another place has its version.
    return replace(discovery, broken=tuple(program for program in broken if program.ran or not discovery.has(program)))


def likely_builds() -> tuple[str, ...]:
    """The builds that the names of programs and folders promise. No program is asked, so this takes milliseconds."""
    builds: set[Build] = set()
    for place, path in _candidates(os.environ, Path.cwd()):
        # pyenv has a shim for every version that it knows, also for those that are not active.
        if place != "PATH" or Path(path).parent.name != "shims":
            builds |= Broken(path=path, reason="").builds
    return tuple(str(build) for build in sorted(builds) if (build.version or OLDEST) >= OLDEST)


def _group(place: str, path: str) -> tuple[str, str]:
    """The group in which the newest release is preferred: a place, or one folder of ``PATH``."""
    return place, str(Path(path).parent) if place == "PATH" else ""


def interpreter_of(build: Build, discovery: Discovery | None = None) -> Interpreter:
    """The interpreter that runs a build: the program at its path, or the first that :func:`find_interpreters` finds.

    In one place the newest release is preferred. Raises EngineError when there is no such interpreter, with the builds
    that there are and how to get this one. Raises CellError when it hangs, crashes or cannot run a cell, which costs
    only the cells of its build. Raises UsageError when it does not have the options of the build.
    """
    if build.path is not None:
        return _at(build, build.path)
    if discovery is None:
        discovery = find_interpreters()
    interpreters = [python for python in discovery.interpreters if python.build.name == build.name]
    usable = next((python for python in interpreters if not python.problem), None)
    if usable:
        return usable
    if interpreters:
        first = interpreters[0]
        raise CellError(f"{build.name} at {first.path} cannot run a cell: {first.problem}", "name another build")
    raise _missing(build, discovery)


def _missing(build: Build, discovery: Discovery) -> EngineError:
    """The error for a build without an interpreter: which builds there are, and how to get this one.

    It is a CellError if a program with the name of the build can be started, but does not answer.
    """
    names = ", ".join(discovery.usable_builds) or "none"
    namesakes = [program for program in discovery.broken if build.name in {named.name for named in program.builds}]
    nameless = [program for program in discovery.broken if not program.builds]
    programs = "; ".join(_first([str(program) for program in (*namesakes, *nameless)]))
    kind = CellError if any(program.ran for program in namesakes) else EngineError
    pyenv = "" if build.implementation == "pypy" else f" or pyenv install {build.name}"
    return kind(
        f"there is no Python {build.name} on this machine{f' ({programs})' if programs else ''}; there are: {names}",
        f"get it with uv python install {build.name}{pyenv}, name the path of its interpreter with --python, or run it"
        f" in a container: lab images build {build.name}",
    )


def located(path: str) -> Path:
    """The absolute form of a path that the user wrote. Raises UsageError if it begins with an unknown home folder."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        home = path.partition("/")[0]
        raise UsageError(f"--python {path}: no home folder of {home} is known here", "write the whole path") from error


def _first(texts: Sequence[str]) -> tuple[str, ...]:
    """The first texts, and how many more there are. There may be dozens, because of shims."""
    more = len(texts) - _MOST_NAMED
    return (*texts[:_MOST_NAMED], f"and {more} more, see lab doctor") if more > 0 else tuple(texts)


def _at(build: Build, path: str) -> Interpreter:
    file = located(path)
    if not os.access(file, os.F_OK):
        raise EngineError(f"there is nothing at {path}", "name an interpreter that exists, or a build such as 3.13")
    answer = ask(str(file))
    if isinstance(answer, Broken):
        kind = CellError if answer.ran else EngineError
        raise kind(f"{path} {answer.reason}", "name a Python 3.9 or later")
    if answer.problem:
        raise CellError(f"{path} cannot run a cell: {answer.problem}", "name another interpreter")
    proven_build(build, answer.build)
    return Interpreter(path=str(file), place="path", answer=answer)


def _candidates(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """(place, path) of each program that has the name of an interpreter."""
    home = _home(environment)
    venvs = [Path(environment["VIRTUAL_ENV"])] if environment.get("VIRTUAL_ENV") else []
    for venv in (*venvs, folder / ".venv"):
        yield from _pythons("virtual environment", venv / "bin")
    for entry in environment.get("PATH", "").split(os.pathsep):
        if entry:
            yield from _pythons("PATH", Path(entry))
    pyenv = _folder(environment, "PYENV_ROOT", home, ".pyenv")
    data = _folder(environment, "XDG_DATA_HOME", home, ".local/share")
    uv = _folder(environment, "UV_PYTHON_INSTALL_DIR", data, "uv/python")
    for place, versions in (("pyenv", pyenv and pyenv / "versions"), ("uv", uv)):
        for version in _inside(versions) if versions else ():
            yield from _pythons(place, version / "bin")


def _home(environment: Mapping[str, str]) -> Path | None:
    """The home folder; ``None`` for a user who has none, such as an arbitrary user id in a container."""
    try:
        return Path(environment.get("HOME") or Path.home())
    except RuntimeError:
        return None


def _folder(environment: Mapping[str, str], variable: str, parent: Path | None, default: str) -> Path | None:
    """The folder that a variable names, else the default folder in its parent, if there is a parent."""
    path = environment.get(variable)
    return Path(path) if path else parent / default if parent else None


def _once(places: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The places without repetitions: several paths that lead to the same file are asked once.

    If that file does not have the name of a Python, each path is asked. It may be the shim of a version manager, which
    acts by the name that it is called by.
    """
    files = set()
    for place, path in places:
        target = Path(path).resolve()
        file = target if NAME.fullmatch(target.name) else Path(path)
        if file not in files:
            files.add(file)
            yield place, path


def _pythons(place: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The programs in a folder that have the name of an interpreter."""
    for file in _inside(folder):
        if NAME.fullmatch(file.name) and os.access(file, os.X_OK) and file.is_file():
            yield place, str(file)


def _inside(folder: Path) -> list[Path]:
    """What a folder contains; nothing if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
