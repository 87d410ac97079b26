"""The command line: finds the commands, reads the arguments, hands over."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Sequence

from lab import __version__, commands

_DESCRIPTION = """\
Claims about Python's parallelism, run under exact CPU limits, proven from inside, and judged.

Start with:  lab run            every experiment with 1, 2, 4 and all CPUs
             lab run pool gil   two of them
             lab doctor         what can be measured on this machine
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; a command is a module in :mod:`lab.commands`."""
    top = argparse.ArgumentParser(
        prog="lab", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"multicore-lab {__version__}")
    chosen = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for found in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"lab.commands.{found.name}")
        one = chosen.add_parser(
            found.name.strip("_").replace("_", "-"),
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=module.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(one)
        one.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises LabError, and SystemExit (2) from the parser."""
    options = parser().parse_args(arguments)
    code: int = options.run(options)
    return code
