"""Threads that contend for one interpreter, and how often it is handed over."""

from __future__ import annotations

import sys
import threading
import time
from typing import Callable

from lab.cell.measuring.crew_worker import gil_enabled

THREADS = 2


#: Where nobody asks for the GIL, a race may last this many times its seconds, but not more than half of its deadline.
#: The deadline is 20 s and twice its seconds.
PATIENCE = 3


MOST_SECONDS_UNASKED = 15.0


def contend_for(update: Callable[[int], int], seconds: float, switch_seconds: float) -> tuple[int, int]:
    """Threads repeat ``update`` for that long at that switch interval. ``update`` gets the number of its thread.

    Returns the sum of what ``update`` returned, and how many hand-overs were noticed. A hand-over is noticed when a
    thread, after its second or a later update, sees that another thread has run in between. At least so many hand-overs
    had the chance to do harm.
    """
    last = [-1]
    until = [0.0]
    tallies: list[tuple[int, int]] = []

    def begin() -> None:
        until[0] = time.monotonic() + seconds  # for all: else they could run one after the other

    gate = threading.Barrier(THREADS, begin)

    def repeat(number: int) -> None:
        made = hand_overs = 0
        gate.wait()
        while time.monotonic() < until[0]:
            before = made
            made += update(number)
            if last[0] != number:
                last[0] = number
                hand_overs += before > 0
        tallies.append((made, hand_overs))

    usual = sys.getswitchinterval()
    sys.setswitchinterval(switch_seconds)
    try:
        team = [threading.Thread(target=repeat, args=(number,)) for number in range(THREADS)]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    return sum(tally[0] for tally in tallies), sum(tally[1] for tally in tallies)


def nobody_asks(cpus: int) -> bool:
    """Whether threads on so many CPUs change places only when the scheduler makes them: nobody asks for a GIL, and the
    switch interval means nothing."""
    return cpus == 1 and not gil_enabled()


def longest_race(seconds: float, unasked: bool) -> float:
    """How long a race may go on, in seconds, of an experiment that is given so many."""
    return min(PATIENCE * seconds, 10 + seconds, MOST_SECONDS_UNASKED) if unasked else seconds
