"""Experiments in files of the user's: what is wrong with one is told with its line, before anything runs."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.cell import experiments
from lab.cell.claims.claim import Claim, Evidence, Experiment, Facts
from lab.cell.claims.recorder import in_words
from lab.errors import Interrupted, UsageError

#: What an experiment can be called.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: What a claim can be called, after the name of its experiment.
_CLAIM = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def taken_in(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names of experiments that a user wrote, with those of files taken in, and the path of each such file.

    Raises UsageError for a file that is no experiment.
    """
    files = {}
    names = []
    for word in words:
        if "/" not in word and not word.endswith(".py"):
            names.append(word)
            continue
        name = take_in(Path(word))
        files[name] = str(Path(word).resolve())
        names.append(name)
    return names, files


def take_in(path: Path) -> str:
    """The name of the experiment in a file, which can be loaded by this name from now on.

    Raises UsageError, with the file and the line, for whatever is wrong with it.
    """
    shown = str(path)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{shown} cannot be read: {reason}", "write one with lab new NAME") from error
    name = path.stem.replace("_", "-")
    check_name(name, shown)
    other = experiments.files().get(name)
    if other not in (None, str(path.resolve())):
        raise UsageError(f"{shown} and {other} have the same name", "run them one after the other, or rename one")
    _check_syntax(source, shown)
    experiments.take_in(name, str(path.resolve()))
    try:
        _check(_loaded(name, path, shown), name, source, shown)
    except UsageError:
        experiments.let_go(name)
        raise
    return name


def check_name(name: str, file: str) -> None:
    """Raise UsageError for a name that no experiment can have, or that one of the lab's own has."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{file}: {name!r} is no name of an experiment", "take lower-case letters, digits and hyphens")
    if experiments.is_built_in(name):
        raise UsageError(f"{file}: {name} is an experiment of the lab", "take another name")


def _check_syntax(source: str, file: str) -> None:
    try:
        ast.parse(source, file)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise UsageError(f"{file}:{error.lineno}: {error.msg}: {line}", "repair this line") from error


def _loaded(name: str, path: Path, file: str) -> Experiment:
    try:
        return experiments.load(name)
    except AttributeError as error:
        if "EXPERIMENT" not in str(error):
            raise _failed(error, path, file) from error
        raise UsageError(f"{file} has no EXPERIMENT", "lab new NAME writes a file that has one") from error
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's file raises while it is imported
        raise _failed(error, path, file) from error


def _failed(error: BaseException, path: Path, file: str) -> UsageError:
    """What a file raised while it was imported, with the line."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path.resolve())]
    line = f":{frames[-1].lineno}" if frames else ""
    hint = "repair that line"
    if isinstance(error, ModuleNotFoundError):
        hint = "an experiment may import the standard library and lab.cell, and nothing else"
    return UsageError(f"{file}{line}: it raised {in_words(error)}", hint)


def _check(experiment: Experiment, name: str, source: str, file: str) -> None:
    """Raise UsageError for an experiment whose names or claims are wrong."""
    if not isinstance(experiment, Experiment):
        raise UsageError(f"{file}: EXPERIMENT is of type {type(experiment).__name__}", "make it an Experiment(...)")
    if experiment.name != name:
        raise UsageError(
            f"{file}{_line(source, experiment.name)}: the experiment is called {experiment.name!r}, the file {name!r}",
            f"write name={name!r}, or rename the file",
        )
    if not callable(experiment.run):
        raise UsageError(f"{file}: run is no function", "give run=run")
    if not experiment.claims:
        raise UsageError(f"{file}: there is no claim", "add a Claim to claims=(...)")
    seen: set[str] = set()
    for claim in experiment.claims:
        _check_claim(claim, name, source, file)
        if claim.id in seen:
            raise UsageError(f"{file}{_line(source, claim.id)}: two claims are called {claim.id}", "rename one of them")
        seen.add(claim.id)


def _check_claim(claim: Any, name: str, source: str, file: str) -> None:
    if not isinstance(claim, Claim):
        raise UsageError(f"{file}: a claim is of type {type(claim).__name__}", "end claims=(Claim(...),) with a comma")
    place = f"{file}{_line(source, claim.id)}"
    prefix, dot, rest = str(claim.id).partition(".")
    if not dot or prefix != name or not _CLAIM.fullmatch(rest):
        raise UsageError(
            f"{place}: the claim is called {claim.id!r}", f"call it {name}.NAME, with lower-case letters, digits and -"
        )
    if not callable(claim.judge) or not callable(claim.expected):
        raise UsageError(
            f"{place}: {claim.id} has no function that judges it, or that says what is expected",
            'such as holds("counted", "it was", "it was not") and always(CONFIRMED)',
        )


def _line(source: str, text: str) -> str:
    """Where a text stands in the source, as ``:12``; empty where it does not stand there as it is."""
    for number, line in enumerate(source.splitlines(), 1):
        if repr(text) in line or f'"{text}"' in line:
            return f":{number}"
    return ""


def never_observed(name: str, path: str) -> dict[str, str]:
    """The claims of an experiment that look for a name which its file never observes -> what is wrong.

    Only names that the file writes out are known. A file that makes names up while it runs is not judged.
    """
    source = Path(path).read_text(encoding="utf-8")
    written = set(_observed(ast.parse(source)))
    if None in written:
        return {}
    wrong = {}
    for claim in experiments.load(name).claims:
        missing = [looked for looked in _looked_for(claim.judge) if looked not in written]
        if missing:
            names = ", ".join(sorted(filter(None, written))) or "nothing"
            wrong[claim.id] = f"{path}{_line(source, missing[0])}: looked for {missing[0]!r}; observed: {names}"
    return wrong


def _observed(tree: ast.AST) -> Iterator[str | None]:
    """The first argument of each call of ``observe`` and ``sample``; ``None`` for one that is not written out."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("observe", "sample")
            and node.args
        ):
            first = node.args[0]
            yield first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


class _Asked(Evidence):
    """Evidence of nothing, which remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__((), ())
        self.names: list[str] = []

    def all(self, name: str) -> list[Any]:
        self.names.append(name)
        return []

    def rounds(self, name: str) -> list[Any]:
        self.names.append(name)
        return []


def _looked_for(judge: Callable[[Evidence, Facts], object]) -> list[str]:
    """The names that a predicate looks up, as far as it comes without any evidence."""
    asked = _Asked()
    try:
        judge(asked, Facts((3, 13), True, 2, 2.0, 2))
    except Exception:  # whatever the user's predicate does without evidence
        return asked.names
    return asked.names


def take_in_again(arguments: Mapping[str, Any]) -> None:
    """Take in the files of a stored session. Raises UsageError where one is gone, or is no experiment any more."""
    for name, path in (arguments.get("own") or {}).items():
        if not experiments.is_known(name):
            take_in(Path(path))
