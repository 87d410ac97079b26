"""The interpreters of this machine, for the local engine: looked for in the usual places, and each asked what it is.

Not with the library python-discovery: of pyenv's versions it finds the active ones only, and it asks one at a time, up
to 15 s each, running ``site`` and whatever that starts.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import answers
from lab.answers import Answer
from lab.builds import Build, proven
from lab.errors import EngineError
from lab.worker.question import SOURCE

#: Longest wait for an interpreter's answer; one takes 10 to 100 ms.
_SECONDS = 10.0
_AT_A_TIME = 8
_NAME = re.compile(r"(python|pypy)(\d(\.\d+)?t?)?")


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """One Python of this machine: where it is, the kind of place that it was found in, and what it says of itself."""

    path: str
    place: str
    answer: Answer

    @property
    def build(self) -> Build:
        return self.answer.build


def find(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> tuple[Interpreter, ...]:
    """Every interpreter in the usual places, each once, in the order in which they are preferred.

    The places, in this order: the active virtual environment (``VIRTUAL_ENV``) and the ``.venv`` of ``folder`` (the
    current one), each folder of ``PATH``, pyenv's versions, uv's, and the lab's own Python, unless an ``environment``
    is given. What does not answer as a Python is left out. A virtual environment stands for the Python that it was made
    from, which is what a cell runs: it has the standard library only.
    """
    where = os.environ if environment is None else environment
    own = [("the lab's own", sys.executable)] if environment is None else []
    places = list(_once([*_candidates(where, Path.cwd() if folder is None else folder), *own]))
    with ThreadPoolExecutor(_AT_A_TIME) as several:
        answers = list(several.map(ask, [path for _, path in places]))
    found: dict[str, tuple[int, Interpreter]] = {}
    order = list(dict.fromkeys(_preferred(*one) for one in places))
    for one, answer in zip(places, answers, strict=True):
        if answer:
            interpreter = Interpreter(path=answer.executable, place=one[0], answer=answer)
            found.setdefault(answer.executable, (order.index(_preferred(*one)), interpreter))
    ranked = sorted(found.values(), key=lambda one: (one[0], one[1].build, one[1].answer.newest_first, one[1].path))
    return tuple(interpreter for _, interpreter in ranked)


def _preferred(place: str, path: str) -> tuple[str, str]:
    """What is preferred as one: a place, but each folder of ``PATH``, where the first one counts."""
    return place, str(Path(path).parent) if place == "PATH" else ""


def interpreter_of(build: Build, found: Sequence[Interpreter] | None = None) -> Interpreter:
    """The interpreter that runs a build: the one at its path, or the first of :func:`find` (in the same place the
    newest release).

    Raises EngineError when there is none, with what there is and how to get it, or when it cannot run a cell;
    UsageError when it has not the options of the build.
    """
    if build.path is not None:
        return _at(build, build.path)
    there = find() if found is None else found
    alike = [one for one in there if one.build.name == build.name]
    usable = next((one for one in alike if not one.answer.problem), None)
    if usable:
        return usable
    if alike:
        raise EngineError(
            f"{build.name} at {alike[0].path} cannot run a cell: {alike[0].answer.problem}; name another build"
        )
    names = ", ".join(usable_builds(there)) or "none"
    raise EngineError(
        f"there is no Python {build.name} on this machine; there are: {names}. Get it with uv python install"
        f" {build.name}{'' if build.implementation == 'pypy' else f' or pyenv install {build.name}'}, name the path of"
        f" one with --python, or run it in a container: lab images build {build.name}"
    )


def usable_builds(found: Iterable[Interpreter]) -> tuple[str, ...]:
    """The names of the builds that these interpreters can run: what ``--python all`` stands for here."""
    return tuple(str(build) for build in sorted({one.build for one in found if not one.answer.problem}))


def ask(path: str) -> Answer | None:
    """What a program says to :data:`lab.worker.question.SOURCE`; ``None`` when it does not answer as a Python does.

    Whatever it is, it gets a few seconds, no input, and cannot break the lab.
    """
    try:
        with subprocess.Popen(
            [path, "-I", "-S", "-c", SOURCE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return answers.read(process.communicate(timeout=_SECONDS)[0])
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
                return None
    except (OSError, ValueError):
        return None


def _at(build: Build, path: str) -> Interpreter:
    file = Path(path).expanduser()
    if not file.exists():
        raise EngineError(f"there is nothing at {path}; name an interpreter that is there, or a build such as 3.13")
    answer = ask(str(file.absolute()))
    if answer is None:
        raise EngineError(f"{path} did not answer as a Python does (within {_SECONDS:g} s); name a Python 3.9 or later")
    if answer.problem:
        raise EngineError(f"{path} cannot run a cell: {answer.problem}; name another one")
    proven(build, answer.build)
    return Interpreter(path=str(file.absolute()), place="path", answer=answer)


def _candidates(environment: Mapping[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    """(place, path) of everything that may be an interpreter, by its name alone."""
    home = Path(environment.get("HOME") or Path.home())
    venvs = [Path(environment["VIRTUAL_ENV"])] if environment.get("VIRTUAL_ENV") else []
    for venv in (*venvs, folder / ".venv"):
        yield from _pythons("virtual environment", venv / "bin")
    for part in environment.get("PATH", "").split(os.pathsep):
        if part:
            yield from _pythons("PATH", Path(part))
    pyenv = Path(environment.get("PYENV_ROOT") or home / ".pyenv")
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    uv = Path(environment.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    for place, versions in (("pyenv", pyenv / "versions"), ("uv", uv)):
        for one in _inside(versions):
            yield from _pythons(place, one / "bin")


def _once(places: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What leads to the same file is asked once; but a file of another name (a version manager's shim) goes by the
    name that it is called by."""
    seen = set()
    for place, path in places:
        real = Path(path).resolve()
        key = real if _NAME.fullmatch(real.name) else Path(path)
        if key not in seen:
            seen.add(key)
            yield place, path


def _pythons(place: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The programs with an interpreter's name in a folder."""
    for file in _inside(folder):
        if _NAME.fullmatch(file.name) and os.access(file, os.X_OK) and file.is_file():
            yield place, str(file)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
