"""``lab sessions``: list the stored sessions."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.errors import UsageError

HELP = "list the stored sessions: where they ran, how far they came, and their surprises"
EXAMPLE = """\
examples:
  lab sessions                 list the sessions in the usual folder
  lab sessions --output DIR    list the sessions below DIR
  lab sessions --format json   print for programs

lab run --resume goes on with a session that was cut short. lab verify checks
every record of a session."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder that sessions are kept in")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what to print (default: table)")


def run(options: argparse.Namespace) -> int:
    """List the sessions, the oldest first, and return the exit code."""
    import dataclasses
    import json
    import shutil

    from lab.sessions import listing
    from lab.sessions.folder import default_folder
    from lab.text import table

    parent = options.output or default_folder()
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"--output {parent} is not a folder; name the folder that sessions are kept in")
    entries = listing.entries(parent)
    if options.format == "json":
        print(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
        return 0
    if not entries:
        print(f"there is no session in {parent}; make one with lab run")
        return 0
    head = ("session", "on", "cells", "surprises", "noise", "state", "MB")
    rows = [
        (
            entry.id,
            entry.where,
            f"{entry.measured}/{entry.planned}",
            "-" if entry.surprises is None else str(entry.surprises),
            "-" if entry.noise is None else f"{100 * entry.noise:.0f} %",
            entry.state + (f": {entry.reason}" if entry.reason else ""),
            f"{entry.size_bytes / 1e6:.1f}",
        )
        for entry in entries
    ]
    print(table.fit_table(head, rows, shutil.get_terminal_size((80, 24)).columns))
    return 0
