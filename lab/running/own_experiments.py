"""Experiments in files of the user's: what is wrong with one is told with its line, before anything runs."""

from __future__ import annotations

import ast
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of the names and files that a user wrote."""

    #: The names of experiments, with those of the files, in the order that they were written in.
    names: tuple[str, ...]
    #: The name of each experiment that stands in a file -> the path of the file.
    files: Mapping[str, str]
    #: A file that is no experiment -> what is wrong with it, and the next step.
    faults: Mapping[str, str]


def taken_in(words: Sequence[str]) -> Taken:
    """Take in the files among these names of experiments. A file that is wrong costs itself.

    Raises UsageError where nothing but files was named, and all are wrong.
    """
    files, names, faults = {}, [], {}
    for word in words:
        if "/" not in word and not word.endswith(".py"):
            names.append(word)
            continue
        try:
            name = take_in(Path(word))
        except UsageError as error:
            faults[word] = str(error)
            continue
        files[name] = str(Path(word).resolve())
        names.append(name)
    if faults and not names:
        raise UsageError("; ".join(faults.values()))
    return Taken(names=tuple(names), files=files, faults=faults)


def take_in(path: Path) -> str:
    """The name of the experiment in a file, which can be loaded by this name from now on.

    Raises UsageError, with the file and the line, for whatever is wrong with it.
    """
    shown = str(path)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{shown} cannot be read: {reason}", _other_name(path) or "write one with lab new NAME"
        ) from error
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


def _other_name(path: Path) -> str:
    """What to do where the file has underscores, as modules have, and was named with hyphens; empty otherwise."""
    other = path.with_name(path.name.replace("-", "_"))
    return f"its name is written with underscores: {path.parent / other.name}" if other.is_file() else ""


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
    """Raise UsageError for an experiment whose names or claims are wrong, with all that is wrong."""
    if not isinstance(experiment, Experiment):
        raise UsageError(f"{file}: EXPERIMENT is of type {type(experiment).__name__}", "make it an Experiment(...)")
    faults = [*_faults(experiment, name, source, file)]
    faults += [fault for claim in experiment.claims for fault in _faults_of(claim, name, source, file)]
    if faults:
        raise UsageError("\n".join(f"{what}; {fix}" for what, fix in faults))


#: What is wrong, with its place, and what to do next.
_Fault = tuple[str, str]


def _faults(experiment: Any, name: str, source: str, file: str) -> Iterator[_Fault]:
    """What is wrong with an experiment beside its claims."""
    if experiment.name != name:
        yield (
            f"{file}{_line(source, experiment.name)}: the experiment is called {experiment.name!r}, the file {name!r}",
            f"write name={name!r}, or rename the file",
        )
    if not callable(experiment.run):
        yield f"{file}: run is no function", "give run=run"
    if not experiment.claims:
        yield f"{file}: there is no claim", "add a Claim to claims=(...)"
    counts = Counter(str(claim.id) for claim in experiment.claims if isinstance(claim, Claim))
    for claim, count in counts.items():
        if count > 1:
            yield f"{file}{_line(source, claim)}: {count} claims are called {claim}", "give each another name"


def _faults_of(claim: Any, name: str, source: str, file: str) -> Iterator[_Fault]:
    """What is wrong with a claim."""
    if not isinstance(claim, Claim):
        yield f"{file}: a claim is of type {type(claim).__name__}", "end claims=(Claim(...),) with a comma"
        return
    place = f"{file}{_line(source, claim.id)}"
    prefix, dot, rest = str(claim.id).partition(".")
    if not dot or prefix != name or not _CLAIM.fullmatch(rest):
        yield (
            f"{place}: the claim is called {claim.id!r}",
            f"call it {name}.NAME, with lower-case letters, digits and -",
        )
    if not all(map(callable, (claim.judge, claim.expected))):
        yield (
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
    """The first argument of each call of ``observe`` and ``sample``; ``None`` for one that is not written out.

    A function of an imported module, such as ``random.sample``, observes nothing.
    """
    modules = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("observe", "sample")
            and not (isinstance(node.func.value, ast.Name) and node.func.value.id in modules)
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
