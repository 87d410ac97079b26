"""Ctrl-C and SIGTERM as requests to stop, which leave nothing half-done."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

from lab.errors import Interrupted

#: Whether a request to end arrived before a command began. The exception alone may get lost: Python prints and ignores
#: an exception in a callback of the import system.
_end_requested = False


def end(number: int, frame: FrameType | None) -> None:
    """The signal handler of the command line: SIGTERM ends the lab as Ctrl-C does."""
    global _end_requested
    _end_requested = True
    raise KeyboardInterrupt


#: Signals within this time, in seconds, are one request: timeout(1) and other wrappers signal their child and then
#: their whole process group.
ONE_REQUEST_SECONDS = 0.3


class StopFlag:
    """Whether SIGINT or SIGTERM arrived."""

    requested = False
    _since = 0.0
    #: Whether a request takes effect at once, because the current step (a pull) may take long and can be interrupted.
    at_once = False

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within the context a request to stop takes effect at once, because the current step can be interrupted."""
        self.at_once = True
        yield
        self.at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note the signal, as a signal handler, so that the current step can end. A second request does not wait."""
        if self.at_once:
            raise Interrupted("interrupted before anything was measured")
        if self.requested:
            if time.monotonic() - self._since < ONE_REQUEST_SECONDS:
                return
            raise Interrupted("interrupted twice", "remove what a cell left with: lab clean")
        self.requested, self._since = True, time.monotonic()
        with contextlib.suppress(OSError):  # print is not reentrant, and the signal may have interrupted it
            os.write(2, b"interrupted: ending the cell; what was measured follows\n")


@contextlib.contextmanager
def stopping() -> Iterator[StopFlag]:
    """Within the context Ctrl-C and SIGTERM ask to stop, and do not stop at once.

    Raises KeyboardInterrupt if a signal arrived before.
    """
    stop = StopFlag()
    handlers = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if _end_requested:
            raise KeyboardInterrupt
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
