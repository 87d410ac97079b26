"""``lab verify``: check whether a stored session is as it was measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lab.messages import columns, ended, show

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = "check stored sessions against their hashes, and name every file, record and entry that was changed"
EXAMPLE = """\
examples:
  lab verify               check the newest session
  lab verify DIR…          check the sessions in these folders

The check finds accidents and edits. It is no signature: a person who edits a
record can also compute new hashes.

exit codes: 0 everything is as it was; 1 something differs, and is named; 2 a
  folder is not a session"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("sessions", nargs="*", type=Path, metavar="SESSION", help="folders (default: the newest)")


def run(options: argparse.Namespace) -> int:
    """Check each session, print what differs, and return the exit code."""
    from lab.sessions import loading, verification
    from lab.sessions.folder import default_folder
    from lab.text import table

    width = columns()
    unlike = []
    for path in options.sessions or [default_folder()]:
        folder = loading.find_session(path)
        with loading.making_sense_of(folder):
            faults, sealed = verification.inspect(folder)
        unlike += [folder.name] if faults else []
        for line in _lines(folder.name, faults, sealed=sealed):
            show(table.fit_sentence(line, width))
    return ended(int(bool(unlike)), f"not as it was measured: {', '.join(unlike)}")


def _lines(name: str, faults: Sequence[str], *, sealed: bool) -> list[str]:
    kind = "" if sealed else ", which was never sealed (it was cut short, or an early version made it)"
    if not faults:
        return [f"{name}: {'as it was sealed' if sealed else f'nothing wrong is seen in it{kind}'}"]
    return [f"{name}{kind}:", *(f"- {line}" for line in faults)]
