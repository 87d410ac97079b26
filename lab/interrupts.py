"""Ctrl-C and SIGTERM as requests to stop, which tear nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

from lab.errors import Interrupted

#: Whether a request to end came before anything was under way. An exception alone may get lost: raised in a callback of
#: the import system, it is printed and forgotten.
_came = False


def end(number: int, frame: FrameType | None) -> None:
    """The signal handler of the command line: SIGTERM ends the lab as Ctrl-C does."""
    global _came
    _came = True
    raise KeyboardInterrupt


#: Signals that come closer together, in seconds, are one request: timeout(1) and other wrappers signal their child and
#: then their whole process group.
ONE_REQUEST_SECONDS = 0.3


class StopFlag:
    """Whether SIGINT or SIGTERM came."""

    requested = False
    _since = 0.0
    #: Nothing can be torn yet, and what is under way (a pull) may take long.
    at_once = False

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this, a request to stop takes effect at once, since nothing can be torn."""
        self.at_once = True
        yield
        self.at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. It only takes note, so that nothing is torn; a second request does not wait."""
        if self.at_once:
            raise Interrupted("interrupted before anything was measured")
        if self.requested:
            if time.monotonic() - self._since < ONE_REQUEST_SECONDS:
                return
            raise Interrupted("interrupted twice; what a cell left is removed by: lab clean")
        self.requested, self._since = True, time.monotonic()
        with contextlib.suppress(OSError):  # not print: the signal may have come in the middle of one
            os.write(2, b"interrupted: ending the cell; what was measured follows\n")


@contextlib.contextmanager
def stopping() -> Iterator[StopFlag]:
    """Within this, Ctrl-C and SIGTERM ask to stop instead of stopping at once. Raises KeyboardInterrupt where one came
    before."""
    stop = StopFlag()
    usual = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if _came:
            raise KeyboardInterrupt
        yield stop
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
