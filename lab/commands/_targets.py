"""The targets that ``lab check`` measures: found in a configuration, chosen by options, and made into requests."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.model.gates import Gate, Goal
    from lab.planning.document import Document
    from lab.planning.request import Request

#: The files that are looked for, and the keys above the configuration in them.
_FILES: Mapping[str, tuple[str, ...]] = {"multicore-lab.toml": (), "pyproject.toml": ("tool", "multicore-lab")}


def chosen_goals(options: argparse.Namespace) -> tuple[tuple[Goal, ...], Document]:
    """The targets that the options name, and the configuration that has them. Raises UsageError."""
    from lab.planning.configuration import goals_of
    from lab.planning.expected import nearest

    document = _document(options.config)
    goals = {goal.name: goal for goal in goals_of(document, schema())}
    for name in options.targets:
        if name not in goals:
            raise UsageError(
                f"{document.file} has no target {name!r}", nearest(name, goals) or f"its targets: {', '.join(goals)}"
            )
    chosen = [goal for goal in goals.values() if goal.name in (options.targets or goals)]
    expecting = [_with_expected(goal, options.expect, document) for goal in chosen]
    _check_expected(options.expect, expecting)
    return tuple(_with_base(goal, options, document) for goal in _compared(expecting, options)), document


def schema() -> Mapping[str, Any]:
    """The published schema of the configuration."""
    from importlib.resources import files

    text = files("lab").joinpath("schema/configuration.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def _document(named: Path | None) -> Document:
    """The configuration: the file that is named, or the nearest one here or above. Raises UsageError."""
    folders = [Path.cwd(), *Path.cwd().parents]
    for path in [named] if named else [folder / name for folder in folders for name in _FILES]:
        if path.is_file() and (document := _read(path)):
            return document
        if named and path.is_file():
            raise UsageError(f"{path} has no [tool.multicore-lab]", "write [tool.multicore-lab.targets.NAME] into it")
    looked = named or "multicore-lab.toml, or a [tool.multicore-lab] in pyproject.toml, here or in a folder above"
    raise UsageError(
        f"there is no configuration: {looked}",
        "write one: [tool.multicore-lab.targets.NAME] with scale, exec or run; see lab check --help",
    )


def _read(path: Path) -> Document | None:
    """The configuration in a file; ``None``: it has none. Raises UsageError where it cannot be read."""
    import tomllib

    from lab.planning.document import Document

    try:
        text = path.read_text("utf-8")
        content: Any = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}", "mend it, or name another with --config") from error
    above = _FILES.get(path.name, ())
    for key in above:
        content = content.get(key) if isinstance(content, dict) else None
    if content is None:
        return None
    return Document(file=path.name, text=text, above=above, content=content, folder=str(path.resolve().parent))


def _with_expected(goal: Goal, expected: Sequence[str], document: Document) -> Goal:
    """A target of experiments with a gate for each verdict of ``--expect``, in the place of its own for that claim.

    Raises UsageError for a claim that the target does not judge.
    """
    if goal.command != "run":
        return goal
    from lab.commands._options import claim_ids
    from lab.model.gates import Gate, Kind
    from lab.planning.expected import check_planned, parse_expected
    from lab.planning.request import chosen_experiments

    claims, run = claim_ids(), goal.settings["run"]
    planned = chosen_experiments([run] if isinstance(run, str) else run)
    for gate in goal.gates:
        try:
            check_planned(parse_expected([f"{gate.claim}={gate.verdict}"], claims), claims, planned)
        except UsageError as error:
            path = ("targets", goal.name, "expect", gate.claim)
            raise document.error(path, error.what.removeprefix("--expect "), error.fix) from error
    named = parse_expected(expected, claims)
    of_this = {claim for name in planned for claim in claims[name]}
    more = [
        Gate(kind=Kind.VERDICT, claim=claim, verdict=verdict)
        for claim, verdict in named.items()
        if claim.partition("@")[0] in of_this
    ]
    return replace(goal, gates=(*(gate for gate in goal.gates if gate.claim not in named), *more))


def _check_expected(expected: Sequence[str], goals: Sequence[Goal]) -> None:
    """Raise UsageError for an expectation that no target judges."""
    judged = {gate.claim for goal in goals for gate in goal.gates}
    for text in expected:
        if text.partition("=")[0].strip() not in judged:
            raise UsageError(f"--expect {text}: no target runs this experiment", "name it in a target: run = [...]")


def _compared(goals: Sequence[Goal], options: argparse.Namespace) -> Sequence[Goal]:
    """The same targets. Raises UsageError where ``--against`` or ``--base`` has nothing to do, or both are given."""
    from lab.model.gates import Kind

    if options.against and options.base:
        raise UsageError("--against and --base contradict each other", "leave one of them out")
    if (options.against or options.base) and all(
        gate.kind is not Kind.REGRESSION for goal in goals for gate in goal.gates
    ):
        word = "--against" if options.against else "--base"
        raise UsageError(f"{word} is for regressions, and no gate is one", 'add a gate: regression = {max = "5%"}')
    return goals


def _with_base(goal: Goal, options: argparse.Namespace, document: Document) -> Goal:
    """A target whose regressions know what they are compared with.

    Raises UsageError where nobody has said it, unless ``--output`` keeps the sessions: then they become a base.
    """
    from lab.model.gates import Kind

    gates = [
        _placed(gate, goal.name, options, document) if gate.kind is Kind.REGRESSION else gate for gate in goal.gates
    ]
    return replace(goal, gates=tuple(gates))


def _placed(gate: Gate, name: str, options: argparse.Namespace, document: Document) -> Gate:
    """A regression with what it is compared with."""
    if options.against:
        beside = Path(options.against)  # a folder is named from here, and not from the folder of the configuration
        return replace(gate, against=str(beside.absolute()) if beside.exists() else options.against, base="")
    if options.base:
        return replace(gate, base=str(options.base.absolute() / name), against="")
    if gate.base:
        folder = Path(document.folder) / gate.base
        own = folder / name
        base = own if own.is_dir() else folder
        return replace(gate, base=str(base) if _has_session(base) or not options.output else "")
    if not gate.against and not options.output:
        raise UsageError(
            f"{document.file}:{gate.line}: the regression of {name} has nothing to compare with",
            "give --against REVISION or --base DIR, or write against or base into the gate; with --output the"
            " sessions are kept as a base",
        )
    return gate


def _has_session(folder: Path) -> bool:
    """Whether a folder is a session, or has one."""
    from lab.sessions import loading

    try:
        loading.find_session(folder)
    except UsageError:
        return False
    return True


class _Words(argparse.ArgumentParser):
    """A parser of words that a configuration has made."""

    def error(self, message: str) -> Any:
        """Raise UsageError."""
        raise UsageError(message, f"see {self.prog} --help")


def request_of(goal: Goal, more: Sequence[str], document: Document) -> Request:
    """The request of a target: the same that its command line makes, with more options. Raises UsageError."""
    module = importlib.import_module(f"lab.commands.{goal.command}")
    parser = _Words(prog=f"lab {goal.command}")
    module.configure(parser)
    words = [*goal.words]
    behind = words.index("--")
    try:
        request: Request = module.new_request(parser.parse_args([*words[:behind], *more, *words[behind:]]))
    except UsageError as error:
        raise document.error(("targets", goal.name), error.what, error.fix) from error
    return request
