"""The executors of ``concurrent.futures`` that work on a list. They live as long as the measurement."""

from __future__ import annotations

import concurrent.futures as futures
import math
import multiprocessing
import sys
import time
from typing import Any, Callable, NamedTuple, Sequence

from lab.cell.claims.recorder import NotMeasuredError
from lab.cell.targets import environment, memory_limit
from lab.cell.targets.arms import INTERPRETER, THREAD, counts, executors, name_of
from lab.cell.targets.case import Case

#: Without chunk sizes of the user's, items travel one by one, and in so many chunks for each worker.
CHUNKS_A_WORKER = 4
#: How an interpreter begins. It finds our code where this one does, and can unpickle nothing of ours before.
_ENTER = """
import sys
sys.path[:] = %r
from lab.cell.targets import environment
environment.enter(%r)
"""


class Pool(NamedTuple):
    """An executor that works on the list."""

    #: The name in records and tables: ``2 processes (fork), chunks of 10``.
    name: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn`` or ``interpreter``.
    executor: str
    #: How many workers it has.
    workers: int
    #: How many items travel at a time.
    chunk: int

    @property
    def is_in_process(self) -> bool:
        """Whether its workers are threads or interpreters of this process, which nothing can end from outside."""
        return self.executor in (THREAD, INTERPRETER)


def pools_for(case: Case, cpus: int, waits: bool, items: int) -> list[Pool]:
    """The pools to try, each kind with each number of workers and each chunk size."""
    pools = []
    for workers in counts(cpus, waits):
        usual = max(1, math.ceil(items / (CHUNKS_A_WORKER * workers)))
        for kind in executors():
            # Only pools of processes hand several items over at a time.
            for chunk in [1] if kind in (THREAD, INTERPRETER) else sorted({*case.chunks} or {1, usual}):
                name = name_of(kind, workers) + (", chunks of %d" % chunk if chunk > 1 else "")
                pools.append(Pool(name, kind, workers, chunk))
    return [pool for pool in pools if case.only in ("", pool.name)]


class Executor:
    """The workers of pools that differ in the size of chunks alone; use as a context manager.

    Where they have failed once, nobody waits for their end: some may still work, or never return.
    """

    def __init__(self, pool: Pool, project: str, most: int, patience_seconds: float) -> None:
        self._executor = _made(pool, project, most)
        self._patience_seconds = patience_seconds
        self._has_failed = False
        #: Why they work no more: they did not return in time. Empty while they work.
        self.lost = ""

    @property
    def processes(self) -> list[Any]:
        """The processes that live; none of threads and interpreters."""
        return list((getattr(self._executor, "_processes", None) or {}).values())

    def work(self, function: Callable[[Any], Any], items: Sequence[Any], chunk: int) -> None:
        """Call the function with every item.

        Raises what it raises, and NotMeasuredError where not all calls have returned within the patience.
        """
        if self.lost:
            raise NotMeasuredError(self.lost)
        until = time.monotonic() + self._patience_seconds
        try:
            list(self._executor.map(function, items, chunksize=chunk, timeout=self._patience_seconds))
        except BaseException as error:
            self._has_failed = True
            if not isinstance(error, futures.TimeoutError) or time.monotonic() < until:
                raise
            self.lost = "did not return within %.0f s" % self._patience_seconds
            self._give_up()
            raise NotMeasuredError(self.lost) from error

    def _give_up(self) -> None:
        processes = self.processes
        self._executor.shutdown(wait=False, cancel_futures=True)  # first: of a broken pool CPython cancels no future
        for process in processes:
            process.kill()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._has_failed:
            self._give_up()
        else:
            self._executor.shutdown()


def _begin(project: str, workers: int) -> None:
    """Begin as one of so many workers: limit the memory, and enter the user's environment."""
    memory_limit.set_for(workers)
    environment.enter(project)


def _made(pool: Pool, project: str, most: int) -> Any:
    """An executor of that kind. Its workers begin first; in all pools there are ``most`` of them."""
    if pool.executor == THREAD:
        return futures.ThreadPoolExecutor(pool.workers)
    if pool.executor == INTERPRETER:  # it is a part of this process, whose memory is limited
        initial: dict[str, Any] = {"initializer": exec, "initargs": (_ENTER % (sys.path, project), {})}
        return futures.InterpreterPoolExecutor(pool.workers, **initial)  # type: ignore[attr-defined,unused-ignore]
    context = multiprocessing.get_context(pool.executor)
    return futures.ProcessPoolExecutor(pool.workers, context, initializer=_begin, initargs=(project, most))
