"""``lab check``: measure the targets of a configuration, and say which gates are met."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _targets
from lab.errors import LabError
from lab.messages import columns, ended, kept, show, show_document, tell

if TYPE_CHECKING:
    from lab.judging.gates import Sessions
    from lab.model.gates import Goal, Result
    from lab.model.session import Session
    from lab.planning.document import Document
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

exit codes: 0 no gate failed; 1 a gate failed; 2 the configuration is wrong, or
  a function cannot be measured; 3 a cell or the engine failed; 130 interrupted"""

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
    goals, document = _targets.chosen_goals(options)
    if options.output:
        options.output = options.output.absolute()
    with contextlib.chdir(document.folder):  # what a target names begins there
        for goal in goals:  # what is wrong with a later target is said before the first one is measured
            for more in _versions(goal):
                _targets.request_of(goal, more, document)
        if options.plan:
            _print_plan(goals)
            return 0
        return _checked(options, goals, document)


def _versions(goal: Goal) -> list[tuple[str, ...]]:
    """The options of each measurement of a target: of it alone, and beside each other version."""
    others = dict.fromkeys(gate.against for gate in goal.gates if gate.against)
    return [(), *((f"--against={other}",) for other in others)]


def _checked(options: argparse.Namespace, goals: Sequence[Goal], document: Document) -> int:
    """Measure each target, print what came of its gates; return the exit code."""
    from lab.interrupts import stopping
    from lab.judging.gates import judge
    from lab.planning.configuration import RESULTS
    from lab.reports import gates as report
    from lab.running.checking import Check, bases_of, measured

    bases = bases_of(goals)
    results: list[Result] = []
    sessions: dict[str, Sessions] = {}
    places: list[Kept] = []
    trouble: LabError | None = None
    with stopping() as stop:
        check = Check(
            request=lambda goal, more: _targets.request_of(goal, more, document),
            start=lambda name: _start(options, name),
            kept=places.append,
            stop=stop,
        )
        for number, goal in enumerate(goals, 1):
            tell(f"target {number} of {len(goals)}: {goal.name}")
            try:
                sessions[goal.name] = measured(goal, check, bases)
            except LabError as error:
                trouble = error  # what there is already is reported first
                break
            results += judge(goal, sessions[goal.name])
            if any(session.interrupted for session in sessions[goal.name].all):
                break
        width = columns()
        with kept("; ".join(place.words for place in places)):
            if sessions:
                text = report.render(options.format, goals, results, sessions, width)
                show(text, end="") if options.format == "screen" else show_document(text)
        for place in places:
            tell(place.words)
        if options.output and sessions:
            _keep(options.output / RESULTS, report.render("json", goals, results, sessions))
        if trouble:
            raise trouble
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
            code = exit_code(session, policy)
            if code != 2 or (session is each.plain and _has_broken(session)):
                reasons.setdefault(code, f"{name}: {exit_reason(session, policy)}")
    if failure := next((place.failure for place in places if place.failure), None):
        reasons.setdefault(3, failure)
    if reason := gates_reason(results, strict=strict):
        reasons[1] = reason
    code = next((code for code in (130, 3, 1, 2) if code in reasons), 0)
    return ended(code, reasons.get(code, ""))


def _has_broken(session: Session) -> bool:
    """Whether a function cannot be measured, and not only because a Python does not have it."""
    from lab.cell.targets.case import is_lacking

    return not all(map(is_lacking, session.arguments.get("left_out", {}).values()))


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
