"""The command line: it finds the commands, reads the arguments, and calls the command.

Only the module of this command is imported. This file and its imports use the syntax of Python 3.9, so that an old
Python can say what it cannot do.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any, Dict, NoReturn, Optional, Sequence

from lab import __version__, commands
from lab.errors import UsageError
from lab.messages import columns, printable, show, tell

_DESCRIPTION = """\
Claims about Python's parallelism, run under exact CPU limits, proven from
inside, and judged.

Start with:  lab run            the usual experiments with 1, 2, 4 and all CPUs
             lab run pool gil   two of them
             lab doctor         what can be measured on this machine
             lab cpus           how many CPUs there really are here
"""

#: How the line begins that says what a command does. A quotation mark and the end of the line follow.
_HELP = 'HELP = "'

#: The oldest Python for all commands that are not in :data:`lab.commands.ANYWHERE`.
_ORCHESTRATOR = (3, 11)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """A formatter that asks for the width in our way: argparse would load every library that compresses files."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, width=columns() - 2, **options)


class _Parser(argparse.ArgumentParser):
    """A parser that prints through the one door, and what was typed or pasted with signs for what cannot be shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, **options)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2, and say why."""
        super().error(printable(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse itself would say nothing of a failure to write. Later Pythons colour this text on a terminal.
        if file is sys.stdout:
            show(message, end="", painted=True)
        else:
            tell(message, end="", painted=True)


class _Version(argparse.Action):
    """Shows the version when it is asked for, because a checkout asks git for its commit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from lab import release

        commit = release.commit()
        show(f"multicore-lab {__version__}{f' (commit {commit})' if commit else ''}")
        parser.exit()


def parser(only: Optional[str] = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; a command is a module in :mod:`lab.commands`.

    If ``only`` is the name of a command, the parser has this command alone. If it is empty, the parser names all
    commands, and has no options of theirs. Both take a fraction of the time.
    """
    top = _Parser(prog="lab", description=_DESCRIPTION)
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and the commit, and end")
    chosen = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module_name in _names().items():
        if _too_old(name):
            chosen.add_parser(name, help=f"(needs Python {_version(_ORCHESTRATOR)} or later)", add_help=False)
        elif only == "":
            chosen.add_parser(name, help=_help_line(module_name), add_help=False)
        elif only in (None, name):
            _add_command(chosen, name, module_name)
    return top


def _add_command(chosen: Any, name: str, module_name: str) -> None:
    """Add the parser of one command, with its options."""
    import textwrap

    module = importlib.import_module(f"lab.commands.{module_name}")
    command = chosen.add_parser(
        name,
        help=module.HELP,
        description=textwrap.fill(module.HELP[0].upper() + module.HELP[1:] + ".", 80),
        epilog=module.EXAMPLE,
    )
    module.configure(command)
    command.set_defaults(run=module.run)


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises LabError, and SystemExit (2) from the parser."""
    command = arguments[0] if arguments and arguments[0] in _names() else None
    if command and _too_old(command):
        raise UsageError(
            f"the orchestrator needs Python {_version(_ORCHESTRATOR)} or later, this is {_version(sys.version_info)}",
            "lab cpus and lab.effective_cpus() work here",
        )
    try:
        options = parser(command or "").parse_args(arguments)
        options.typed = tuple(arguments)
        code: int = options.run(options)
    except ModuleNotFoundError as error:
        from lab import release

        package = (error.name or "").partition(".")[0]
        if package in ("", "lab") or command in (None, *commands.ANYWHERE) or release.namesakes():
            raise
        raise UsageError(
            f"lab {command} needs the package {package}, which this Python does not have",
            "install the lab with pip (pip install . in its folder); without it lab cpus and lab.effective_cpus() work",
        ) from error
    return code


def _names() -> Dict[str, str]:
    """The name of each command -> the name of its module: the module of ``list`` is ``list_``."""
    # pkgutil is not used: it loads inspect, which would take a quarter of the time of --help.
    folder = commands.__path__[0]
    if not os.path.isdir(folder):  # lab cpus --zipapp has packed what runs anywhere into one file
        return {name: name for name in commands.ANYWHERE}
    files = sorted(file for file in os.listdir(folder) if file.endswith(".py"))
    modules = (file[:-3] for file in files if not file.startswith("_"))
    return {name.strip("_").replace("_", "-"): name for name in modules}


def _help_line(module_name: str) -> str:
    """The command's HELP, read from its file: importing all commands would take most of the time of --help."""
    folder = commands.__path__[0]
    with open(os.path.join(folder, module_name + ".py"), encoding="utf-8") as file:
        return next(line[len(_HELP) : -2] for line in file if line.startswith(_HELP))


def _too_old(command: str) -> bool:
    return command not in commands.ANYWHERE and sys.version_info < _ORCHESTRATOR


def _version(version: Sequence[object]) -> str:
    return f"{version[0]}.{version[1]}"
