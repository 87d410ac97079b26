"""``lab replay``: a stored session again: the same plan, image, seed and arguments, here or on another machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.commands import _options as asked
from lab.commands import run as run_command
from lab.errors import UsageError
from lab.interrupts import stopping

if TYPE_CHECKING:
    from lab.judging.differences import Difference
    from lab.judging.repetition import Both, Repetition
    from lab.model.cell import Cell
    from lab.model.machine import Machine

HELP = "repeat a stored session and show, verdict by verdict, what is the same and what differs"
EXAMPLE = """\
examples:
  lab replay                the newest session again
  lab replay DIR            another one, such as from another machine
  lab replay DIR --engine local --image IMAGE

The repetition is stored as a session of its own.

exit codes: 0 no verdict differs; 1 a decisive one does (--strict: or one that
  decides nothing); 2 not a session; 3 a cell or the engine failed;
  130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("session", nargs="?", type=Path, metavar="SESSION", help="a folder (default: the newest)")
    parser.add_argument("--engine", choices=("docker", "local"), help="another engine than it had")
    parser.add_argument("--image", help="another image than it had (docker)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the repetition in a folder below DIR")
    parser.add_argument("--strict", action="store_true", help="a verdict that one of them decides is a failure too")


def run(options: argparse.Namespace) -> int:
    """Read it, run it again, compare, print; returns the exit code."""
    import shutil

    from lab.judging import differences, exit_code, repetition
    from lab.messages import tell
    from lab.model import machine as machine_
    from lab.sessions import loading
    from lab.sessions.folder import default_folder

    folder = loading.find_session(options.session or default_folder())
    then, manifest = loading.load_session(folder), loading.manifest(folder)
    again = _options(options, manifest, then.machine)
    tell(f"replaying {then.id}: {', '.join(again.experiments)}, engine {again.engine}, seed {again.seed}")

    def same_cells(machine: Machine) -> tuple[Cell, ...]:
        layout = "CPUs"
        before, here = differences.machine_facts(then.machine), differences.machine_facts(machine)
        planned = loading.planned(manifest)
        if before.get(layout) != here.get(layout) or then.machine.cpus != machine.cpus:
            tell("this machine has other CPUs: its cells are planned anew, from the same arguments")
        elif not {cell.build for cell in planned if cell.build} <= {*machine_.builds_of(machine)}:
            tell("these Pythons are other builds: its cells are planned anew, from the same arguments")
        else:
            return planned
        return asked.cells_of(again, machine)

    with stopping() as stop:
        now, where = run_command.measure(again, stop, choose_cells=same_cells, replay_of=then.id)
        tell(where)
        found = repetition.repeated(then, now)
        unlike = differences.session_differences(then, now)
        parts = [f"{now.id} repeats {then.id}", *_machines(unlike), *_verdicts(found)]
        width = shutil.get_terminal_size((80, 24)).columns
        from lab.text import table

        sys.stdout.write("".join(table.fit_sentence(line, width) + "\n" for line in parts))
        sys.stdout.flush()
        code = 130 if stop.requested else exit_code.exit_code(now, strict=False)
    if code in (130, 3):
        return code
    return int(bool(found.turned or (options.strict and found.undecided)))


def _options(options: argparse.Namespace, manifest: Mapping[str, Any], machine: Machine) -> argparse.Namespace:
    """The options of the run that it was, as its manifest has them; those that were given here go before."""
    from lab.commands import _stored_options as stored

    parser = argparse.ArgumentParser()
    run_command.configure(parser)
    again = parser.parse_args([])
    arguments = stored.arguments_of(manifest)
    if arguments["engine"] not in ("docker", "local"):
        raise UsageError(f"a session of the engine {arguments['engine']!r} cannot be repeated; lab run can")
    again.output = options.output
    if options.engine:
        arguments |= {"engine": options.engine, "image": None}
    if options.image and arguments.get("python"):
        raise UsageError(
            f"--image {options.image}: this session names its builds ({', '.join(arguments['python'])}), each with its"
            " own image; leave it out, or run it with lab run --image"
        )
    if options.image:
        arguments["image"] = options.image
    elif not options.engine:
        arguments = stored.on_the_same_images(arguments, machine)
    stored.take_over(again, arguments)
    return again


def _machines(unlike: Sequence[Difference]) -> list[str]:
    if not unlike:
        return ["machine, image and code: the same"]
    return ["what differs:", *(f"- {one.what}: {one.base} then, {one.new} now" for one in unlike)]


def _verdicts(found: Repetition) -> list[str]:
    from lab.judging.repetition import counted

    total = len(found.same) + len(found.turned) + len(found.undecided)
    lines = [f"verdicts: {len(found.same)} of {total} the same ({counted(found.same) or 'none'})"]
    for title, chosen in (("other verdicts", found.turned), ("decided in one of the two only", found.undecided)):
        if chosen:
            lines += [f"{title}:", *map(_line, chosen)]
    for title, some in (("only then", found.only_then), ("only now", found.only_now)):
        if some:
            cells = ", ".join(dict.fromkeys(one.cell for one in some))
            lines.append(f"{title}: {len(some)} verdicts, cells {cells}")
    return lines


def _line(one: Both) -> str:
    return f"- {one.then.claim} at {one.then.cell}: {one.then.verdict} then, {one.now.verdict} now: {one.now.reason}"
