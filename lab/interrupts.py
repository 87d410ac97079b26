"""Ctrl-C, SIGTERM and SIGHUP as requests to end. They leave nothing half-done, and end the lab whatever hangs.

The first request ends the current step, and what was measured is judged and kept. A guard ends the process if that
takes too long, because an engine may not answer. After a second request it waits hardly at all. Before the process
ends, it says what it leaves behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TypeVar

from lab.errors import Interrupted
from lab.system import ASK_TO_END, ENDING_SIGNALS, TERMINAL_CLOSED

#: Signals within this time, in seconds, are one request: timeout(1) and other wrappers signal their child and then
#: their whole process group.
ONE_REQUEST_SECONDS = 0.3
#: How long the clean-up may take after a request to end, in seconds: the rest of the time is for the report.
CLEAN_UP_SECONDS = 7.0
#: How long after the first request, and after the second, the process ends at the latest, in seconds.
FIRST_SECONDS, SECOND_SECONDS = 9.0, 2.0

#: The variable of a lab that another lab has started, and that ends with it.
HELD = "MULTICORE_LAB_HELD"

_POLL_SECONDS = 0.05

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: When the first request arrived. An exception alone may get lost: Python prints and ignores an exception in a callback
#: of the import system.
_requested_at: float | None = None
#: When the guard ends the process.
_end_at = 0.0
#: Whether the arriving signal is one that was held before.
_repeated = False
#: What is left behind if the process ends now. Each act does what can be done at once, and returns a line on the rest.
_remains: dict[object, Callable[[], str | None]] = {}


def requested() -> bool:
    """Whether a request to end has arrived."""
    return _requested_at is not None


def check() -> None:
    """Raise Interrupted if a request to end has arrived. For threads, in which no signal is handled."""
    if requested():
        raise Interrupted("interrupted")


def in_threads(act: Callable[[_Item], _Result], items: Iterable[_Item], most: int) -> list[_Result]:
    """What ``act`` returns for each of these items, in their order. Each is worked on in a thread, ``most`` at a time.

    A request to end takes effect meanwhile. It would not where the main thread waits for a lock without a bound: a
    signal that arrives just before, or in another thread, does not wake it. Raises what ``act`` raises.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(most)
    try:
        with signals_held():  # a signal finds either no thread, or one that the pool knows and waits for
            tasks = [pool.submit(act, item) for item in items]
        while wait(tasks, _POLL_SECONDS).not_done:
            pass
        return [task.result() for task in tasks]
    finally:
        pool.shutdown(cancel_futures=True)


def leave(key: object, act: Callable[[], str | None]) -> None:
    """Call ``act`` if the process has to end before :func:`leave_nothing` of the same key.

    ``act`` must not wait for anybody. It returns what it leaves behind, with the command that removes it, or ``None``.
    """
    _remains[key] = act


def leave_nothing(key: object) -> None:
    """Forget what :func:`leave` noted."""
    _remains.pop(key, None)


def say_remains() -> None:
    """Write on standard error what is left behind."""
    for act in list(_remains.values()):
        with contextlib.suppress(Exception):  # nothing may keep the process from its end
            line = act()
            if line:
                os.write(2, f"{line}\n".encode())
    _remains.clear()


def listen_to_signals() -> None:
    """Let the signals end the lab, and the end of another lab that holds it. A SIGHUP that is ignored stays ignored.

    A request that comes within a callback of Python's own is not lost, and Python prints no traceback of it.
    """
    sys.unraisablehook = _unraisable
    for number in ENDING_SIGNALS:
        if number != TERMINAL_CLOSED or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)
    if os.environ.pop(HELD, ""):  # what this process starts is not held in the same way
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ask this process to end when its standard input closes, which its parent holds: also a parent that is killed."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), ASK_TO_END)


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    if not isinstance(unraisable.exc_value, (KeyboardInterrupt, Interrupted)):
        sys.__unraisablehook__(unraisable)


def end(number: int, frame: FrameType | None) -> None:
    """The signal handler of the command line: SIGTERM and SIGHUP end the lab as Ctrl-C does."""
    _arrived(number)
    raise KeyboardInterrupt


def _arrived(number: int) -> None:
    """Note a request, and let the guard end the process in time."""
    global _requested_at, _end_at
    if number == TERMINAL_CLOSED:
        _let_go_of_closed_terminal()
    now = time.monotonic()
    if _requested_at is None:
        _requested_at, _end_at = now, now + FIRST_SECONDS
        threading.Thread(target=_guard, daemon=True).start()
    elif not _repeated and now - _requested_at >= ONE_REQUEST_SECONDS:
        _end_at = min(_end_at, now + SECOND_SECONDS)


def _let_go_of_closed_terminal() -> None:
    """Send what is printed nowhere if its terminal was closed. Else the first write would end the clean-up."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _guard() -> None:
    while time.monotonic() < _end_at:
        time.sleep(_POLL_SECONDS)
    with contextlib.suppress(OSError):
        os.write(2, b"lab: interrupted; something does not answer and is not waited for\n")
    say_remains()
    os._exit(Interrupted.exit_code)


class StopFlag:
    """Whether a signal asked to end."""

    requested = False
    _since = 0.0
    #: Whether a request takes effect at once, because the current step (a pull) may take long and can be interrupted.
    at_once = False

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within the context a request to stop takes effect at once, because the current step can be interrupted."""
        self.at_once = True
        try:
            yield
        finally:
            self.at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note the signal, as a signal handler, so that the current step can end. A second request does not wait."""
        if self.at_once:
            self.requested, self.at_once = True, False  # what follows is the clean-up
            self._since = time.monotonic()
            raise Interrupted("interrupted before anything was measured")
        if self.requested:
            if time.monotonic() - self._since < ONE_REQUEST_SECONDS:
                return
            raise Interrupted("interrupted twice")
        self.requested, self._since = True, time.monotonic()
        with contextlib.suppress(OSError):  # print is not reentrant, and the signal may have interrupted it
            os.write(2, b"interrupted: ending the cell; what was measured follows\n")


@contextlib.contextmanager
def stopping() -> Iterator[StopFlag]:
    """Within the context the signals ask to stop, and do not stop at once.

    Raises KeyboardInterrupt if a signal arrived before.
    """
    stop = StopFlag()

    def note(number: int, frame: FrameType | None) -> None:
        _arrived(number)
        stop.note(number, frame)

    with _handled(note):
        if requested():
            raise KeyboardInterrupt
        yield stop


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold the signals until the end of the context: a second Ctrl-C must not interrupt a clean-up.

    The signals are not blocked. If they were, another thread would receive them, and Python would still run the handler
    in the main thread. The guard knows of a signal that is held.
    """
    global _repeated
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrivals: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        _arrived(number)
        arrivals.append(number)

    try:
        with _handled(hold):
            yield
    finally:
        _repeated = True
        try:
            for arrival in arrivals:
                signal.raise_signal(arrival)
        finally:
            _repeated = False


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within the context this handler has the signals. A SIGHUP that is ignored stays ignored."""
    numbers = [number for number in ENDING_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in handlers.items():
            signal.signal(number, previous)


def finish(act: Callable[[], None]) -> bool:
    """Call ``act``, which cleans up, and hold the signals meanwhile. Returns whether it ended.

    It is waited for without a bound, unless a request to end arrives: then only a few seconds.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # raised again, in the thread that called
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    with signals_held():
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            if _requested_at is not None and time.monotonic() > _requested_at + CLEAN_UP_SECONDS:
                return not thread.is_alive()
    if failures:
        raise failures[0]
    return True
