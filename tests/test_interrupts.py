"""Requests to end that come while the lab waits."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import signal
import threading
import time
from types import FrameType

import pytest

from lab import system
from lab.interrupts import in_threads, listen_to_signals, requested
from lab.running.known_functions import beside
from tests.support.terminal import as_before


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


def test_a_request_that_comes_as_a_thread_is_started_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of threads waits for a thread that it knows, which is the case only when its start has returned."""
    asked, ended = threading.Event(), threading.Event()
    start = threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        start(thread)
        assert asked.wait(30)

    def act(number: int) -> None:
        os.kill(os.getpid(), number)
        asked.set()
        until = time.monotonic() + 30
        while not requested() and time.monotonic() < until:  # as a thread that listens to a program
            time.sleep(0.001)
        time.sleep(0.1)  # in which it ends the program
        ended.set()

    with as_before():
        listen_to_signals()
        monkeypatch.setattr(threading.Thread, "start", start_slowly)
        with pytest.raises(KeyboardInterrupt):
            in_threads(act, [signal.SIGINT], 2)
    assert ended.is_set()


@pytest.mark.skipif(not system.HAS_AFFINITY, reason="a neighbour is pinned to a CPU")
def test_a_request_that_comes_as_a_neighbour_is_started_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    start = multiprocessing.context.SpawnProcess.start

    def start_and_ask(process: multiprocessing.context.SpawnProcess) -> None:
        start(process)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", start_and_ask)
    with as_before():
        listen_to_signals()
        with pytest.raises(KeyboardInterrupt), beside("full"):
            pytest.fail("the request has come before")
    left = multiprocessing.active_children()
    for process in left:
        process.kill()
    assert left == []
