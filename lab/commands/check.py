"""``lab check``: measure the targets of a configuration, and say which gates are met."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError
from lab.messages import ended, kept, show, show_document, tell

if TYPE_CHECKING:
    from lab.judging.gates import Sessions
    from lab.model.gates import Goal, Result
    from lab.planning.configuration import Document
    from lab.planning.request import Request
    from lab.running.measurement import Kept, Start

HELP = "measure the targets of your pyproject.toml, and say which of their gates are met"
EXAMPLE = """\
examples:
  lab check                      every target of [tool.multicore-lab]
  lab check parse suite          two of them
  lab check --against main       beside a revision of git, in the same run
  lab check --output base        keep the sessions, as a base for later
  lab check --base base          compare with these sessions
  lab check --format summary     Markdown for a pull request
  lab check --plan               what would be measured, and which gates

A target in pyproject.toml:
  [tool.multicore-lab.targets.parse]
  scale = "work.py:parse"
  gates.speedup = {at = 2, executor = "threads", min = 1.7}

exit codes: 0 no gate failed; 1 a gate failed; 2 the configuration is wrong;
  3 a cell or the engine failed; 130 interrupted"""

#: The files that are looked for, and the keys above the configuration in them.
_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("multicore-lab.toml", ()),
    ("pyproject.toml", ("tool", "multicore-lab")),
)
#: The file with the results in the folder of ``--output``.
NAME = "check.json"
_FORMATS = ("screen", "summary", "json", "junit")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="the names of targets (default: all)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: multicore-lab.toml or pyproject.toml, here or above"
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="OTHER",
        help="what regressions are measured against: a revision of git, a folder, a virtual environment, an image",
    )
    parser.add_argument(
        "--base", type=Path, metavar="DIR", help="what regressions are compared with: the --output of an earlier check"
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="CLAIM=VERDICT",
        help="the verdict that is right for a claim of the targets that run experiments; repeat it for several",
    )
    parser.add_argument("--strict", action="store_true", help="an inconclusive gate is a failure too")
    parser.add_argument("--plan", action="store_true", help="print the targets, their commands and gates; run nothing")
    parser.add_argument("--format", choices=_FORMATS, default="screen", help="what to print (default: screen)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="keep each target's sessions in DIR/TARGET, and the results in DIR/check.json",
    )


def run(options: argparse.Namespace) -> int:
    """Read the configuration, measure each target, print what came of its gates; return the exit code."""
    goals, folder = _goals(options)
    if options.output:
        options.output = options.output.absolute()
    with contextlib.chdir(folder):  # what a target names begins there
        return _run(options, goals)


def _run(options: argparse.Namespace, goals: Sequence[Goal]) -> int:
    """Measure each target, print what came of its gates; return the exit code."""
    if options.plan:
        _print_plan(goals)
        return 0
    import shutil

    from lab.interrupts import stopping
    from lab.judging.gates import judge
    from lab.reports import gates as report
    from lab.running.checking import Check, bases_of, measured

    check = Check(
        request=_request,
        start=lambda name: _start(options, name),
        prepare=lambda: None,
    )
    for goal in goals:
        _request(goal, ())  # what is wrong with a later target is said before the first one is measured
    bases = bases_of(goals)
    results: list[Result] = []
    sessions: dict[str, Sessions] = {}
    places: list[Kept] = []
    with stopping() as stop:
        for number, goal in enumerate(goals, 1):
            tell(f"target {number} of {len(goals)}: {goal.name}")
            sessions[goal.name], where = measured(goal, check, bases, stop)
            places += where
            results += judge(goal, sessions[goal.name])
            if any(session.interrupted for session in sessions[goal.name].all):
                break
        with kept("; ".join(place.words for place in places)):
            text = report.render(options.format, goals, results, sessions, shutil.get_terminal_size((80, 24)).columns)
            show(text, end="") if options.format == "screen" else show_document(text)
        for place in places:
            tell(place.words)
        if options.output:
            _keep(options.output / NAME, report.render("json", goals, results, sessions))
        return _ended(results, sessions, places, strict=options.strict)


def _keep(path: Path, text: str) -> None:
    """Write the results beside the sessions. Raises StoreError."""
    from lab.errors import StoreError
    from lab.sessions.files import replace_file

    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "give another folder to --output") from error


def _ended(results: Sequence[Result], sessions: Mapping[str, Sessions], places: Sequence[Kept], *, strict: bool) -> int:
    """Say why the exit code is not 0. Returns the exit code."""
    from lab.judging.exit_code import exit_code, exit_reason
    from lab.judging.gates import exit_reason as gates_reason
    from lab.model.fail_on import FailOn, FailurePolicy

    policy = FailurePolicy(FailOn.NEVER)
    reasons: dict[int, str] = {}
    for name, each in sessions.items():
        for session in each.all:
            reasons.setdefault(exit_code(session, policy), f"{name}: {exit_reason(session, policy)}")
    if failure := next((place.failure for place in places if place.failure), None):
        reasons.setdefault(3, failure)
    if reason := gates_reason(results, strict=strict):
        reasons[1] = reason
    code = next((code for code in (130, 3, 1) if code in reasons), 0)
    return ended(code, reasons.get(code, ""))


def _goals(options: argparse.Namespace) -> tuple[tuple[Goal, ...], Path]:
    """The targets that the options name, and the folder of the configuration. Raises UsageError."""
    from lab.planning.configuration import goals_of
    from lab.planning.expected import nearest

    document = _document(options.config)
    goals = goals_of(document, schema())
    known = [goal.name for goal in goals]
    for name in options.targets:
        if name not in known:
            raise UsageError(
                f"{document.file} has no target {name!r}", nearest(name, known) or f"its targets: {', '.join(known)}"
            )
    chosen = tuple(goal for goal in goals if goal.name in (options.targets or known))
    chosen = tuple(_with_expected(goal, options.expect) for goal in chosen)
    _check_expected(options.expect, chosen)
    return tuple(_with_base(goal, options, document) for goal in chosen), Path(document.folder)


def schema() -> Mapping[str, Any]:
    """The published schema of the configuration."""
    from importlib.resources import files

    text = files("lab").joinpath("schema/configuration.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def _document(named: Path | None) -> Document:
    """The configuration: the file that is named, or the nearest one here or above. Raises UsageError."""
    import tomllib

    from lab.planning.configuration import Document

    folders = [Path.cwd(), *Path.cwd().parents]
    places = [named] if named else [folder / name for folder in folders for name, _ in _FILES]
    for path in places:
        if not path.is_file():
            continue
        try:
            text = path.read_text("utf-8")
            content: Any = tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} cannot be read as TOML: {error}", "mend it, or name another with --config"
            ) from error
        above = ("tool", "multicore-lab") if path.name == "pyproject.toml" else ()
        for key in above:
            content = content.get(key) if isinstance(content, dict) else None
        if content is not None:
            return Document(file=path.name, text=text, above=above, content=content, folder=str(path.resolve().parent))
    looked = named or "multicore-lab.toml, or a [tool.multicore-lab] in pyproject.toml, here or in a folder above"
    raise UsageError(
        f"there is no configuration: {looked}",
        "write one: [tool.multicore-lab.targets.NAME] with scale, exec or run; see lab check --help",
    )


def _with_expected(goal: Goal, expected: Sequence[str]) -> Goal:
    """A target of experiments with a gate for each verdict of ``--expect``, in the place of its own for that claim."""
    from lab.commands._options import claim_ids
    from lab.model.gates import Gate, Kind
    from lab.planning.expected import parse_expected

    if goal.command != "run":
        return goal
    claims = claim_ids()
    written = [f"{gate.claim}={gate.verdict}" for gate in goal.gates]
    parse_expected(written, claims)
    named = parse_expected(expected, claims)
    chosen = _experiments(goal)
    more = [
        Gate(kind=Kind.VERDICT, claim=claim, verdict=verdict)
        for claim, verdict in named.items()
        if any(claim.partition("@")[0] in claims[name] for name in chosen)
    ]
    kept_gates = [gate for gate in goal.gates if gate.claim not in named]
    return replace(goal, gates=(*kept_gates, *more))


def _experiments(goal: Goal) -> Sequence[str]:
    from lab.planning.request import chosen_experiments

    run_ = goal.settings["run"]
    return chosen_experiments([run_] if isinstance(run_, str) else run_)


def _check_expected(expected: Sequence[str], goals: Sequence[Goal]) -> None:
    """Raise UsageError for an expectation that no target judges."""
    judged = {gate.claim for goal in goals for gate in goal.gates}
    for text in expected:
        if text.partition("=")[0].strip() not in judged:
            raise UsageError(f"--expect {text}: no target runs this experiment", "name it in a target: run = [...]")


def _with_base(goal: Goal, options: argparse.Namespace, document: Document) -> Goal:
    """A target whose regressions know what they are compared with. Raises UsageError where nobody has said it."""
    from lab.model.gates import Kind

    if options.against and options.base:
        raise UsageError("--against and --base contradict each other", "leave one of them out")
    gates = []
    for gate in goal.gates:
        if gate.kind is Kind.REGRESSION:
            if options.against:
                gate = replace(gate, against=options.against, base="")
            elif options.base:
                gate = replace(gate, base=str(options.base.absolute() / goal.name), against="")
            elif gate.base:
                gate = replace(gate, base=str(Path(document.folder) / gate.base))
            elif not gate.against:
                raise UsageError(
                    f"{document.file}:{gate.line}: the regression of {goal.name} has nothing to compare with",
                    "give --against REVISION or --base DIR, or write against or base into the gate",
                )
        gates.append(gate)
    return replace(goal, gates=tuple(gates))


class _Words(argparse.ArgumentParser):
    """A parser of words that a configuration has made."""

    def error(self, message: str) -> Any:
        """Raise UsageError."""
        raise UsageError(f"[targets]: {message}", "see lab scale --help, lab exec --help or lab run --help")


def _request(goal: Goal, more: Sequence[str]) -> Request:
    """The request of a target: the same that its command line makes. Raises UsageError."""
    import importlib

    module = importlib.import_module(f"lab.commands.{goal.command}")
    parser = _Words(prog=f"lab {goal.command}")
    module.configure(parser)
    words = [*goal.words]
    behind = words.index("--")
    try:
        request: Request = module.new_request(parser.parse_args([*words[:behind], *more, *words[behind:]]))
    except UsageError as error:
        raise UsageError(f"the target {goal.name}: {error.what}", error.fix) from error
    return request


def _start(options: argparse.Namespace, name: str) -> Start:
    from lab.running.measurement import NewRun
    from lab.sessions.folder import default_folder, new_session_id

    began = time.time()
    parent = options.output / name if options.output else default_folder()
    return NewRun(session_id=new_session_id(began), began=began, parent=parent, origin={})


def _print_plan(goals: Sequence[Goal]) -> None:
    """Print what would be measured."""
    import shlex

    from lab.judging.gates import bound_words

    for goal in goals:
        show(f"{goal.name}: lab {goal.command} {' '.join(map(shlex.quote, goal.words))}")
        for gate in goal.gates:
            what = gate.claim or " ".join(filter(None, (gate.kind.value, gate.executor)))
            beside = gate.against or gate.base
            show(f"  {what}: {bound_words(gate)}{f', against {beside}' if beside else ''} (line {gate.line})")
