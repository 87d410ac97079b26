"""The main thread: what only it can do, and what happens to the others when it ends."""

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

#: The daemon has begun when the main thread ends, and would go on for ever.
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

#: The thread cannot end before the main thread has: it waits for that.
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
    handled(recorder)
    refused(recorder)
    interrupted(recorder)
    for name, source, wanted in (
        ("daemon cut", DAEMON, Ended(0, "main ends\n", "")),
        ("others awaited", AWAITED, Ended(0, "main ends\nthread ends\n", "")),
        ("exit is local", EXIT, Ended(0, "main goes on\n", "")),
    ):
        ended = program(source)
        recorder.observe(name, None if ended.status is None else ended == wanted)
        recorder.tell("%s: status %s, it printed: %s" % (name, ended.status, ", ".join(ended.out.splitlines())))


def handled(recorder: Recorder) -> None:
    """Another thread sends a signal to itself, and nothing else runs that could take it."""
    seen: list[str] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(threading.current_thread().name)

    def send() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    usual = signal.signal(signal.SIGUSR1, note)
    try:
        for _ in range(TRIES):
            seen.clear()
            sender = threading.Thread(target=send, name="sender")
            sender.start()
            sender.join()
            wait_until(lambda: bool(seen))
            recorder.observe("handled in main", seen == ["MainThread"] if seen else None)
    finally:
        signal.signal(signal.SIGUSR1, usual)
    recorder.tell("the thread 'sender' got a signal; the handler ran in %s" % ", ".join(seen))


def refused(recorder: Recorder) -> None:
    """Another thread tries to set a handler."""

    def attempt() -> None:
        try:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        except ValueError as error:
            recorder.observe("handler set elsewhere", False)
            recorder.tell("signal.signal() in a thread: ValueError: %s" % error)
        else:
            recorder.observe("handler set elsewhere", True)

    usual = signal.getsignal(signal.SIGUSR1)
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    signal.signal(signal.SIGUSR1, usual)


def interrupted(recorder: Recorder) -> None:
    """SIGINT comes while the main thread waits and another computes."""
    done = threading.Event()
    raised: list[str] = []
    steps = [0]

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            while not done.is_set():
                time.sleep(0.001)
                steps[0] += 1
        except KeyboardInterrupt:
            raised.append("worker")

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = threading.Thread(target=work)
    try:
        worker.start()
        wait_until(done.is_set)  # in short steps: what comes just before a wait does not end it
    except KeyboardInterrupt:
        raised.append("MainThread")
    finally:
        signal.signal(signal.SIGINT, usual)
    before = steps[0]
    went_on = wait_until(lambda: steps[0] > before)
    done.set()
    worker.join()
    recorder.observe("interrupt in main", (raised == ["MainThread"] and went_on) if raised else None)
    on = "worked on" if went_on else "did not"
    recorder.tell("SIGINT: KeyboardInterrupt in %s; the other thread %s" % (", ".join(raised), on))


EXPERIMENT = Experiment(
    name="main-thread",
    summary="The main thread: signals, Ctrl-C, daemons, and the end of a program",
    method="A thread sends itself a signal, another tries to set a handler, a third sends SIGINT while the main thread"
    " waits. Small programs end with a daemon thread alive, with a plain thread alive, and after sys.exit() in a"
    " thread.",
    watch="Whoever gets the signal, the main thread handles it. A daemon is cut in the middle of a statement: not even"
    " its finally runs.",
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
