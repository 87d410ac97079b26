"""Targets: the user's own code, as the command line names it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.cell.targets import naming
from lab.cell.targets.case import BOTH, OWN, SHARED, STATEMENT, Case, from_stored
from lab.errors import UsageError

#: Who may work on the argument that a setup has made.
STATES = (SHARED, OWN, BOTH)

_FORMS = f"{naming.FORMS}, or -s SETUP STATEMENT"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to measure, before its cases are known."""

    #: The target, without its parameters.
    case: Case
    #: The name of a parameter -> the values that it takes in turn.
    params: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    #: The folder on the user's machine that is importable in the cells.
    project: str
    #: Another folder that the target is imported from in turn; empty: none.
    other: str = ""
    #: The SHA-256 of the file that the target is in; empty where it is in no file of the project.
    code: str = ""

    def to_stored(self) -> dict[str, Any]:
        """The target as the manifest keeps it."""
        return {
            "case": self.case.to_stored(),
            "params": dict(self.params),
            "project": self.project,
            "other": self.other,
            "code": self.code,
        }


def target_from_stored(stored: Mapping[str, Any]) -> Target:
    """The target that :meth:`Target.to_stored` has written."""
    return Target(
        case=from_stored(stored["case"]),
        params=stored["params"],
        project=stored["project"],
        other=stored.get("other", ""),
        code=stored.get("code", ""),
    )


def check_combined(case: Case, params: Mapping[str, Sequence[Any]]) -> None:
    """Raise UsageError for what would change nothing: parameters of a statement, or own state that nothing makes."""
    if case.source == STATEMENT and params:
        raise UsageError("--param gives arguments to a function, and a statement takes none", "write the value into it")
    if case.source != STATEMENT and case.state == OWN and (case.items or not case.setup):
        why = "--items gives each call an item" if case.items else "there is no --setup, so there is no argument"
        raise UsageError(f"--state own gives each worker an argument of its own, but {why}", "leave it out")


def parse_chunks(text: str) -> list[int]:
    """Chunk sizes, from ``1,10,100``. Raises UsageError for what is no whole number above 0."""
    chunks = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")] if text else []
    if not all(chunks):
        raise UsageError(f"--chunk {text!r} is not a list of sizes", "give whole numbers above 0, such as --chunk 1,10")
    return chunks


def parse_target(words: Sequence[str], setup: str, state: str, *, is_statement: bool) -> Case:
    """The case that the words of a command line name. Raises UsageError where they name none."""
    if is_statement:
        statement = "\n".join(words)
        return Case(label=_shown(statement), source=STATEMENT, where=statement, setup=setup, state=state)
    if len(words) != 1:
        raise UsageError(f"there are {len(words)} targets: {' '.join(words)}", _FORMS)
    try:
        return naming.parse_target(words[0], setup, state)
    except naming.WrongNameError as error:
        raise UsageError(error.what, _FORMS) from error


def _shown(statement: str) -> str:
    """A statement as the name of a row: its first line."""
    first, *more = statement.splitlines() or [""]
    return first + (" …" if more else "")


def parse_params(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each parameter, from ``n=1000,10000``. Raises UsageError for what is no literal of Python."""
    try:
        return naming.parse_params(texts, "--param ")
    except naming.WrongNameError as error:
        raise UsageError(error.what, error.fix) from error
