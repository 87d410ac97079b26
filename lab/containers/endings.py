"""Why a container ended: by itself, by a signal, for want of memory, or because the lab ended it. Pure."""

from __future__ import annotations

import signal
from typing import Any


def how_it_ended(state: dict[str, Any], ended: str | None = None) -> str | None:
    """Why a container ended; ``None`` if it ended by itself. ``ended`` is the reason if the lab ended it.

    A process in it may have run out of memory in a container that went on and ended well: its records say so.
    """
    number = (state.get("ExitCode") or 0) - 128  # an init and a shell report a signal this way
    if ended:
        return ended
    if state.get("OOMKilled") and state.get("ExitCode"):
        return "killed: out of memory (OOM)"
    if state.get("Error"):
        return str(state["Error"])
    if number not in signal.valid_signals():
        return None
    return f"the worker was killed by signal {number} ({signal.strsignal(number)})"
