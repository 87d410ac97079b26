"""The ways to start a worker, each timed as a block."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import threading
import time
from typing import Any, Callable

THREADS = 20  # in a block: one alone is too short to time


FORKSERVER_FIRST = "forkserver, first"


#: The least that a new process can take.
FLOOR = "bare fork"


def _timed(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _threads() -> None:
    for _ in range(THREADS):
        thread = threading.Thread(target=time.sleep, args=(0,))
        thread.start()
        thread.join()


def start_process(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=time.sleep, args=(0,))  # so that no worker has to import code of ours
    process.start()
    process.join()


def _bare_fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _interpreter() -> None:
    # Older Pythons, and the stubs for them, do not have it.
    import concurrent.interpreters as interpreters  # type: ignore[import-not-found,unused-ignore]

    interpreter = interpreters.create()
    interpreter.exec("pass")
    interpreter.close()


def first_forkserver() -> float:
    """Seconds of the first use, in a child that has no fork server yet; it ends with that child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            from multiprocessing import forkserver

            # A server that was started before the fork is the parent's; this child is to have its own. There is no
            # public way to forget one; that the class may be another by then is what mypy objects to.
            forkserver._forkserver.__init__()  # type: ignore[misc]
            os.write(writer, b"%.9f" % _timed(lambda: start_process("forkserver")))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return float(text)


def ways_to_start() -> dict[str, Callable[[], dict[str, Any]]]:
    """The ways to start a worker that this Python has, each as a block: seconds until a no-op has run and ended."""

    def block(act: Callable[[], float]) -> Callable[[], dict[str, Any]]:
        return lambda: {"seconds": round(act(), 8)}

    ways = {
        "thread": block(lambda: _timed(_threads) / THREADS),
        FLOOR: block(lambda: _timed(_bare_fork)),
        FORKSERVER_FIRST: block(first_forkserver),
    }
    for method in ("fork", "forkserver", "spawn"):
        ways[method] = block(functools.partial(_timed, functools.partial(start_process, method)))
    if sys.version_info >= (3, 14):
        ways["interpreter"] = block(lambda: _timed(_interpreter))
    return ways
