"""Requests to end that come while the lab waits."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from lab.interrupts import in_threads


def test_a_signal_that_another_thread_receives_is_handled_while_threads_are_waited_for() -> None:
    """The system may deliver it to any thread, and Python runs the handler in the main thread alone."""
    handled = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        handled.set()

    def receive(number: int) -> bool:
        signal.pthread_kill(threading.get_ident(), number)
        return handled.wait(30)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        assert in_threads(receive, [signal.SIGUSR1], 2) == [True]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_results_have_the_order_of_the_items() -> None:
    assert in_threads(str, range(9), 3) == list("012345678")
    assert in_threads(str, [], 3) == []
