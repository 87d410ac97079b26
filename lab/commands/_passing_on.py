"""The command line of the user for another process of the lab: on another machine, or in a batch job."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def output_option(options: argparse.Namespace) -> str:
    """The option that names the folder of sessions: in ``lab exec``, ``--output`` is what the command prints."""
    return "--session" if options.typed[0] == "exec" else "--output"


def passed_on(
    options: argparse.Namespace, own: Sequence[str], without: Sequence[str], flags: Sequence[str]
) -> list[str]:
    """The command line of the user with the words ``own``, and without some of its options.

    ``without`` names those that have a value, and ``flags`` those that have none.
    """
    command, *words = options.typed
    program = list(getattr(options, "words", ()))  # of lab exec: its options are its own
    words = words[: len(words) - len(program)]
    if words[-1:] == ["--"]:
        words.pop()
    elif program[:1] == ["--"]:
        program.pop(0)
    dropped = argparse.ArgumentParser(add_help=False)
    for option in without:
        dropped.add_argument(option)
    for option in flags:
        dropped.add_argument(option, action="store_true")
    _, rest = dropped.parse_known_args(words)
    usual = [command, *own, *rest]
    return [*usual, "--", *program] if program else usual
