"""``lab plan``: what ``lab run`` would do, without running it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.commands import _options, _requests
from lab.errors import UsageError
from lab.interrupts import StopFlag
from lab.messages import show, show_document

if TYPE_CHECKING:
    from lab.model.cell import Cell
    from lab.model.machine import Machine
    from lab.planning.request import Request

HELP = "show what run would do, without running it"
EXAMPLE = """\
examples:
  lab plan                     the cells of lab run on this machine
  lab plan gil --cpus 1,3,all  those of another run
  lab plan --cpus 0-3,8        a cell on these CPU ids
  lab plan --topology DIR      on another machine, whose sys and proc are in
                               DIR, or in a file of lab doctor --capture
  lab plan --format json       the cells for programs"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    _options.add_plan_options(parser)
    parser.add_argument(
        "--topology",
        type=Path,
        metavar="DIR",
        help="plan for the machine whose sys and proc are in DIR, or in a file that lab doctor --capture wrote",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="what to print (default: table); json is for programs",
    )


def run(options: argparse.Namespace) -> int:
    """Look at the machine, print it and its cells; return the exit code. Raises UsageError."""
    if len(options.host) > 1 or _requests.allocation_of(options).nodes > 1:
        raise UsageError("lab plan looks at one machine at a time", "name one --host, and no --nodes")
    request = _requests.request_from(options)
    _check_own(request)
    machine, where = _machine(options, request)
    cells = request.cells(machine)
    if options.format == "json":
        show_document(json.dumps(_document(request, machine, cells), indent=2) + "\n")
    else:
        _print_table(request, machine, cells, where)
    return 2 if request.left_out else 0


def _check_own(request: Request) -> None:
    """Raise UsageError where a claim of the user's looks for what is never observed."""
    from lab.running.own_experiments import never_observed

    wrong = [line for name, path in request.own.items() for line in never_observed(name, path).values()]
    if wrong:
        raise UsageError("; ".join(wrong), "write the same name in both places")


def _claims(name: str) -> list[str]:
    """What would be judged of an experiment of the user's, a line each."""
    from lab.cell.experiments import load
    from lab.text.table import fit_sentence

    claims = load(name).claims
    return [fit_sentence(f"judged in each cell: {claim.id}: “{claim.statement}”", 80) for claim in claims]


def _document(request: Request, machine: Machine, cells: Sequence[Cell]) -> dict[str, Any]:
    """The plan for ``--format json``, with the names of a session's document."""
    from lab.model.cell import CellResult, Status
    from lab.sessions.document import SCHEMA, cell_document, host_document

    status = {True: Status.PLANNED, False: Status.UNAVAILABLE}
    results = [CellResult(cell=cell, status=status[cell.available], reason=cell.reason) for cell in cells]
    return {
        "schema": SCHEMA,
        "engine": machine.engine,
        "host": host_document(machine),
        "experiments": list(request.experiments),
        "cells": [cell_document(result) for result in results],
    }


def _print_table(request: Request, machine: Machine, cells: Sequence[Cell], where: str) -> None:
    """Print the map, the cells, their notes, and how long a run would take."""
    from tabulate import tabulate

    from lab.cell.cpus import cpulist
    from lab.planning import packing, placement
    from lab.reports.tables import machine_map
    from lab.running import parallel_cells, progress
    from lab.text import units

    topology = machine.cpu_topology
    rows = [
        (cell.label, cpulist.render(cell.cpus), placement.why(topology, placement.describe(topology, cell.cpus)))
        if cell.available
        else (cell.label, "-", f"untestable: {cell.reason}")
        for cell in cells
    ]
    show("\n".join(machine_map.draw_map(topology)), end="\n\n")
    show(tabulate(rows, headers=("CPUs", "on CPU ids", "which are"), disable_numparse=True, maxcolwidths=[9, 30, 34]))
    notes = [f"{cell.label}: {note}" for cell in cells for note in cell.notes]
    show("\n".join(["", *notes, ""]) if notes else "")
    show(f"in each cell: {', '.join(request.experiments)}")
    for name in request.own:
        show("\n".join(_claims(name)))

    def cost_of(cell: Cell) -> float:
        return progress.cost(request.experiments_in(cell), request.seconds)

    requests = parallel_cells.requests_of(cells, cost_of, request.explicit(cells))
    runs = parallel_cells.side_by_side(topology, requests, request.most_at_once, request.smt)
    most = units.seconds(sum(cost_of(cell) for cell in cells if cell.available))
    if runs and not parallel_cells.shared_quota(machine):
        sooner = units.seconds(packing.makespan(runs) + parallel_cells.CHECK_SECONDS)
        show(
            f"up to {packing.most_at_once(runs)} cells side by side {where}, in about {sooner} at most; one after the"
            f" other, in about {most}, if a sentinel shows that they disturb each other"
        )
    else:
        show(f"one cell after the other {where}, in about {most} at most")


def _machine(options: argparse.Namespace, request: Request) -> tuple[Machine, str]:
    """The machine to plan for, and words for it: the engine's machine, or a machine whose files are captured."""
    if options.topology is not None:
        from lab.model.machine import Machine
        from lab.running import host

        if options.image or options.python or options.host or options.engine != "auto":
            raise UsageError("--topology plans without an engine; leave out --engine, --host, --image and --python")
        topology = host.read_topology(options.topology)
        machine = Machine(engine="none", cpus=topology.usable, host_cpus=topology.allowed, python={}, topology=topology)
        return machine, f"on the machine in {options.topology}"
    from lab.running import measurement

    engine, machine = measurement.choose_engine(measurement.wanted(request), f"plan-{os.getpid()}", StopFlag())
    engine.close()
    return machine, f"on engine {machine.engine}"
