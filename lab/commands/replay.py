"""``lab replay``: run a stored session again, with the same plan, image, seed and arguments, here or elsewhere."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.commands import _options, _requests
from lab.errors import UsageError
from lab.interrupts import stopping
from lab.messages import columns, ended, kept, show, tell
from lab.model.machine import builds_of

if TYPE_CHECKING:
    from lab.judging.differences import Difference
    from lab.judging.repetition import Both, Repetition
    from lab.model.cell import Cell
    from lab.model.machine import Machine
    from lab.model.session import Session
    from lab.planning.request import Request

HELP = "repeat a stored session and show, verdict by verdict, what is the same and what differs"
EXAMPLE = """\
examples:
  lab replay                the newest session again
  lab replay DIR            another session, for example from another machine
  lab replay DIR --engine docker --image IMAGE

The repetition is stored as a session of its own.

exit codes: 0 no verdict differs; 1 a decisive verdict differs (--strict: or is
  decisive in one session only); 2 not a session; 3 a cell or the engine failed;
  130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("session", nargs="?", type=Path, metavar="SESSION", help="a folder (default: the newest)")
    parser.add_argument("--engine", choices=("docker", "local", "slurm"), help="another engine than it had")
    parser.add_argument("--image", help="another image than it had (docker)")
    _options.add_label_option(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the repetition in a folder below DIR")
    parser.add_argument(
        "--strict", action="store_true", help="a verdict that is decisive in one session only is a failure too"
    )
    _options.add_yes_option(parser)


def run(options: argparse.Namespace) -> int:
    """Read the session, run it again, compare, print; return the exit code."""
    from lab.judging import differences, repetition
    from lab.judging.exit_code import exit_code, exit_reason
    from lab.planning.request import from_arguments
    from lab.running import measurement, own_experiments
    from lab.running.stored_request import check_other_version, with_same_images
    from lab.sessions import loading
    from lab.sessions.folder import default_folder, new_session_id
    from lab.text import table

    folder = loading.find_session(options.session or default_folder())
    then, manifest = loading.load_session(folder), loading.manifest(folder)
    arguments = _arguments(options, folder, manifest)
    with loading.making_sense_of(folder):
        _options.confirm_code(arguments, folder, yes=options.yes)
        if not (options.engine or options.image):
            arguments = with_same_images(arguments, then.machine)
        own_experiments.take_in_again(arguments)
        request = from_arguments(arguments)
    check_other_version(request)
    tell(f"replaying {then.id}: {_content(request)}, engine {request.engine}, seed {request.seed}")

    def same_cells(machine: Machine) -> tuple[Cell, ...]:
        facts_then, facts_now = differences.machine_facts(then.machine), differences.machine_facts(machine)
        planned = loading.planned(manifest)
        if facts_then.get("CPUs") != facts_now.get("CPUs") or then.machine.cpus != machine.cpus:
            tell("this machine has other CPUs: its cells are planned again, from the same arguments")
        elif not {cell.build for cell in planned if cell.build} <= {*builds_of(machine)}:
            tell("these Pythons are other builds: their cells are planned again, from the same arguments")
        else:
            return planned
        return request.cells(machine)

    began = time.time()
    start = measurement.NewRun(
        session_id=new_session_id(began),
        began=began,
        parent=options.output or default_folder(),
        choose_cells=same_cells,
        origin={"replay_of": then.id},
    )
    with stopping() as stop:
        now, where = measurement.measure(request, start, stop, lambda: None)
        tell(where.words)
        repeated = repetition.repeated(then, now)
        changed = differences.session_differences(then, now)
        lines = [f"{now.id} repeats {then.id}", *_machines(changed), *_verdicts(repeated)]
        advised = _advice(then, now)
        lines += advised
        with kept(where.words):
            show("\n".join(table.fit_sentence(line, columns()) for line in lines))
        code = 130 if stop.requested else exit_code(now)
        if code in (130, 3):
            return ended(code, exit_reason(now))
        if where.failure:
            return ended(3, where.failure)
        unlike = len(repeated.changed) + len(advised) + (len(repeated.undecided) if options.strict else 0)
        what = f"verdict{'s' * (unlike > 1)}{' or advice' if advised else ''}"
        return ended(int(unlike > 0), f"{unlike} {what} of {then.id} did not come again")


def _arguments(options: argparse.Namespace, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the stored session, with the engine and the image that the command line names, if any.

    Raises UsageError.
    """
    from lab.running.stored_request import stored_arguments
    from lab.sessions import resuming

    stored = stored_arguments(manifest)
    resuming.check_whole(stored, folder)
    if stored["engine"] not in ("docker", "local", "slurm"):
        raise UsageError(f"a session of the engine {stored['engine']!r} cannot be repeated; lab run can")
    arguments = {**stored, "label": _requests.label_of(options)}
    if options.engine:
        arguments |= {"engine": options.engine, "image": None}
        if options.engine != stored["engine"]:  # where the other engine ran it says nothing of this one
            arguments = {name: value for name, value in arguments.items() if name not in ("host", "allocation")}
    if options.image and arguments.get("python"):
        raise UsageError(
            f"--image {options.image}: this session names its builds ({', '.join(arguments['python'])}), each with its"
            " own image; leave it out, or run it with lab run --image"
        )
    if options.image:
        arguments["image"] = options.image
    return arguments


def _content(request: Request) -> str:
    from lab.cell.experiments import shown

    return ", ".join(shown(name) for name in request.experiments)


def _advice(then: Session, now: Session) -> list[str]:
    """The advice that is another one now, for functions and cells where both sessions could decide."""
    from lab.judging.advice import all_advice

    before = {(each.case.label, each.cell): each.option for each in all_advice(then)}
    lines = []
    for each in all_advice(now):
        option = before.get((each.case.label, each.cell))
        if option and each.option and option.name != each.option.name:
            lines.append(f"advice for {each.case.label} at {each.cell}: {option.name} then, {each.option.name} now")
    return lines


def _machines(differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return ["machine, image and code: the same"]
    return [
        "what differs:",
        *(f"- {difference.what}: {difference.base} then, {difference.new} now" for difference in differences),
    ]


def _verdicts(repetition: Repetition) -> list[str]:
    from lab.judging.repetition import counted

    same, changed, undecided = repetition.same, repetition.changed, repetition.undecided
    total = len(same) + len(changed) + len(undecided)
    lines = [f"verdicts: {len(same)} of {total} the same ({counted(same) or 'none'})"]
    for title, pairs in (("other verdicts", changed), ("decided in one of the two sessions only", undecided)):
        if pairs:
            lines += [f"{title}:", *map(_line, pairs)]
    for title, judgements in (("only then", repetition.only_then), ("only now", repetition.only_now)):
        if judgements:
            cells = ", ".join(dict.fromkeys(judgement.cell for judgement in judgements))
            lines.append(f"{title}: {len(judgements)} verdicts, cells {cells}")
    return lines


def _line(pair: Both) -> str:
    then, now = pair.then, pair.now
    return f"- {then.claim} at {then.cell}: {then.verdict} then, {now.verdict} now: {now.reason}"
