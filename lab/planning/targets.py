"""Targets: the user's own code, as the command line names it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lab.cell.targets import naming
from lab.cell.targets.case import STATEMENT, Case, from_stored
from lab.errors import UsageError

Value = TypeVar("Value")

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
    """Raise UsageError for what would change nothing, such as own state that nothing makes, or sizes without items.

    Raise it also for values of parameters that would not arrive in a cell as they are.
    """
    if case.source == STATEMENT and params:
        raise UsageError("--param gives arguments to a function, and a statement takes none", "write the value into it")
    _named(naming.check_values, params, "--param ")
    _named(naming.check_state, case, "--state ")
    _named(naming.check_chunks, case, "--chunk ")


def _named(read: Callable[[Any, str], Value], given: object, option: str) -> Value:
    """What a function reads from what the user has given. Raises UsageError for a wrong name."""
    try:
        return read(given, option)
    except naming.WrongNameError as error:
        raise UsageError(error.what, error.fix) from error


def parse_chunks(text: str) -> list[int]:
    """Chunk sizes, from ``1,10,100``. Raises UsageError for what is no whole number above 0."""
    return _named(naming.parse_chunks, text, "--chunk ")


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
    return _named(naming.parse_params, texts, "--param ")
