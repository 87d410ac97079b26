"""``lab clean``: remove everything on the engine that carries the lab's label."""

from __future__ import annotations

import argparse
import contextlib

from lab.errors import EngineError
from lab.messages import show

HELP = "remove the containers, volumes and networks with the lab's label, but not those of runs that are under way"
EXAMPLE = """\
examples:
  lab clean           remove what a killed run or docker compose up has left
  lab clean --force   remove what runs that are under way need, too

The command looks at the label only. It touches nothing else, and it works from
any folder."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's option."""
    parser.add_argument("--force", action="store_true", help="also end the runs that are under way")


def run(options: argparse.Namespace) -> int:
    """Remove what carries the label, print its names, and return the exit code.

    Raises EngineError when something could not be removed.
    """
    from lab.containers import cleanup, owner
    from lab.containers.client import client_for_this_environment

    with contextlib.closing(client_for_this_environment()) as client:
        needed = {} if options.force else owner.under_way(client)
        removed, kept = cleanup.remove_all(client, spare=needed)
    for name in removed:
        show(f"removed {name}")
    if kept:
        raise EngineError(f"could not remove {'; '.join(kept)}; run lab clean again, or look at docker ps -a")
    for session, who in sorted(needed.items()):
        show(f"left alone: session {session}, which {who} runs; remove it too with: lab clean --force")
    if not needed:
        show("nothing is left" if removed else "there was nothing to remove")
    return 0
