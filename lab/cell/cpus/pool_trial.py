"""How many workers ``Pool()`` starts here, counted; or why it cannot be started."""

from __future__ import annotations

import json
import os
import signal
from typing import Any, List, NamedTuple, NoReturn, Optional

from lab.cell.cpus import process_limit
from lab.cell.cpus.answers import read_within

#: Longest wait for ``Pool()`` to start, in seconds; forking takes a few milliseconds a worker.
_SECONDS = 30.0

#: Where the C library keeps semaphores (man 7 sem_overview).
_SEMAPHORES = "/dev/shm"  # noqa: S108 - only its name is told


class PoolTrial(NamedTuple):
    """What came of starting a pool."""

    #: How many workers it started; ``None``: it could not be started.
    workers: Optional[int]
    #: Why it could not be started; empty where it was.
    why: str = ""


def try_pool() -> PoolTrial:
    """Start ``Pool()`` in a child, because a pool leaves threads behind and this process has to stay free of them.

    A process with threads cannot fork safely. Whatever goes wrong is an answer, never an exception.
    """
    try:
        import multiprocessing.pool  # here, not in the child: so do most experiments, which are children too
        import multiprocessing.queues
        import multiprocessing.synchronize  # noqa: F401 - a Python without semaphores does not have it
    except (ImportError, OSError) as error:
        return PoolTrial(None, "this Python has no %s (%s)" % (_missing(error), error))
    if not hasattr(os, "fork"):
        return PoolTrial(None, "this system has no fork")
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        limit = process_limit.named_limit() if process_limit.is_met(error) else error.strerror
        return PoolTrial(None, "no process could be started: %s" % limit)
    if child == 0:
        _start_and_wait(writer)
    os.close(writer)
    answer = read_within(reader, _SECONDS)
    os.close(reader)
    _end(child)
    if not answer:
        return PoolTrial(
            None, "it did not start within %g s" % _SECONDS if answer is None else "it ended before it started"
        )
    return PoolTrial(*json.loads(answer))


def _missing(error: Exception) -> str:
    """What a Python lacks that cannot import the modules of a pool."""
    name = getattr(error, "name", None) or ""
    return name if isinstance(error, ModuleNotFoundError) and name != "_multiprocessing" else "semaphores"


def _start_and_wait(writer: int) -> NoReturn:
    """The child's whole life."""
    try:
        os.setsid()  # a group of its own, which can be killed as a whole
        # A pool that cannot start all its workers sends them this signal. The inherited handler would print.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.write(writer, json.dumps(_started()).encode())
        signal.pause()
    finally:
        os._exit(0)


def _started() -> PoolTrial:
    import multiprocessing
    from multiprocessing.pool import Pool

    context: Any = multiprocessing.get_context("fork")
    start, started = context.Process.start, []

    def count(process: Any) -> None:
        start(process)
        started.append(process)

    context.Process.start = count  # this child has no other use for it
    wanted: List[int] = []
    repopulate = Pool._repopulate_pool  # type: ignore[attr-defined]

    def note(pool: Any) -> Any:
        wanted.append(pool._processes)
        return repopulate(pool)

    Pool._repopulate_pool = note  # type: ignore[attr-defined]
    try:
        _kept.append(context.Pool())
    except Exception as error:  # whatever it is, it is the answer
        return PoolTrial(None, _why(error, len(started), max(wanted, default=0)))
    return PoolTrial(len(multiprocessing.active_children()))


#: A pool that nobody holds ends its workers.
_kept: List[Any] = []


def _why(error: Exception, started: int, wanted: int) -> str:
    if process_limit.is_met(error):
        if started < wanted:
            return process_limit.not_started(started, wanted)
        return "its threads could not start: %s" % process_limit.named_limit()
    if isinstance(error, OSError):
        return "no semaphore can be made in %s (%s)" % (_SEMAPHORES, error.strerror or error)
    return "%s: %s" % (type(error).__name__, error)


def _end(child: int) -> None:
    """Kill the whole group, because a pool replaces each worker that ends. An orderly end takes ten times as long."""
    for end in (os.killpg, os.kill):
        try:
            end(child, signal.SIGKILL)
            break
        except ProcessLookupError:  # the child has no group of its own yet, or has ended
            continue
    os.waitpid(child, 0)
