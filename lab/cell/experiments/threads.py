"""``threading``: the current thread, the main thread, and threads that the module did not start."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import threading
import time
from typing import Any

from lab.cell.claims.claim import (
    CONFIRMED,
    REFUTED,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Finding,
    always,
    docs,
    holds,
    seen,
)
from lab.cell.claims.recorder import Recorder, here


def count_to_five(recorder: Recorder, threads: list[threading.Thread]) -> None:
    """The tutorial's thread: count to five. The tutorial waits a second after each number, this function far less."""
    for number in range(1, 6):
        recorder.tell("%s counts %d" % (threading.current_thread().name, number))
        time.sleep(0.01)
    threads.append(threading.current_thread())


def name_here(answers: Any) -> None:
    answers.send((threading.current_thread().name, threading.current_thread() is threading.main_thread(), here()))


def run(recorder: Recorder) -> None:
    threads: list[threading.Thread] = []
    thread = threading.Thread(target=count_to_five, args=(recorder, threads), name="counter")
    thread.start()
    thread.join()
    recorder.observe("current is running", threads == [thread] and threads[0].name == "counter")

    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.Process(target=name_here, args=(sender,))
    child.start()
    name, is_main, place = receiver.recv()
    child.join()
    recorder.tell("a child process starts in %s" % name, place)
    recorder.observe("child in MainThread", is_main and name == "MainThread")
    recorder.observe("parent in MainThread", threading.current_thread().name == "MainThread")

    start_raw_thread(recorder)
    fork_from_thread(recorder)


def start_raw_thread(recorder: Recorder) -> None:
    threads: list[threading.Thread] = []
    end = _thread.allocate_lock()
    end.acquire()

    def work() -> None:
        threads.append(threading.current_thread())
        end.release()

    _thread.start_new_thread(work, ())
    end.acquire()
    recorder.tell("a raw _thread thread is known as %s (%s)" % (threads[0].name, type(threads[0]).__name__))
    recorder.observe("dummy", type(threads[0]).__name__ == "_DummyThread")


def fork_from_thread(recorder: Recorder) -> None:
    """Fork in a thread, as some programs do. The only thread of the child is a copy of the forking thread."""
    answers: list[str] = []

    def fork() -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, threading.current_thread().name.encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            answers.append(stream.read().decode())
        os.waitpid(child, 0)

    thread = threading.Thread(target=fork, name="forker")
    thread.start()
    thread.join()
    recorder.tell("a child forked from the thread 'forker' starts in %s" % answers[0])
    recorder.observe("forked in MainThread", answers[0] == "MainThread")
    recorder.observe("forked name", answers[0])


def judge_after_fork(evidence: Evidence, facts: Facts) -> Finding:
    name = evidence.last("forked name")
    verdict = CONFIRMED if evidence.last("forked in MainThread") else REFUTED
    return Finding(verdict, "a child forked from the thread 'forker' starts in '%s'" % name)


EXPERIMENT = Experiment(
    name="threads",
    summary="threading: which thread is running, and the name of the first thread",
    method="Four threads report their name: a named thread, the first thread of a child process, a thread of the"
    " low-level _thread module, and the thread of a child that was forked from a thread other than the main thread.",
    watch="The child of a fork carries on as the thread that forked, so the main thread's name depends on who forks.",
    run=run,
    typical_seconds=0.1,
    claims=(
        Claim(
            "threads.current",
            "current_thread() is the running thread, with its name",
            holds("current is running", "the thread saw itself, by its name", "the thread saw another thread"),
            always(CONFIRMED),
            source=seen(docs("library/threading.html")),
        ),
        Claim(
            "threads.main",
            "a process starts in MainThread",
            holds("child in MainThread", "parent and child did", "a child started elsewhere"),
            always(CONFIRMED),
            source=seen(docs("library/threading.html")),
        ),
        Claim(
            "threads.main-after-fork",
            "a child forked by a thread other than the main one starts in MainThread",
            judge_after_fork,
            always(REFUTED),
            advice="Do not fork while threads run: use spawn or forkserver. Compare with threading.main_thread()"
            " instead of the name MainThread.",
            source=seen("_after_fork() in Lib/threading.py"),
        ),
        Claim(
            "threads.low-level",
            "a raw _thread thread shows up as a dummy thread",
            holds("dummy", "current_thread() made a _DummyThread for it", "it is not a dummy thread"),
            always(CONFIRMED),
            source=seen(docs("library/threading.html#threading.current_thread")),
        ),
    ),
)
