"""``lab clean``: remove everything on the engine that carries the lab's label."""

from __future__ import annotations

import argparse
import contextlib

from lab.errors import EngineError
from lab.messages import show

HELP = "remove every container, volume and network on the engine that carries the lab's label"
EXAMPLE = """\
example:
  lab clean   remove what a killed run or docker compose up has left

The command looks at the label only. It touches nothing else, and it works from
any folder."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(options: argparse.Namespace) -> int:
    """Remove what carries the label, print its names, and return the exit code.

    Raises EngineError when something could not be removed.
    """
    from lab.containers import cleanup
    from lab.containers.client import client_for_this_environment

    with contextlib.closing(client_for_this_environment()) as client:
        removed, kept = cleanup.remove_all(client)
    for name in removed:
        show(f"removed {name}")
    if kept:
        raise EngineError(f"could not remove {'; '.join(kept)}; run lab clean again, or look at docker ps -a")
    show("nothing is left" if removed else "there was nothing to remove")
    return 0
