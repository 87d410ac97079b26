"""``lab new NAME``: write an experiment of one's own, which runs as it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.errors import StoreError, UsageError
from lab.messages import show

HELP = "write a file with an experiment of your own, which runs as it is"
EXAMPLE = """\
examples:
  lab new waiting         write waiting.py, in the current folder
  lab plan ./waiting.py   check it, and say what would be judged
  lab run ./waiting.py    run it, as every other experiment

The file has each kind of evidence once: an observation, a number with a
tolerance, and a line of the story. Change it, and run it again.

exit codes: 0 written; 2 the name cannot be used, or the file is there already;
  3 it cannot be written"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", help="lower-case letters, digits and hyphens, such as two-threads")


def run(options: argparse.Namespace) -> int:
    """Write the file, and say what to do next; return the exit code."""
    from importlib import resources

    from lab.running.own_experiments import check_name
    from lab.sessions.files import replace_file

    file = Path(f"{options.name.replace('-', '_')}.py")
    check_name(options.name, str(file))
    if file.exists():
        raise UsageError(f"{file} is there already", "take another name, or remove it")
    template = (resources.files("lab.teaching") / "experiment.template").read_text("utf-8")
    try:
        replace_file(file, template.replace("NAME", options.name).encode())
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}") from error
    show(f"{file} is written. Check it with lab plan ./{file}, and run it with lab run ./{file}")
    return 0
