"""What tests leave on an engine that others use too: what is theirs vanishes within a while, what is left does not."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Other work on the same engine comes and goes by itself within this time; what a test leaves behind does not.
SECONDS_TO_VANISH = 60.0


class Remains:
    """What came to an engine while a test ran, until it has vanished. No test waits for that but the last one."""

    def __init__(self, look: Callable[[], set[str]]) -> None:
        #: Finds all that is on the engine now.
        self.look = look
        self._tests: dict[str, tuple[str, float]] = {}

    def after(self, test: str, before: set[str]) -> None:
        """Keep in mind what is there now, and was not before this test.

        Raises AssertionError if something is still there that was seen after an earlier test a minute ago.
        """
        there = self.look()
        until = time.monotonic() + SECONDS_TO_VANISH
        for name in there - before:
            self._tests.setdefault(name, (test, until))
        self._check(there)

    def wait(self) -> None:
        """Wait until all has vanished. Raises AssertionError for what does not."""
        self._check(self.look())
        while self._tests:
            time.sleep(0.5)
            self._check(self.look())

    def _check(self, there: set[str]) -> None:
        self._tests = {name: seen for name, seen in self._tests.items() if name in there}
        left = [name for name, (_, until) in self._tests.items() if time.monotonic() > until]
        tests = [f"{name} by {self._tests.pop(name)[0]}" for name in sorted(left)]  # it is told once
        assert not tests, f"left behind on the engine: {', '.join(tests)}"
