"""Waiting for a worker: its deadline, and signals that are held until it has ended."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator


class Deadline:
    """How long a worker is waited for: ``seconds`` in all, and ``silence`` seconds without output.

    By default both are equal. The silence of a worker that hangs shows sooner than the deadline of its cell.
    """

    def __init__(self, seconds: float, silence: float | None = None) -> None:
        self._seconds = seconds
        self._silence = seconds if silence is None else silence
        self.begin()

    def begin(self) -> None:
        """Start to count the time."""
        self._last = time.monotonic()
        self._end = self._last + self._seconds

    def heard(self) -> None:
        """Note that the worker has sent output."""
        self._last = time.monotonic()

    @property
    def left(self) -> float:
        """How many seconds the worker has left; below zero after the deadline."""
        return min(self._end, self._last + self._silence) - time.monotonic()

    @property
    def why(self) -> str:
        """Why a worker without time left was ended."""
        if self._last + self._silence < self._end:
            return f"it said nothing for {self._silence:g} s and was ended"
        return "it passed its deadline and was ended"


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM until the end of the context: a second Ctrl-C must not interrupt a clean-up.

    The signals are not blocked. If they were, another thread would receive them, and Python would still run the handler
    in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrivals: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: arrivals.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for arrival in arrivals:
            signal.raise_signal(arrival)
