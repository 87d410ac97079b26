"""Messages to the user, beside the results. Light: every command loads it."""

from __future__ import annotations

import os
import sys


def tell(line: str) -> None:
    """A message to the user, beside the results. Where nobody reads it (any more) the measurement goes on."""
    try:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - messages are what this module is for
    except OSError:
        # What could not be written would be tried again at exit, and fail the whole run.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
