"""The main thread: what only this thread can do, and what happens to the other threads when it ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

from lab.cell.claims.claim import CONFIRMED, REFUTED, Claim, Experiment, always, docs, holds, seen
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.programs import Ended, program, wait_until

TRIES = 3

#: The daemon runs when the main thread ends, and would never end by itself.
DAEMON = """
    import threading
    begun = threading.Event()

    def work():
        try:
            begun.set()
            threading.Event().wait()
        finally:
            print("cleaned up")

    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    print("main ends")
"""

#: The thread waits for the end of the main thread, so it cannot end before.
AWAITED = """
    import threading

    def work():
        threading.main_thread().join()
        print("thread ends")

    threading.Thread(target=work).start()
    print("main ends")
"""

EXIT = """
    import sys, threading
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()
    print("main goes on")
"""


def run(recorder: Recorder) -> None:
    observe_handling(recorder)
    observe_refusal(recorder)
    observe_interrupt(recorder)
    for name, source, expectation in (
        ("daemon cut", DAEMON, Ended(0, "main ends\n", "")),
        ("others awaited", AWAITED, Ended(0, "main ends\nthread ends\n", "")),
        ("exit is local", EXIT, Ended(0, "main goes on\n", "")),
    ):
        end = program(source)
        recorder.observe(name, None if end.status is None else end == expectation)
        recorder.tell("%s: status %s, it printed: %s" % (name, end.status, ", ".join(end.out.splitlines())))


def observe_handling(recorder: Recorder) -> None:
    """Let a thread send a signal to itself, and record the thread that runs the handler."""
    names: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        names.append(threading.current_thread().name)

    def send() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    previous_handler = signal.signal(signal.SIGUSR1, note)
    try:
        for _ in range(TRIES):
            names.clear()
            sender = threading.Thread(target=send, name="sender")
            sender.start()
            sender.join()
            wait_until(lambda: bool(names))
            recorder.observe("handled in main", names == ["MainThread"] if names else None)
    finally:
        signal.signal(signal.SIGUSR1, previous_handler)
    recorder.tell("the thread 'sender' got a signal; the handler ran in %s" % ", ".join(names))


def observe_refusal(recorder: Recorder) -> None:
    """Let a thread other than the main thread try to set a handler."""

    def attempt() -> None:
        try:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        except ValueError as error:
            recorder.observe("handler set elsewhere", False)
            recorder.tell("signal.signal() in a thread: ValueError: %s" % error)
        else:
            recorder.observe("handler set elsewhere", True)

    previous_handler = signal.getsignal(signal.SIGUSR1)
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    signal.signal(signal.SIGUSR1, previous_handler)


def observe_interrupt(recorder: Recorder) -> None:
    """Send SIGINT while the main thread waits and another thread works."""
    stop = threading.Event()
    names: list[str] = []
    steps = [0]

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            while not stop.is_set():
                time.sleep(0.001)
                steps[0] += 1
        except KeyboardInterrupt:
            names.append("worker")

    previous_handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = threading.Thread(target=work)
    try:
        worker.start()
        wait_until(stop.is_set)  # in short steps, because a signal just before a wait does not end the wait
    except KeyboardInterrupt:
        names.append("MainThread")
    finally:
        signal.signal(signal.SIGINT, previous_handler)
    steps_before = steps[0]
    worked_on = wait_until(lambda: steps[0] > steps_before)
    stop.set()
    worker.join()
    recorder.observe("interrupt in main", (names == ["MainThread"] and worked_on) if names else None)
    phrase = "worked on" if worked_on else "did not"
    recorder.tell("SIGINT: KeyboardInterrupt in %s; the other thread %s" % (", ".join(names), phrase))


EXPERIMENT = Experiment(
    name="main-thread",
    summary="The main thread: signals, Ctrl-C, daemons, and the end of a program",
    method="A thread sends itself a signal, a second thread tries to set a handler, and a third thread sends SIGINT"
    " while the main thread waits. Small programs end with a daemon thread alive, with a plain thread alive, and after"
    " sys.exit() in a thread.",
    watch="The main thread handles every signal, whichever thread got it. A daemon ends in the middle of a statement:"
    " not even its finally block runs.",
    run=run,
    typical_seconds=0.3,
    extra=True,
    claims=(
        # Documented: "Signals and threads", library/signal.
        Claim(
            "main-thread.handles-signals",
            "a signal's handler runs in the main thread, whichever thread got the signal",
            holds("handled in main", "sent to another thread, handled in MainThread", "another thread handled it"),
            always(CONFIRMED),
            source=seen(docs("library/signal.html#signals-and-threads")),
        ),
        Claim(
            "main-thread.sets-handlers",
            "any thread can set a signal's handler",
            holds("handler set elsewhere", "it can", "ValueError: only the main thread can"),
            always(REFUTED),
            source=seen(docs("library/signal.html#signals-and-threads")),
        ),
        Claim(
            "main-thread.gets-interrupt",
            "Ctrl-C raises KeyboardInterrupt in the main thread only",
            holds("interrupt in main", "there, and the other thread worked on", "another thread got it too"),
            always(CONFIRMED),
            source=seen(docs("library/signal.html#signals-and-threads")),
        ),
        # Documented: Thread.daemon, library/threading.
        Claim(
            "main-thread.cuts-daemons",
            "daemon threads are cut when the program ends, without their finally",
            holds("daemon cut", "the program ended, finally did not run", "it was waited for, or cleaned up"),
            always(CONFIRMED),
            source=seen(docs("library/threading.html#threading.Thread.daemon")),
        ),
        Claim(
            "main-thread.awaits-others",
            "a program ends only when all its other threads have",
            holds("others awaited", "a plain thread ended after the main thread", "it did not wait"),
            always(CONFIRMED),
            source=seen(docs("library/threading.html#threading.Thread.daemon")),
        ),
        # Documented: SystemExit in Thread.run() is ignored, threading.excepthook, library/threading.
        Claim(
            "main-thread.exit-is-local",
            "sys.exit() in a thread ends that thread only, and its status is lost",
            holds("exit is local", "the program went on and ended with status 0", "it ended the program"),
            always(CONFIRMED),
            source=seen(docs("library/threading.html#threading.excepthook")),
        ),
    ),
)
