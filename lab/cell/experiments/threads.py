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


def count_to_five(recorder: Recorder, seen: list[threading.Thread]) -> None:
    """The tutorial's thread: counts to five (it waits a second each time, this one far less)."""
    for number in range(1, 6):
        recorder.tell("%s counts %d" % (threading.current_thread().name, number))
        time.sleep(0.01)
    seen.append(threading.current_thread())


def name_here(answers: Any) -> None:
    answers.send((threading.current_thread().name, threading.current_thread() is threading.main_thread(), here()))


def run(recorder: Recorder) -> None:
    seen: list[threading.Thread] = []
    thread = threading.Thread(target=count_to_five, args=(recorder, seen), name="counter")
    thread.start()
    thread.join()
    recorder.observe("current is running", seen == [thread] and seen[0].name == "counter")

    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.Process(target=name_here, args=(sender,))
    child.start()
    name, is_main, who = receiver.recv()
    child.join()
    recorder.tell("a child process starts in %s" % name, who)
    recorder.observe("child in MainThread", is_main and name == "MainThread")
    recorder.observe("parent in MainThread", threading.current_thread().name == "MainThread")

    low_level(recorder)
    fork_from_thread(recorder)


def low_level(recorder: Recorder) -> None:
    seen: list[threading.Thread] = []
    done = _thread.allocate_lock()
    done.acquire()

    def raw() -> None:
        seen.append(threading.current_thread())
        done.release()

    _thread.start_new_thread(raw, ())
    done.acquire()
    recorder.tell("a raw _thread thread is known as %s (%s)" % (seen[0].name, type(seen[0]).__name__))
    recorder.observe("dummy", type(seen[0]).__name__ == "_DummyThread")


def fork_from_thread(recorder: Recorder) -> None:
    """Fork, as a program that mixes threads and processes does; the child's only thread is the forking one's copy."""
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
    summary="threading: which thread is running, and what the first one is called",
    method="A named thread reports who it is; a child process does; a thread made with the low-level _thread module"
    " does; and a child that is forked from a thread other than the main one does.",
    watch="The child of a fork carries on as the thread that forked, so the main thread's name depends on who forks.",
    run=run,
    typical_seconds=0.1,
    claims=(
        Claim(
            "threads.current",
            "current_thread() is the running thread, with its name",
            holds("current is running", "the thread saw itself, by its name", "the thread saw another one"),
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
            "a child forked from another thread starts in MainThread too",
            judge_after_fork,
            always(REFUTED),
            advice="Do not fork while threads run (use the start methods spawn or forkserver), and compare with"
            " threading.main_thread() instead of the name MainThread.",
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
