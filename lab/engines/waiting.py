"""Waiting for a worker: its deadline, and signals that wait."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator


class Deadline:
    """How long a worker is waited for: ``seconds`` in all, and ``silence`` seconds (by default as long) without a
    word. One that hangs is known sooner by its silence than by all the time that a whole cell may take."""

    def __init__(self, seconds: float, silence: float | None = None) -> None:
        self._seconds = seconds
        self._silence = seconds if silence is None else silence
        self.begin()

    def begin(self) -> None:
        """From now on time counts."""
        self._last = time.monotonic()
        self._end = self._last + self._seconds

    def heard(self) -> None:
        """It has said something."""
        self._last = time.monotonic()

    @property
    def left(self) -> float:
        """How many seconds more it has; below zero when it has none."""
        return min(self._end, self._last + self._silence) - time.monotonic()

    @property
    def why(self) -> str:
        """What to say of a worker that was ended because there were none left."""
        if self._last + self._silence < self._end:
            return f"it said nothing for {self._silence:g} s and was ended"
        return "it passed its deadline and was ended"


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Within this, SIGINT and SIGTERM wait for the end: a second Ctrl-C must not cut short what the first one began.

    Not done by blocking them: another thread would take them, and the handler would run in this one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    usual = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)
