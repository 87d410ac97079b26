"""``lab class``: the sessions of a class, or of a fleet of machines, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.errors import StoreError
from lab.messages import columns, show, show_document, tell

HELP = "put the sessions of a class side by side: who differs, and which property of the machines explains it"
EXAMPLE = """\
examples:
  lab class handed-in/                      everything below that folder
  lab class handed-in/ --by folder          name participants by their folders
  lab class handed-in/ --output class.html  a page of it
  lab class handed-in/ --format csv         a row for each participant

A participant is who labelled the session (lab run --label anna). A session
without a label is named by its folder. Several sessions of one participant are
joined, and of several results the newest counts. An edited session is named,
and does not count.

exit codes: 0 all sessions are complete and as they were sealed; 1 some are not;
  2 there is no session; 3 the page cannot be written"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders with sessions, at any depth")
    parser.add_argument(
        "--by", choices=("label", "folder", "host"), default="label", help="what names a participant (default: label)"
    )
    parser.add_argument(
        "--format",
        choices=("screen", "markdown", "csv", "json", "page"),
        help="what to print (default: screen), or to write (default: page)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it into this file")


def run(options: argparse.Namespace) -> int:
    """Read the sessions, print what they come to, and return the exit code."""
    from lab.model.participant import Trust
    from lab.reports import classes
    from lab.sessions.files import replace_file
    from lab.sessions.participations import participants

    people = participants(options.folders, options.by)
    form = options.format or ("page" if options.output else "screen")
    text = classes.render(form, people, columns())
    if options.output:
        try:
            replace_file(options.output, text.encode())
        except OSError as error:
            raise StoreError(f"cannot write {options.output}: {error.strerror}") from error
        tell(f"written to {options.output}")
    elif form == "screen":
        show(text, end="")
    else:
        show_document(text)
    return int(any(each.trust is not Trust.INTACT for participant in people for each in participant.sessions))
