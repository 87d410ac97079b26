"""The interpreters of this machine, for the local engine: looked for in the usual places, and each asked what it is.

The library python-discovery is not used: it finds only the active versions of pyenv, and it asks one interpreter after
the other. Each may take up to 15 s, because it runs ``site`` and everything that ``site`` starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from lab.errors import CellError, EngineError, UsageError
from lab.model.build import OLDEST, Build, proven_build
from lab.pythons.identity import Answer
from lab.pythons.programs import NAME, Broken, ask

_AT_A_TIME = 8
_MOST_TOLD = 3


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
        """Why no version that a user names, nor ``all``, stands for it; ``None`` when one does."""
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
        return tuple(str(build) for build in sorted({one.build for one in self.interpreters if not one.problem}))

    def has(self, broken: Broken) -> bool:
        """Whether another place has a build that this one is called."""
        return bool(broken.builds & {one.build for one in self.interpreters})

    @property
    def left_out(self) -> tuple[str, ...]:
        """What ``--python all`` does not stand for though it is here, and why: a phrase for each reason."""
        usable = self.usable_builds
        reasons: dict[str, dict[str, None]] = {}
        for one in sorted(self.interpreters, key=lambda one: one.build):
            if one.problem and one.build.name not in usable:
                why = "too old" if (one.build.version or OLDEST) < OLDEST else one.problem
                reasons.setdefault(why, {})[one.build.name] = None
        broken = [str(one) for one in self.broken if not self.has(one)]
        return (*(f"{', '.join(names)} ({why})" for why, names in reasons.items()), *_first(broken))


def find_interpreters(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Discovery:
    """Every interpreter in the usual places, each once, in the order in which they are preferred.

    The places, in this order:

    - the active virtual environment (``VIRTUAL_ENV``) and the ``.venv`` of ``folder`` (the current folder);
    - each folder of ``PATH``;
    - the versions of pyenv and of uv;
    - the lab's own Python, unless an ``environment`` is given.

    A program that does not answer as a Python is kept apart. A virtual environment stands for the Python that it was
    made from: a cell runs that Python, with the standard library only.
    """
    where = os.environ if environment is None else environment
    own = [("the lab's own", sys.executable)] if environment is None else []
    places = list(_once([*_candidates(where, Path.cwd() if folder is None else folder), *own]))
    with ThreadPoolExecutor(_AT_A_TIME) as several:
        answers = list(several.map(ask, [path for _, path in places]))
    found: dict[str, tuple[int, Interpreter]] = {}
    broken = []
    order = list(dict.fromkeys(_preferred(*one) for one in places))
    for one, answer in zip(places, answers, strict=True):
        if isinstance(answer, Answer):
            interpreter = Interpreter(path=answer.executable, place=one[0], answer=answer)
            found.setdefault(answer.executable, (order.index(_preferred(*one)), interpreter))
        else:
            broken.append(answer)
    ranked = sorted(found.values(), key=lambda one: (one[0], one[1].build, one[1].answer.newest_first, one[1].path))
    there = Discovery(interpreters=tuple(interpreter for _, interpreter in ranked))
    # Of shims there are dozens: one of a version that another place has is not missed.
    return replace(there, broken=tuple(one for one in broken if one.ran or not there.has(one)))


def _preferred(place: str, path: str) -> tuple[str, str]:
    """What is preferred as one: a place, but each folder of ``PATH``, where the first one counts."""
    return place, str(Path(path).parent) if place == "PATH" else ""


def interpreter_of(build: Build, found: Discovery | None = None) -> Interpreter:
    """The interpreter that runs a build: the program at its path, or the first that :func:`find_interpreters` finds.

    In one place the newest release is preferred. Raises EngineError when there is no such interpreter, with the builds
    that there are and how to get this one. Raises CellError when it hangs, crashes or cannot run a cell, which costs
    only the cells of its build. Raises UsageError when it does not have the options of the build.
    """
    if build.path is not None:
        return _at(build, build.path)
    there = find_interpreters() if found is None else found
    alike = [one for one in there.interpreters if one.build.name == build.name]
    usable = next((one for one in alike if not one.problem), None)
    if usable:
        return usable
    if alike:
        raise CellError(f"{build.name} at {alike[0].path} cannot run a cell: {alike[0].problem}; name another build")
    names = ", ".join(there.usable_builds) or "none"
    mine = [one for one in there.broken if build.name in {other.name for other in one.builds}]
    tried = "; ".join(_first([str(one) for one in (*mine, *(one for one in there.broken if not one.builds))]))
    kind = CellError if any(one.ran for one in mine) else EngineError
    raise kind(
        f"there is no Python {build.name} on this machine{f' ({tried})' if tried else ''}; there are:"
        f" {names}. Get it with uv python install"
        f" {build.name}{'' if build.implementation == 'pypy' else f' or pyenv install {build.name}'}, name the path of"
        f" one with --python, or run it in a container: lab images build {build.name}"
    )


def located(path: str) -> Path:
    """A path that the user wrote, from the root on. Raises UsageError where the home that it begins with is unknown."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        home = path.partition("/")[0]
        raise UsageError(f"--python {path}: no home folder of {home} is known here; write the whole path") from error


def _first(texts: Sequence[str]) -> tuple[str, ...]:
    """The first of these, and how many more there are: of shims there may be dozens."""
    more = len(texts) - _MOST_TOLD
    return (*texts[:_MOST_TOLD], f"and {more} more, see lab doctor") if more > 0 else tuple(texts)


def _at(build: Build, path: str) -> Interpreter:
    file = located(path)
    if not os.access(file, os.F_OK):
        raise EngineError(f"there is nothing at {path}; name an interpreter that is there, or a build such as 3.13")
    answer = ask(str(file))
    if isinstance(answer, Broken):
        kind = CellError if answer.ran else EngineError
        raise kind(f"{path} {answer.reason}; name a Python 3.9 or later")
    if answer.problem:
        raise CellError(f"{path} cannot run a cell: {answer.problem}; name another one")
    proven_build(build, answer.build)
    return Interpreter(path=str(file), place="path", answer=answer)


def _candidates(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """(place, path) of everything that may be an interpreter, by its name alone."""
    home = _home(environment)
    venvs = [Path(environment["VIRTUAL_ENV"])] if environment.get("VIRTUAL_ENV") else []
    for venv in (*venvs, folder / ".venv"):
        yield from _pythons("virtual environment", venv / "bin")
    for part in environment.get("PATH", "").split(os.pathsep):
        if part:
            yield from _pythons("PATH", Path(part))
    pyenv = _folder(environment, "PYENV_ROOT", home, ".pyenv")
    data = _folder(environment, "XDG_DATA_HOME", home, ".local/share")
    uv = _folder(environment, "UV_PYTHON_INSTALL_DIR", data, "uv/python")
    for place, versions in (("pyenv", pyenv and pyenv / "versions"), ("uv", uv)):
        for one in _inside(versions) if versions else ():
            yield from _pythons(place, one / "bin")


def _home(environment: Mapping[str, str]) -> Path | None:
    """The home folder; ``None`` for a user, such as the arbitrary one of a container, who has none."""
    try:
        return Path(environment.get("HOME") or Path.home())
    except RuntimeError:
        return None


def _folder(environment: Mapping[str, str], variable: str, parent: Path | None, usual: str) -> Path | None:
    """The folder that a variable names, else the usual one in its parent, where there is a parent."""
    named = environment.get(variable)
    return Path(named) if named else parent / usual if parent else None


def _once(places: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What leads to the same file is asked once; but a file of another name (a version manager's shim) goes by the
    name that it is called by."""
    seen = set()
    for place, path in places:
        real = Path(path).resolve()
        key = real if NAME.fullmatch(real.name) else Path(path)
        if key not in seen:
            seen.add(key)
            yield place, path


def _pythons(place: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The programs with an interpreter's name in a folder."""
    for file in _inside(folder):
        if NAME.fullmatch(file.name) and os.access(file, os.X_OK) and file.is_file():
            yield place, str(file)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
