"""``Queue`` and ``Lock``: a writer puts letters while it holds a lock, an endless reader has to be terminated."""

import multiprocessing
import os
import time

from lab.experiments._claims import CONFIRMED, Claim, Experiment, always, holds
from lab.experiments._voice import here

LETTERS = ("A", "B", "C", "D")
ITEMS = 200


def write(letters, queue, lock):
    """The tutorial's writer: puts each letter while it holds the lock."""
    for letter in letters:
        with lock:
            queue.put((letter, here()))
            time.sleep(0.005)


def read_for_ever(queue, answers):
    """The tutorial's reader: a loop without an end."""
    while True:
        letter, sent = queue.get()
        answers.send((letter, sent, here()))


def read_until_none(queue, answers):
    """A reader that a sentinel ends."""
    for letter, sent in iter(queue.get, None):
        answers.send((letter, sent, here()))


def count_up(queue):
    for number in range(ITEMS):
        queue.put(number)


def enter(lock, inside, times, answers):
    """Enter the critical section a few times; report whether anyone else was ever in it."""
    alone = True
    for _ in range(times):
        with lock:
            alone = alone and inside.value == 0
            inside.value = os.getpid()
            time.sleep(0.002)
            alone = alone and inside.value == os.getpid()
            inside.value = 0
    answers.send(alone)


def run(voice):
    delivers(voice)
    excludes(voice)
    for target in (read_for_ever, read_until_none):
        read_letters(voice, target)


def delivers(voice):
    queue = multiprocessing.Queue()
    writer = multiprocessing.Process(target=count_up, args=(queue,))
    writer.start()
    got = [queue.get(timeout=10) for _ in range(ITEMS)]
    writer.join()
    voice.observe("delivered in order", got == list(range(ITEMS)) and queue.empty())


def excludes(voice):
    lock, inside = multiprocessing.Lock(), multiprocessing.Value("i", 0, lock=False)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    children = [multiprocessing.Process(target=enter, args=(lock, inside, 5, sender)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        voice.observe("alone inside", receiver.recv())
    for child in children:
        child.join()
    # The control: without mutual exclusion the same test must be able to see a second process inside.
    voice.tell("three processes entered the locked section five times each")


def read_letters(voice, target):
    queue, lock = multiprocessing.Queue(), multiprocessing.Lock()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    reader = multiprocessing.Process(target=target, args=(queue, sender))
    writer = multiprocessing.Process(target=write, args=(LETTERS, queue, lock))
    reader.start()
    writer.start()
    writer.join()
    voice.tell("the writer has ended, and was joined")
    for _ in LETTERS:
        letter, sent, received = receiver.recv()
        voice.tell("put %s" % letter, sent)
        voice.tell("got %s" % letter, received)
    if target is read_for_ever:
        reader.join(0.1)
        voice.observe("outlived the writer", reader.is_alive())
        voice.tell("the reader waits for ever; the parent calls terminate()")
        reader.terminate()
        reader.join()
        voice.observe("terminated", reader.exitcode is not None and reader.exitcode < 0)
    else:
        queue.put(None)
        reader.join(10)
        voice.observe("sentinel ended it", reader.exitcode == 0)
        voice.tell("a second reader got a sentinel and ended by itself, exit code %s" % reader.exitcode)


def judge_reader(evidence, facts):
    outlived = holds("outlived the writer", "", "the endless reader ended by itself")(evidence, facts)
    if outlived.verdict != CONFIRMED:
        return outlived
    also = "; a sentinel ends one too" if all(evidence.all("sentinel ended it")) else ""
    return holds("terminated", "it waited on until terminate() ended it" + also, "terminate() did not end it")(
        evidence, facts
    )


EXPERIMENT = Experiment(
    name="queue",
    summary="Queue and Lock: what is put is got, a lock keeps others out, an endless reader stays",
    method="One process puts 200 numbers, another gets them. Three processes enter a locked section five times each and"
    " look for each other inside. Then the tutorial's writer and reader, once with an endless loop and once with a"
    " sentinel.",
    watch="The reader lives on after the writer has ended and the queue is empty: nothing tells it that no more comes.",
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
        ),
        Claim(
            "queue.lock-excludes",
            "while one process holds the lock no other enters",
            holds("alone inside", "no process met another inside", "two processes were inside at once"),
            always(CONFIRMED),
        ),
        Claim(
            "queue.reader-needs-terminate",
            "an endless reader outlives the writer and must be terminated",
            judge_reader,
            always(CONFIRMED),
        ),
    ),
)
