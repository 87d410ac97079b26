"""``lab selftest``: how often the lab's verdicts are right on this machine, for claims whose truth is known."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.messages import ended, kept, show, tell

if TYPE_CHECKING:
    from lab.model.cell import Cell, CellResult
    from lab.model.machine import Machine
    from lab.model.session import Judgement

HELP = "judge claims whose truth is known, with and without a noisy neighbour, and count the verdicts"
EXAMPLE = """\
examples:
  lab selftest                          three cells beside each neighbour
  lab selftest --cells 20 --cpus 1      more of them, on one CPU
  lab selftest --engine local           without an engine

A neighbour is a process on one of the cell's CPUs that is idle, busy half of
the time, or always busy.

exit codes: 0 no verdict was wrong; 1 one was; 2 wrong usage; 3 a cell or the
  engine failed; 130 interrupted"""

_MOST_SECONDS = 6.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--cells", type=int, default=3, metavar="N", help="cells beside each neighbour (default: 3)")
    parser.add_argument("--cpus", type=int, metavar="N", help="CPUs of a cell (default: 2, or all if fewer)")
    parser.add_argument("--engine", choices=("auto", "docker", "local"), default="auto", help="default: auto")
    parser.add_argument("--image", help="the image of the cells, with Python 3.9 or later (docker)")
    parser.add_argument(
        "--time-limit", type=float, default=_MOST_SECONDS, metavar="S", help="most seconds of measuring a cell"
    )


def run(options: argparse.Namespace) -> int:
    """Run the cells and print the counts; return the exit code."""
    import contextlib

    from lab.cell.experiments._internal.control import NEIGHBOURS
    from lab.engines.cell_code import cell_code
    from lab.engines.selection import Wanted
    from lab.interrupts import stopping
    from lab.model.cell import Status
    from lab.planning.request import check_seconds
    from lab.running import measurement, selftest
    from lab.sessions.folder import SessionFolder, default_folder, new_session_id

    if options.cells < 1:
        raise UsageError(f"--cells {options.cells}: give a number above 0, such as 3")
    check_seconds(options.time_limit)
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
        arguments = {"cells": options.cells}
        folder.write_manifest({"schema": 1, "session": session, "engine": machine.engine, "arguments": arguments})
        total = options.cells * len(NEIGHBOURS)
        done = 0
        for number in range(options.cells):
            for neighbour in NEIGHBOURS:
                if stop.requested:
                    break
                done += 1
                tell(f"cell {done} of {total}: neighbour {neighbour}")
                result = selftest.measure_controls(
                    engine, session, cell, neighbour, number, options.time_limit, folder, stop
                )
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
