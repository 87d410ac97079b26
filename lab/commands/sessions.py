"""``lab sessions``: what is stored."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.errors import UsageError

HELP = "list the stored sessions: on what, how far they came, what surprised"
EXAMPLE = """\
examples:
  lab sessions                 those in the usual place
  lab sessions --output DIR    those below DIR
  lab sessions --format json   for programs

A session that was cut short goes on with lab run --resume; lab verify reads
every record."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder that sessions are kept in")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what to print (default: table)")


def run(options: argparse.Namespace) -> int:
    """List them, the oldest first; returns the exit code."""
    import dataclasses
    import json
    import shutil

    from lab.sessions import listing
    from lab.sessions.folder import default_folder
    from lab.text import table

    parent = options.output or default_folder()
    if parent.exists() and not parent.is_dir():
        raise UsageError(f"--output {parent} is not a folder; name the one that sessions are kept in")
    found = listing.entries(parent)
    if options.format == "json":
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return 0
    if not found:
        print(f"there is no session in {parent}; make one with lab run")
        return 0
    head = ("session", "on", "cells", "surprises", "noise", "state", "MB")
    rows = [
        (
            one.id,
            one.where,
            f"{one.measured}/{one.planned}",
            "-" if one.surprises is None else str(one.surprises),
            "-" if one.noise is None else f"{100 * one.noise:.0f} %",
            one.state + (f": {one.reason}" if one.reason else ""),
            f"{one.size_bytes / 1e6:.1f}",
        )
        for one in found
    ]
    print(table.fit_table(head, rows, shutil.get_terminal_size((80, 24)).columns))
    return 0
