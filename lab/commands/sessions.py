"""``lab sessions``: list the stored sessions."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.messages import columns, show
from lab.text import units

if TYPE_CHECKING:
    from lab.sessions.listing import Entry

HELP = "list the stored sessions: where they ran, how far they came, and their surprises"
EXAMPLE = """\
examples:
  lab sessions                 list the sessions in the usual folder
  lab sessions --output DIR    list the sessions below DIR
  lab sessions --format json   print for programs

lab run --resume goes on with a session that was cut short. lab verify checks
every record of a session."""

#: The widest text of a column, in characters; four columns fit into 80.
_WIDEST = 21


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder that sessions are kept in")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what to print (default: table)")


def run(options: argparse.Namespace) -> int:
    """List the sessions, the oldest first, and return the exit code."""
    import dataclasses
    import json

    from lab.sessions import listing
    from lab.sessions.folder import default_folder
    from lab.text import table

    parent = options.output or default_folder()
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"--output {parent} is not a folder; name the folder that sessions are kept in")
    entries = listing.entries(parent)
    if options.format == "json":
        show(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
        return 0
    if not entries:
        show(f"there is no session in {parent}; make one with lab run")
        return 0
    head = ("session\nbegan", "machine\nengine, Python", "experiments", "state\nmeasured cells")
    rows = [
        (
            "\n".join(filter(None, (entry.id, _date(entry.began), entry.label))),
            f"{_shortened(entry.machine or '-')}\n{_shortened(_where(entry.where))}",
            _shortened(_experiments(entry.experiments)),
            f"{_state(entry)}\n{entry.measured} of {entry.planned}",
        )
        for entry in entries
    ]
    show(table.fit_table(head, rows, columns()))
    return 0


def _date(began: float | None) -> str:
    from datetime import datetime

    return "-" if began is None else datetime.fromtimestamp(began).astimezone().strftime("%Y-%m-%d %H:%M")


def _where(where: str) -> str:
    """The engine and its Pythons, or how many Pythons there were."""
    engine, _, builds = where.partition(" ")
    count = len(builds.split(", "))
    return where if count < 3 else f"{engine}, {count} builds"


def _experiments(names: Sequence[str]) -> str:
    """One experiment by its name, several by their number."""
    from lab.cell.experiments import shown

    if not names:
        return "-"
    names = [shown(name) for name in names]
    return names[0] if len(names) == 1 else f"{len(names)}: {names[0]} …"


def _shortened(text: str) -> str:
    from lab.cell.claims.wording import shortened

    return shortened(text, _WIDEST)


def _state(entry: Entry) -> str:
    """How far a session came, and how many surprises it has."""
    if entry.reason:
        return "\n".join(textwrap.wrap(f"{entry.state}: {entry.reason}", _WIDEST))
    if not entry.surprises:
        return str(entry.state)
    return f"{entry.state}, {units.counted(entry.surprises, 'surprise')}"
