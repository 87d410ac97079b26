"""Functions that do not work in every kind of worker."""

from __future__ import annotations

import signal


def catch_signal() -> int:
    """Compute with a handler of its own, which only the main thread of the main interpreter may set."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    total = 0
    for number in range(20_000):
        total = (total * 31 + number) & 255
    return total
