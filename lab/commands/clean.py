"""``lab clean``: remove what killed labs have left: on the engine what carries the label, here their folders."""

from __future__ import annotations

import argparse
import contextlib
import shlex

from lab.errors import EngineError
from lab.messages import show

HELP = "remove what a killed run has left: containers, volumes, networks and temporary folders"
EXAMPLE = """\
examples:
  lab clean           remove what a killed run or docker compose up has left
  lab clean --force   remove what runs that are under way need, too
  lab clean --host big    what is left on the engine of a host

On the engine the command looks at the lab's label only, and here at folders
that a lab has locked. It touches nothing else, and it works from any folder.
Runs that are under way keep what they need."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--force", action="store_true", help="also end the runs that are under way")
    parser.add_argument("--session", metavar="ID", help="only what this session has left")
    parser.add_argument("--host", default="", metavar="NAME", help="on the engine of this host, as lab run has it")


def run(options: argparse.Namespace) -> int:
    """Remove what carries the label, print its names, and return the exit code.

    Raises EngineError when something could not be removed.
    """
    from lab.containers import cleanup, owner
    from lab.containers.client import clean_command, client_for_this_environment
    from lab.engines.temporary import remove_abandoned

    folders = [f"folder {path}" for path in remove_abandoned()]  # first, because it needs no engine
    for name in folders:
        show(f"removed {name}")
    with contextlib.closing(client_for_this_environment(options.host)) as client:
        again = clean_command(client)
        needed = {} if options.force else owner.under_way(client)
        if options.session:
            needed = {session: who for session, who in needed.items() if session == options.session}
        removed, kept = cleanup.remove_all(client, options.session, spare=needed)
    for name in removed:
        show(f"removed {name}")
    if kept:
        raise EngineError(f"could not remove {'; '.join(kept)}; run {again} again, or look at docker ps -a")
    for session, who in sorted(needed.items()):
        this_one = f"{again} --force --session {shlex.quote(session)}"
        show(f"left alone: session {session}, which {who} runs; remove it too with: {this_one}")
    if not needed:
        show("nothing is left" if removed or folders else "there was nothing to remove")
    return 0
