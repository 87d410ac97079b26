"""``lab selftest``: how often the lab's verdicts are right on this machine, for claims whose truth is known."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.messages import ended, kept, show, tell

if TYPE_CHECKING:
    from lab.model.cell import Cell, CellResult
    from lab.model.machine import Machine
    from lab.model.session import Judgement
    from lab.planning.request import Request
    from lab.running.known_functions import Marked

HELP = "judge claims or advise on functions whose truth is known, and count what was right"
EXAMPLE = """\
examples:
  lab selftest                          three cells beside each neighbour
  lab selftest --cells 20 --cpus 1      more of them, on one CPU
  lab selftest --engine local           without an engine
  lab selftest --scale --python 3.13    lab scale on functions of known answers
  lab selftest --scale --neighbour half the same beside a half-busy neighbour

A neighbour is a process on one of the cell's CPUs that is idle, busy half of
the time, or always busy.

exit codes: 0 nothing that the lab said was wrong; 1 something was; 2 wrong
  usage; 3 a cell or the engine failed; 130 interrupted"""

_MOST_SECONDS = 6.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--cells",
        type=int,
        metavar="N",
        help="cells beside each neighbour (default: 3), or of each function and size (default: 1)",
    )
    parser.add_argument(
        "--cpus", type=int, metavar="N", help="CPUs of a cell (default: 2, or all if fewer; with --scale: 1 and 2)"
    )
    parser.add_argument("--engine", choices=("auto", "docker", "local"), default="auto", help="default: auto")
    parser.add_argument("--image", help="the image of the cells, with Python 3.9 or later (docker)")
    parser.add_argument("--time-limit", type=float, metavar="S", help="most seconds of measuring a cell")
    scale = parser.add_argument_group("functions with known answers")
    scale.add_argument("--scale", action="store_true", help="count how often the advice of lab scale is right")
    scale.add_argument("--python", action="append", metavar="BUILD", help="a Python to run on; repeat it for several")
    scale.add_argument(
        "--corpus", action="append", type=Path, metavar="DIR", help="more functions, from DIR/corpus.toml"
    )
    scale.add_argument(
        "--neighbour", choices=("idle", "half", "full"), help="a neighbour on the last CPU (default: idle, so none)"
    )
    scale.add_argument(
        "--width", type=float, metavar="SHARE", help="half-width of an interval at which measuring stops sooner"
    )
    scale.add_argument("--function", action="append", metavar="NAME", help="only functions with NAME in their names")


def run(options: argparse.Namespace) -> int:
    """Run the cells and print the counts; return the exit code."""
    if options.cells is not None and options.cells < 1:
        raise UsageError(f"--cells {options.cells}: give a number above 0, such as 3")
    if options.scale:
        return _run_functions(options)
    for name in ("python", "corpus", "neighbour", "width", "function"):
        if getattr(options, name):
            raise UsageError(f"--{name} goes with --scale", f"write lab selftest --scale --{name} ...")
    return _run_controls(options)


def _run_controls(options: argparse.Namespace) -> int:
    import contextlib

    from lab.cell.experiments._internal.control import NEIGHBOURS
    from lab.engines.cell_code import cell_code
    from lab.engines.selection import Wanted
    from lab.interrupts import stopping
    from lab.model.cell import Status
    from lab.planning.request import check_seconds
    from lab.running import measurement, selftest
    from lab.sessions.folder import SessionFolder, default_folder, new_session_id

    each = options.cells or 3
    seconds = check_seconds(_MOST_SECONDS if options.time_limit is None else options.time_limit)
    session = new_session_id(time.time())
    results: dict[str, list[CellResult]] = {name: [] for name in NEIGHBOURS}
    with stopping() as stop, contextlib.ExitStack() as stack:
        wanted = Wanted(engine=options.engine, image=options.image)
        engine, machine = measurement.choose_engine(wanted, session, stop)
        stack.callback(engine.close)
        cell = _cell(machine, options.cpus)
        # Beside the sessions, not among them: these cells are no run that could be reported or resumed.
        folder = stack.enter_context(SessionFolder(default_folder().parent / "selftests", session))
        folder.write_code(cell_code())
        arguments = {"cells": each}
        folder.write_manifest({"schema": 1, "session": session, "engine": machine.engine, "arguments": arguments})
        total = each * len(NEIGHBOURS)
        done = 0
        for number in range(each):
            for neighbour in NEIGHBOURS:
                if stop.requested:
                    break
                done += 1
                tell(f"cell {done} of {total}: neighbour {neighbour}")
                result = selftest.measure_controls(engine, session, cell, neighbour, number, seconds, folder, stop)
                if result.status is Status.MEASURED:
                    results[neighbour].append(result)
                elif not stop.requested:
                    tell(f"cell {done}: {result.status}: {result.reason}")
    verdicts = {name: selftest.judge_controls(name, cells) for name, cells in results.items()}
    where = folder.failure or f"records kept in {folder.path}"
    with kept(where):
        show(report(verdicts, machine, cell))
    tell(where)
    if stop.requested:
        return ended(130, "the selftest was interrupted")
    if missing := total - sum(len(cells) for cells in results.values()):
        return ended(3, f"{missing} of {total} cells could not be measured")
    if folder.failure:
        return ended(3, folder.failure)
    wrong = sum(selftest.score(judgements).wrong for judgements in verdicts.values())
    return ended(int(wrong > 0), f"{wrong} verdict{'s' * (wrong > 1)} wrong")


def _cell(machine: Machine, wanted: int | None) -> Cell:
    from lab.planning import cells
    from lab.text import units

    have = len(machine.cpus)
    size = min(2, have) if wanted is None else wanted
    if not 1 <= size <= have:
        raise UsageError(f"--cpus {size}: this machine has {units.cpus(have)}; give a number from 1 to {have}")
    return cells.plan([size], machine.cpu_topology)[0]


def report(verdicts: dict[str, list[Judgement]], machine: Machine, cell: Cell) -> str:
    """The counts as a table: a row for each neighbour and claim, the sums, and each wrong verdict with its reason."""
    import textwrap

    from tabulate import tabulate

    from lab.running.selftest import score

    rows: list[tuple[object, ...]] = []
    wrong = []
    for neighbour, judgements in verdicts.items():
        for claim in dict.fromkeys(judgement.claim for judgement in judgements):
            of_claim = [judgement for judgement in judgements if judgement.claim == claim]
            counts = score(of_claim)
            truth = of_claim[0].expected.value if of_claim[0].expected else "-"
            name = claim.rpartition(".")[2]
            rows.append((neighbour, name, truth, counts.right, counts.wrong, counts.inconclusive, counts.other))
            neighbour = ""
            wrong += [
                f"- {claim}: {judgement.verdict}, but {judgement.expected} is true: {judgement.reason}"
                for judgement in of_claim
                if judgement.surprise
            ]
        total = score(judgements)
        rows.append(("", "together", "", total.right, total.wrong, total.inconclusive, total.other))
    head = ("neigh-\nbour", "claim", "truth", "right", "wrong", "incon-\nclusive", "no\nverdict")
    from lab.text import units

    title = f"Selftest: claims whose truth is known, engine {machine.engine}, {units.cpus(cell.size)}"
    table = tabulate(rows, headers=head, disable_numparse=True, colalign=("left",) * 3 + ("right",) * 4)
    last = ["No verdict was wrong."] if any(verdicts.values()) else ["Nothing was measured."]
    if wrong:
        last = ["Wrong:", *(textwrap.fill(line, 80, subsequent_indent="  ") for line in wrong)]
    return "\n".join([title, "", table, "", *last])


def _run_functions(options: argparse.Namespace) -> int:
    """Measure the functions whose right advice is known, on every build, and print the counts."""
    from lab.interrupts import stopping
    from lab.running import known_functions
    from lab.sessions.folder import default_folder

    request = _request(options)
    corpora = [known_functions.load(folder) for folder in (known_functions.STANDARD, *(options.corpus or ()))]
    functions = known_functions.chosen(corpora, options.function or ())
    builds = request.pythons or ("",)
    parent = default_folder().parent / "selftests"
    total = len(functions) * len(builds) * (options.cells or 1)
    marked: list[Marked] = []
    with stopping() as stop, known_functions.beside(options.neighbour or "idle"):
        for _ in range(options.cells or 1):
            for build in builds:
                on_build = dataclasses.replace(request, pythons=(build,) if build else ())
                for each in known_functions.measured(functions, on_build, parent, stop):
                    marked.append(each)
                    tell(f"function {len(marked)} of {total}: {each.words}{build and f' (on {build})'}")
    where = f"records kept in {parent}"
    with kept(where):
        show(report_of_functions(marked))
    tell(where)
    if stop.requested:
        return ended(130, "the selftest was interrupted")
    if failed := [each for each in marked if each.failed]:
        return ended(3, f"{failed[0].function.name}: {failed[0].failed}")
    wrong = sum(mark.wrong for each in marked for mark in each.marks)
    return ended(int(wrong > 0), f"{wrong} answer{'s' * (wrong > 1)} wrong")


def _request(options: argparse.Namespace) -> Request:
    """What all functions are measured with. Raises UsageError where an option cannot be used."""
    from lab import system
    from lab.planning.request import SCALE_LEVELS, Request
    from lab.running import measurement

    if options.cpus not in (None, 1, 2):
        raise UsageError(f"--cpus {options.cpus}: answers are known for 1 and 2 CPUs", "give one of these, or neither")
    seconds, width = SCALE_LEVELS["default"]
    sizes = "1,2" if len(system.usable_cpus()) > 1 else "1"
    request = Request(
        experiments=(),
        seconds=seconds if options.time_limit is None else options.time_limit,
        width=width if options.width is None else options.width,
        cpus=str(options.cpus or sizes),
        engine=options.engine,
        image=options.image,
        pythons=tuple(options.python or ()),
    )
    request.check()
    measurement.wanted(request).check()
    return request


def report_of_functions(marked: list[Marked]) -> str:
    """The counts as a table, a row for each function; then what was wrong, and what was skipped."""
    import textwrap

    from tabulate import tabulate

    from lab.judging.known_answers import count

    marks = {
        name: [mark for each in marked if each.function.name == name for mark in each.marks] for name in _names(marked)
    }
    rows = [(name, *count(of_name).columns) for name, of_name in marks.items() if of_name]
    everything = count([mark for of_name in marks.values() for mark in of_name])
    rows.append(("together", *everything.columns))
    head = ("function", "right", "wrong", "open", "cause\nfound", "not\nfound", "open", "extra")
    table = tabulate(rows, headers=head, disable_numparse=True, colalign=("left",) + ("right",) * 7)
    wrong = [f"- {name}: {fault}" for name, of_name in marks.items() for mark in of_name for fault in mark.faults]
    skipped = dict.fromkeys(
        f"- {each.function.name}: {each.skipped or each.failed}" for each in marked if not each.complete
    )
    last = ["Wrong:", *wrong] if wrong else ["Nothing was wrong." if any(marks.values()) else "Nothing was measured."]
    last += ["", "Skipped:", *skipped] if skipped else []
    folded = [textwrap.fill(line, 80, subsequent_indent="  ") for line in last]
    return "\n".join(["Selftest: functions whose right advice is known", "", table, "", *folded])


def _names(marked: list[Marked]) -> list[str]:
    return list(dict.fromkeys(each.function.name for each in marked))
