"""``Queue`` and ``Lock``: a writer puts letters while it holds a lock, and an endless reader has to be terminated."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from typing import Any, Callable, Sequence

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
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

LETTERS = ("A", "B", "C", "D")
ITEMS = 200
VISITORS = 3
VISITS = 5


def write(letters: Sequence[str], queue: Any, lock: Any) -> None:
    """The tutorial's writer: put each letter while it holds the lock."""
    threading.current_thread().name = "writer"
    for letter in letters:
        with lock:
            queue.put((letter, here()))
            time.sleep(0.005)


def read_for_ever(queue: Any, answers: Any) -> None:
    """The tutorial's reader: get letters in an endless loop."""
    threading.current_thread().name = "endless reader"
    while True:
        letter, origin = queue.get()
        answers.send((letter, origin, here()))


def read_until_none(queue: Any, answers: Any) -> None:
    """A reader that ends when it gets the sentinel ``None``."""
    threading.current_thread().name = "reader"
    for letter, origin in iter(queue.get, None):
        answers.send((letter, origin, here()))


def count_up(queue: Any) -> None:
    for number in range(ITEMS):
        queue.put(number)


def enter(lock: Any, inside: Any, gate: Any, answers: Any) -> None:
    """Enter the critical section a few times, at the same time as the other visitors.

    Sends whether this process was always alone inside.
    """
    alone = True
    gate.wait(30)
    for _ in range(VISITS):
        with lock:
            alone = alone and inside.value == 0
            inside.value = os.getpid()
            time.sleep(0.002)
            alone = alone and inside.value == os.getpid()
            inside.value = 0
    answers.send(alone)


def run(recorder: Recorder) -> None:
    observe_delivery(recorder)
    observe_exclusion(recorder)
    for target in (read_for_ever, read_until_none):
        read_letters(recorder, target)


def observe_delivery(recorder: Recorder) -> None:
    queue: Any = multiprocessing.Queue()
    writer = multiprocessing.Process(target=count_up, args=(queue,))
    writer.start()
    numbers = [queue.get(timeout=10) for _ in range(ITEMS)]
    writer.join()
    recorder.observe("delivered in order", numbers == list(range(ITEMS)) and queue.empty())


def observe_exclusion(recorder: Recorder) -> None:
    recorder.observe("alone without a lock", all(visitors_alone(contextlib.nullcontext())))
    recorder.observe("alone inside", all(visitors_alone(multiprocessing.Lock())))
    recorder.tell("%d processes entered the locked section %d times each" % (VISITORS, VISITS))


def visitors_alone(lock: Any) -> list[bool]:
    """Let processes enter under this lock. Returns whether each process was always alone inside."""
    inside, gate = multiprocessing.Value("i", 0, lock=False), multiprocessing.Barrier(VISITORS)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    children = [multiprocessing.Process(target=enter, args=(lock, inside, gate, sender)) for _ in range(VISITORS)]
    for child in children:
        child.start()
    answers = [receiver.recv() for _ in children]
    for child in children:
        child.join()
    return answers


def read_letters(recorder: Recorder, target: Callable[[Any, Any], None]) -> None:
    queue: Any = multiprocessing.Queue()
    lock = multiprocessing.Lock()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    reader = multiprocessing.Process(target=target, args=(queue, sender))
    writer = multiprocessing.Process(target=write, args=(LETTERS, queue, lock))
    reader.start()
    writer.start()
    writer.join()
    recorder.tell("the writer has ended, and was joined")
    for _ in LETTERS:
        letter, origin, arrival = receiver.recv()
        recorder.tell("put %s" % letter, origin)
        recorder.tell("got %s" % letter, arrival, origin)
    if target is read_for_ever:
        reader.join(0.1)
        recorder.observe("outlived the writer", reader.is_alive())
        recorder.tell("the reader waits for ever; the parent calls terminate()")
        reader.terminate()
        reader.join()
        recorder.observe("terminated", reader.exitcode is not None and reader.exitcode < 0)
    else:
        queue.put(None)
        reader.join(10)
        recorder.observe("sentinel ended it", reader.exitcode == 0)
        recorder.tell("a second reader got a sentinel and ended by itself, exit code %s" % reader.exitcode)


def judge_lock(evidence: Evidence, facts: Facts) -> Finding:
    if evidence.last("alone without a lock"):
        return Finding(INCONCLUSIVE, "no process met another even without the lock, so the experiment decides nothing")
    return holds("alone inside", "no process met another inside", "two processes were inside at once")(evidence, facts)


def judge_reader(evidence: Evidence, facts: Facts) -> Finding:
    finding = holds("outlived the writer", "", "the endless reader ended by itself")(evidence, facts)
    if finding.verdict != CONFIRMED:
        return finding
    clause = "; a sentinel ends a reader too" if all(evidence.all("sentinel ended it")) else ""
    return holds("terminated", "it waited on until terminate() ended it" + clause, "terminate() did not end it")(
        evidence, facts
    )


EXPERIMENT = Experiment(
    name="queue",
    summary="Queue and Lock: a queue delivers its items, a lock keeps others out, an endless reader stays",
    method="One process puts 200 numbers, and another process gets them. Three processes enter a locked section five"
    " times each and look for each other inside. Without the lock they must meet, or the experiment decides nothing."
    " Then the tutorial's writer and reader run, once with an endless loop and once with a sentinel.",
    watch="The reader lives on after the writer has ended and the queue is empty: nothing tells it that no letter"
    " follows.",
    run=run,
    typical_seconds=0.4,
    claims=(
        Claim(
            "queue.delivers",
            "what is put is got, once, in order, across processes",
            holds(
                "delivered in order",
                "all %d items, once, in order" % ITEMS,
                "items were lost, doubled or reordered",
            ),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#pipes-and-queues")),
        ),
        Claim(
            "queue.lock-excludes",
            "while one process holds the lock no other enters",
            judge_lock,
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#synchronization-primitives")),
        ),
        Claim(
            "queue.reader-needs-terminate",
            "an endless reader outlives the writer and must be terminated",
            judge_reader,
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#multiprocessing.Process.terminate")),
        ),
    ),
)
