"""What it costs to hand a task to an executor and to get its result back."""

from __future__ import annotations

import concurrent.futures as futures
import multiprocessing
import time
from typing import Any

#: The shortest of so many groups of tasks counts, so that a disturbance of some of them does not.
GROUPS, TASKS = 5, 20


def nothing() -> None:
    """Do nothing: all that a task costs is then its way there and back."""


def costs() -> dict[str, float]:
    """Seconds for a task that does nothing, through a thread pool and through a pool of forked processes."""
    measured: dict[str, float] = {}
    with futures.ThreadPoolExecutor(1) as threads:
        measured["thread"] = _seconds(threads)
    try:
        with futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as processes:
            measured["process"] = _seconds(processes)
    except (OSError, ImportError, ValueError, futures.process.BrokenProcessPool):
        pass  # this Python has no semaphores, or no room for another process
    return measured


def _seconds(executor: Any) -> float:
    executor.submit(nothing).result()  # starts the worker
    best = float("inf")
    for _ in range(GROUPS):
        begun = time.monotonic()
        for task in [executor.submit(nothing) for _ in range(TASKS)]:
            task.result()
        best = min(best, time.monotonic() - begun)
    return best / TASKS
