"""Fork with threads: what a child gets of locks and threads that were alive in its parent."""

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

#: How long a child waits for a lock that nobody in it can release. The parent's is free long before.
LOCK_SECONDS = 0.2

#: What a library might have: a lock of its module.
_lock = threading.Lock()


class Holder:
    """A thread that holds a lock while this context lasts."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._held = threading.Event()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="holder")

    def _hold(self) -> None:
        with self._lock:
            self._held.set()
            self._enough.wait()

    def __enter__(self) -> None:
        self._thread.start()
        self._held.wait()

    def __exit__(self, *exception: object) -> None:
        self._enough.set()
        self._thread.join()


def free(seconds: float = LOCK_SECONDS) -> bool:
    """Whether the module's lock can be had within so many seconds; gives it back."""
    if not _lock.acquire(timeout=seconds):
        return False
    _lock.release()
    return True


def take_lock(answers: Any) -> None:
    """A worker's task: uses the module, and thereby its lock."""
    answers.send(free())


def threads_here() -> int:
    """The threads of this process as the kernel counts them (man 5 proc, /proc/PID/task)."""
    return len(os.listdir("/proc/self/task"))


def run(recorder: Recorder) -> None:
    with warnings.catch_warnings():
        # Forking while a thread runs is what these are about; whether Python warns of it is looked at apart.
        warnings.simplefilter("ignore", DeprecationWarning)
        locked(recorder)
        alone(recorder)
        logs(recorder)
    warned(recorder)
    for method in sorted(multiprocessing.get_all_start_methods()):
        if method != "fork":
            afresh(recorder, method)


def locked(recorder: Recorder) -> None:
    """In the child nobody is there to release the lock; without a holder the same child gets it at once."""
    for _ in range(TRIES):
        control = forked(free)
        with Holder(_lock):
            child = forked(free)
        parent = free()
        told = control and parent and child is not None
        recorder.observe("locked in the child", not child if told else None)
    recorder.tell("forked while a thread held a lock: the parent's is free again, the child's is not")


def alone(recorder: Recorder) -> None:
    with Holder(threading.Lock()):
        here = threads_here()
        child = forked(lambda: threads_here() == 1 and threading.active_count() == 1)
    recorder.observe("alone in the child", child if here > 1 else None)
    recorder.tell("%d threads in the parent, %s in the child" % (here, "one" if child else "not one"))


def logs(recorder: Recorder) -> None:
    """The same with a lock that is made anew: a handler's, of the module logging."""
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


def warned(recorder: Recorder) -> None:
    with warnings.catch_warnings(record=True) as caught, Holder(threading.Lock()):
        warnings.simplefilter("always")
        forked(lambda: True)
    said = [str(one.message) for one in caught if issubclass(one.category, DeprecationWarning)]
    recorder.observe("warned", bool(said))
    recorder.tell("fork() with a thread alive: %s" % (said[0] if said else "not a word"))


def afresh(recorder: Recorder, method: str) -> None:
    """A worker that is not a copy of this process has imported the module, and its lock, anew."""
    # The stubs do not know the Process of a context that is chosen by its name.
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    with Holder(_lock):
        worker = context.Process(target=take_lock, args=(sender,))
        worker.start()
        got = receiver.recv() if receiver.poll(20) else None
        worker.join()
    recorder.observe("free in others", got)
    recorder.tell(
        "%s: a worker started while a thread held the lock %s" % (method, "has its own" if got else "is stuck")
    )


def expect_warning(facts: Facts) -> str | None:
    """New in 3.12: os.fork() raises a DeprecationWarning when it detects threads (library/os, os.fork)."""
    return CONFIRMED if facts.version >= (3, 12) else REFUTED


EXPERIMENT = Experiment(
    name="fork-threads",
    summary="Fork with threads: locks that stay locked, and threads that are gone",
    method="A thread holds a lock while the main thread forks; the child tries to take it for 0.2 s, and so does one"
    " that was forked without a holder. The same with a log handler's lock, and with workers started by spawn and"
    " forkserver. Threads are counted by the kernel.",
    watch="The parent's lock is free again a moment later; the child's never will be, since the thread that would"
    " release it is not there. Workers that are no copies have no such lock.",
    run=run,
    typical_seconds=1.0,
    extra=True,
    claims=(
        # man 2 fork: the child has a single thread, and the states of mutexes are copied.
        Claim(
            "fork-threads.stays-locked",
            "a lock that another thread held at the fork stays locked in the child for ever",
            holds("locked in the child", "the child could not have it, the parent could", "the child got it"),
            always(CONFIRMED),
            source=seen("man 2 fork"),
        ),
        Claim(
            "fork-threads.only-caller-lives",
            "of all threads only the one that forked lives in the child",
            holds("alone in the child", "one thread, for the kernel and for threading", "others were there"),
            always(CONFIRMED),
            source=seen("man 2 fork"),
        ),
        # Lib/logging/__init__.py makes the locks of handlers anew by os.register_at_fork.
        Claim(
            "fork-threads.logging-survives",
            "the lock of a log handler is made anew in the child",
            holds("logging goes on", "the child logged", "the child was stuck in logging"),
            always(CONFIRMED),
            source=seen("Lib/logging/__init__.py"),
        ),
        Claim(
            "fork-threads.warns",
            "Python warns of a fork while threads are alive",
            holds("warned", "DeprecationWarning", "not a word"),
            expect_warning,
            source=seen(docs("library/os.html#os.fork")),
        ),
        Claim(
            "fork-threads.others-start-afresh",
            "workers started by spawn or forkserver have no such lock",
            holds("free in others", "the lock was free in both", "the lock was held there too"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#contexts-and-start-methods")),
        ),
    ),
)
