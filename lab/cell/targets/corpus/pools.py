"""Functions that use an executor themselves."""

from __future__ import annotations

import concurrent.futures as futures


def step(number: int) -> int:
    """A little work."""
    total = number
    for other in range(4000):
        total = (total * 31 + other) & 255
    return total


def thread_pool() -> int:
    """Give work to a pool of two threads, which begins and ends with the call."""
    with futures.ThreadPoolExecutor(2) as pool:
        return sum(pool.map(step, range(20)))


def process_pool() -> int:
    """Give work to a pool of two processes, which begins and ends with the call."""
    with futures.ProcessPoolExecutor(2) as pool:
        return sum(pool.map(step, range(100), chunksize=25))
