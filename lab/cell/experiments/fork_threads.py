"""Fork with threads: what becomes in the child of the locks and threads of its parent."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import warnings
from typing import Any

from lab.cell.claims.claim import CONFIRMED, REFUTED, Claim, Experiment, Facts, always, docs, holds, seen
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.programs import forked

TRIES = 3

#: A child waits so long for a lock that none of its threads can release. The parent's lock is free long before.
LOCK_SECONDS = 0.1

#: A lock of a module, as a library may have it.
_lock = threading.Lock()


class Holder:
    """A thread that holds a lock while this context lasts."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._acquisition = threading.Event()
        self._release = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="holder")

    def _hold(self) -> None:
        with self._lock:
            self._acquisition.set()
            self._release.wait()

    def __enter__(self) -> None:
        self._thread.start()
        self._acquisition.wait()

    def __exit__(self, *exception: object) -> None:
        self._release.set()
        self._thread.join()


def free(seconds: float = LOCK_SECONDS) -> bool:
    """Whether this process can acquire the module's lock within so many seconds. The lock is released again."""
    if not _lock.acquire(timeout=seconds):
        return False
    _lock.release()
    return True


def take_lock(answers: Any) -> None:
    """A worker's task: use the module, and so its lock."""
    answers.send(free())


def threads_here() -> int:
    """The threads of this process as the kernel counts them (man 5 proc, /proc/PID/task)."""
    return len(os.listdir("/proc/self/task"))


def run(recorder: Recorder) -> None:
    with warnings.catch_warnings():
        # These functions fork while a thread runs. Whether Python warns of it is a question of its own, below.
        warnings.simplefilter("ignore", DeprecationWarning)
        check_lock(recorder)
        check_threads(recorder)
        check_logging(recorder)
    check_warning(recorder)
    for method in sorted(multiprocessing.get_all_start_methods()):
        if method != "fork":
            check_start_method(recorder, method)


def check_lock(recorder: Recorder) -> None:
    """Fork while a thread holds the lock. No thread of the child can release it.

    As a control, a child that is forked without a holder acquires the lock at once.
    """
    for _ in range(TRIES):
        control = forked(free)
        with Holder(_lock):
            child = forked(free)
        parent = free()
        valid = control and parent and child is not None
        recorder.observe("locked in the child", not child if valid else None)
    recorder.tell("forked while a thread held a lock: the parent's is free again, the child's is not")


def check_threads(recorder: Recorder) -> None:
    with Holder(threading.Lock()):
        threads = threads_here()
        child = forked(lambda: threads_here() == 1 and threading.active_count() == 1)
    recorder.observe("alone in the child", child if threads > 1 else None)
    recorder.tell("%d threads in the parent, %s in the child" % (threads, "one" if child else "not one"))


def check_logging(recorder: Recorder) -> None:
    """Fork while a thread holds the lock of a log handler. The module logging creates this lock again in the child."""
    handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115 - closed below, in this process only
    record = logging.LogRecord("lab", logging.ERROR, "", 0, "a line", None, None)

    def write() -> bool:
        handler.handle(record)
        return True

    with Holder(handler.lock):
        child = forked(write)
    recorder.observe("logging goes on", bool(child))
    recorder.tell("forked while a thread held a log handler's lock: the child %s" % ("logs" if child else "is stuck"))
    handler.stream.close()
    handler.close()


def check_warning(recorder: Recorder) -> None:
    with warnings.catch_warnings(record=True) as entries, Holder(threading.Lock()):
        warnings.simplefilter("always")
        forked(lambda: True)
    messages = [str(entry.message) for entry in entries if issubclass(entry.category, DeprecationWarning)]
    recorder.observe("warned", bool(messages))
    recorder.tell("fork() with a thread alive: %s" % (messages[0] if messages else "not a word"))


def check_start_method(recorder: Recorder, method: str) -> None:
    """Start a worker that is not a copy of this process. It imports the module itself, so its lock is a new lock."""
    # The stubs do not know the Process of a context that is chosen by its name.
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    with Holder(_lock):
        worker = context.Process(target=take_lock, args=(sender,))
        worker.start()
        success = receiver.recv() if receiver.poll(20) else None
        worker.join()
    recorder.observe("free in others", success)
    recorder.tell(
        "%s: a worker started while a thread held the lock %s" % (method, "has its own" if success else "is stuck")
    )


def expect_warning(facts: Facts) -> str | None:
    """New in 3.12: os.fork() raises a DeprecationWarning when it detects threads (library/os, os.fork)."""
    return CONFIRMED if facts.version >= (3, 12) else REFUTED


EXPERIMENT = Experiment(
    name="fork-threads",
    summary="Fork with threads: locks that stay locked, and threads that are gone",
    method="A thread holds a lock while the main thread forks. The child tries to take the lock for 0.1 s, and so does"
    " a child that was forked without a holder. The same test runs with a log handler's lock, and with workers started"
    " by spawn and forkserver. The kernel counts the threads.",
    watch="The parent's lock is free again a moment later. The child's lock never is, because the thread that would"
    " release it does not exist in the child. Workers that are no copies have no such lock.",
    run=run,
    typical_seconds=1.0,
    extra=True,
    claims=(
        # man 2 fork: the child has a single thread, and the states of mutexes are copied.
        Claim(
            "fork-threads.stays-locked",
            "a lock that another thread held at the fork stays locked in the child for ever",
            holds("locked in the child", "the child could not take it, the parent could", "the child took it"),
            always(CONFIRMED),
            source=seen("man 2 fork"),
        ),
        Claim(
            "fork-threads.only-caller-lives",
            "of all threads only the one that forked lives in the child",
            holds("alone in the child", "one thread, for the kernel and for threading", "the child had more threads"),
            always(CONFIRMED),
            source=seen("man 2 fork"),
        ),
        # Lib/logging/__init__.py creates the locks of handlers again in the child (os.register_at_fork).
        Claim(
            "fork-threads.logging-survives",
            "the lock of a log handler is created again in the child",
            holds("logging goes on", "the child logged", "the child was stuck in logging"),
            always(CONFIRMED),
            source=seen("Lib/logging/__init__.py"),
        ),
        Claim(
            "fork-threads.warns",
            "Python warns of a fork while threads are alive",
            holds("warned", "DeprecationWarning", "no warning"),
            expect_warning,
            source=seen(docs("library/os.html#os.fork")),
        ),
        Claim(
            "fork-threads.others-start-afresh",
            "workers started by spawn or forkserver have no such lock",
            holds("free in others", "the lock was free in both", "the lock was held in the worker too"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#contexts-and-start-methods")),
        ),
    ),
)
