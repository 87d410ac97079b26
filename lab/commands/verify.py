"""``lab verify``: whether a stored session is what was measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = "check stored sessions against their hashes, and name every file, record and entry that was changed"
EXAMPLE = """\
examples:
  lab verify               the newest session
  lab verify DIR…          these

It finds accidents and edits, not forgers: who edits a record can compute the
hashes anew.

exit codes: 0 all as it was; 1 something differs, each thing named; 2 not a
  session"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("sessions", nargs="*", type=Path, metavar="SESSION", help="folders (default: the newest)")


def run(options: argparse.Namespace) -> int:
    """Check each and say what differs; returns the exit code."""
    import shutil

    from lab.sessions import loading, verification
    from lab.sessions.folder import default_folder
    from lab.text import table

    width = shutil.get_terminal_size((80, 24)).columns
    troubled = False
    for named in options.sessions or [default_folder()]:
        folder = loading.find_session(named)
        found, sealed = verification.inspect(folder)
        troubled = troubled or bool(found)
        for line in _lines(folder.name, found, sealed=sealed):
            print(table.fit_sentence(line, width))
    return int(troubled)


def _lines(name: str, found: Sequence[str], *, sealed: bool) -> list[str]:
    kind = "" if sealed else ", which was never sealed (it was cut short, or is of an early version)"
    if not found:
        return [f"{name}: {'as it was sealed' if sealed else f'nothing wrong is seen in it{kind}'}"]
    return [f"{name}{kind}:", *(f"- {line}" for line in found)]
