"""``lab clean``: remove everything on the engine that carries our label."""

from __future__ import annotations

import argparse
import contextlib

from lab.errors import EngineError

HELP = "remove every container, volume and network on the engine that carries the lab's label"
EXAMPLE = """\
example:
  lab clean   after a run that was killed, or after docker compose up

Only the label counts: nothing else is touched, and it works from any folder."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(options: argparse.Namespace) -> int:
    """Remove and say what was removed; returns the exit code. Raises EngineError when something could not be."""
    from lab.containers import cleanup
    from lab.containers import client as client_

    with contextlib.closing(client_.client_for_this_environment()) as client:
        removed, kept = cleanup.remove_all(client)
    for name in removed:
        print(f"removed {name}")
    if kept:
        raise EngineError(f"could not remove {'; '.join(kept)}; try again, or see docker ps -a")
    print("nothing is left" if removed else "there was nothing to remove")
    return 0
