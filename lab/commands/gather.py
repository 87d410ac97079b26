"""``lab gather``: collect what the cells that Compose started have recorded, and report it as ``lab run`` does."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands._options import add_gate_options, gate
from lab.errors import CellError, UsageError

if TYPE_CHECKING:
    from lab.model.session import Session

HELP = "collect the records of the cells that docker compose up started, and report them as run does"
EXAMPLE = """\
examples:
  lab gather                     also after the containers have ended
  lab gather --format json       for programs
  lab gather --records records   from files, without an engine

exit codes: 0 all ran, no surprise; 1 a surprise, or what --fail-on or --strict
  names; 2 nothing to gather; 3 a cell failed, or has not ended, or no engine
  answers"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from lab import reports

    where = parser.add_mutually_exclusive_group()
    where.add_argument("--project", metavar="NAME", help="the Compose project, where several have results")
    where.add_argument("--records", type=Path, metavar="DIR", help="read the files *.jsonl in DIR instead")
    parser.add_argument(
        "--format", choices=reports.format_names(), default="table", help="what to print (default: table)"
    )
    add_gate_options(parser)


def run(options: argparse.Namespace) -> int:
    """Collect, judge and print; returns the exit code. Raises UsageError or CellError when there is nothing to."""
    from lab import reports
    from lab.judging import exit_code
    from lab.sessions import from_compose

    fail_on = gate(options)
    found = _from_files(options.records) if options.records else _from_engine(options.project)
    if not any(result.records for result in found.results):
        cells = "; ".join(f"{result.cell.id}: {result.reason}" for result in found.results)
        raise CellError(f"no cell has anything to report: {cells}; start them: docker compose up")
    sys.stdout.write(reports.render(found, options.format))
    code = exit_code.exit_code(found, fail_on=fail_on, strict=options.strict)
    return 3 if code in (0, 1) and from_compose.incomplete(found) else code


def _from_files(folder: Path) -> Session:
    from lab.sessions import from_compose

    try:
        sources = [
            from_compose.CellRecords(cell=path.stem, stream=path.read_bytes()) for path in folder.glob("*.jsonl")
        ]
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from error
    if not sources:
        raise UsageError(f"{folder} has no records (*.jsonl); name the folder that the cells wrote to")
    return from_compose.session("records", sources, image=None, details={"records": str(folder)})


def _from_engine(wanted: str | None) -> Session:
    from lab.containers import client as client_
    from lab.containers import compose
    from lab.sessions import from_compose

    with contextlib.closing(client_.client_for_this_environment()) as client:
        found = list(compose.collect(client, wanted))
    if not found:
        where = f"of the Compose project {wanted!r} " if wanted else "that Compose started "
        raise UsageError(f"the engine has no cells {where}(any more); start them: docker compose up")
    # A project that has only just been made is not what somebody who has results elsewhere is asking for.
    projects = sorted({one.project for one in found if one.stream is not None} or {one.project for one in found})
    if len(projects) > 1:
        raise UsageError(f"{len(projects)} Compose projects have results: {', '.join(projects)}; choose with --project")
    mine = [one for one in found if one.project == projects[0]]
    sources = [
        from_compose.CellRecords(cell=one.cell, stream=one.stream, outcome=one.outcome, running=one.running)
        for one in mine
    ]
    return from_compose.session(projects[0], sources, image=mine[0].image, details={"project": projects[0]})
