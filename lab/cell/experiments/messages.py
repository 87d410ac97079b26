"""Messages: what a round trip and a stream cost in each means of communication between processes."""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.managers
import os
import time
from typing import Any, Callable, Sequence

from lab.cell.claims.claim import CONFIRMED, Evidence, Experiment, Figure, Round, Tolerance, always, docs, seen
from lab.cell.claims.measured import Measured, claim, enough, over, value_of
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.rounds import Crew, shuffler

FEWEST_ROUNDS = 6
#: Messages in a block: round trips, then a stream in one direction without waiting.
TRIPS, STREAM = 15, 60

#: The message is about as long as a small task or result.
MESSAGE = b"x" * 100

#: The lower bound for all means: bytes through the kernel's pipes, without Python's pickling and locks.
FLOOR = "bare pipe"


class _BarePipe:
    """The kernel's pipe, with a queue's two methods. Messages arrive whole, because they are shorter than PIPE_BUF."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def put(self, message: bytes) -> None:
        os.write(self._writer, message)

    def get(self) -> bytes:
        return os.read(self._reader, len(MESSAGE))


class _Pipe:
    """One direction of ``multiprocessing.Pipe()``, with a queue's two methods."""

    def __init__(self, context: Any) -> None:
        reader, writer = context.Pipe(duplex=False)
        self.put: Callable[[bytes], None] = writer.send
        self.get: Callable[[], bytes] = reader.recv


def echo(requests: Any, answers: Any) -> None:
    """The partner process: it answers each message of a round trip, but only the last message of a stream."""
    while True:
        for _ in range(TRIPS):
            answers.put(requests.get())
        for _ in range(STREAM - 1):
            requests.get()
        answers.put(requests.get())


def exchange(requests: Any, answers: Any) -> dict[str, Any]:
    """One block: the seconds of a round trip, and of a message in a stream."""
    start = time.monotonic()
    for _ in range(TRIPS):
        requests.put(MESSAGE)
        answers.get()
    middle = time.monotonic()
    for _ in range(STREAM):
        requests.put(MESSAGE)
    answers.get()
    end = time.monotonic()
    return {"seconds": round((middle - start) / TRIPS, 8), "each": round((end - middle) / STREAM, 8)}


def run(recorder: Recorder) -> None:
    order = shuffler(recorder.seed)
    context = multiprocessing.get_context("fork")
    with Crew(recorder.cpus) as crew, context.Manager() as manager:
        ways: dict[str, tuple[Any, Any]] = {
            FLOOR: (_BarePipe(), _BarePipe()),
            "Pipe": (_Pipe(context), _Pipe(context)),
            "SimpleQueue": (context.SimpleQueue(), context.SimpleQueue()),
            "Queue": (context.Queue(), context.Queue()),
            "Manager queue": (manager.Queue(), manager.Queue()),
        }
        partners = [context.Process(target=echo, args=ends, daemon=True) for ends in ways.values()]
        for partner in partners:
            partner.start()
        blocks = {name: functools.partial(exchange, *ends) for name, ends in ways.items()}
        for block in blocks.values():
            block()  # warms up: a Queue starts its thread at the first put
        rounds: list[Round] = []
        until = time.monotonic() + recorder.seconds
        while not enough(rounds, FEWEST_ROUNDS, MEASURED.values(), until):
            rounds.append(crew.gated(blocks, len(rounds), order))
            recorder.sample("round", rounds[-1])
        for partner in partners:
            partner.terminate()
            partner.join()
    for name in blocks:
        recorder.tell("%s: a round trip in %.0f µs" % (name, 1e6 * rounds[-1][name]["seconds"]))


def trip(name: str) -> Measured:
    return Measured((name,), value_of(name, "seconds"), unit="s", better="lower")


def stream(name: str) -> Measured:
    return Measured((name,), lambda blocks: 1 / blocks[name]["each"], unit="/s", better="higher")


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    names = (FLOOR, "Pipe", "SimpleQueue", "Queue", "Manager queue")
    return [trip(name).figure("round trip, " + name, rounds) for name in names] + [
        stream(name).figure("messages a second, " + name, rounds) for name in names
    ]


def compare(slow: str, quick: str) -> Measured:
    return Measured(
        (slow, quick),
        over(slow, quick, "seconds"),
        lambda times: f"a {slow}'s round trip took {times:.1f} times a {quick}'s",
        ceiling=((slow, FLOOR), over(slow, FLOOR, "seconds")),  # nothing is quicker than the bare pipe
    )


#: Claim -> its measurement, and the tolerance that confirms it.
MEASURED = {
    "messages.pipe-quicker": (
        compare("Queue", "Pipe"),
        Tolerance(1.1, None, "a tenth more is more than one round trip differs from the next"),
    ),
    "messages.manager-slowest": (
        compare("Manager queue", "Queue"),
        Tolerance(1.1, None, "a tenth more is more than one round trip differs from the next"),
    ),
}

EXPERIMENT = Experiment(
    name="messages",
    summary="Messages: round trip and throughput of pipe, queues and a Manager's queue",
    method="Two processes exchange 100 bytes: fifteen round trips, then sixty messages one way. Six rounds use each"
    " means in random order. The kernel's bare pipe is measured too, because no means can be quicker.",
    watch="A Queue is a Pipe with two locks and a thread that feeds it. A Manager's queue is in a third process, to"
    " which every put and every get sends a request.",
    run=run,
    typical_seconds=1.2,
    figures=figures,
    claims=(
        claim(
            "messages.pipe-quicker",
            "a Pipe answers sooner than a Queue",
            *MEASURED["messages.pipe-quicker"],
            always(CONFIRMED),
            advice="Choose between Pipe and Queue by what they can do: speed is no reason here.",
            source=seen(),
        ),
        claim(
            "messages.manager-slowest",
            "a Manager's queue answers later than a plain Queue",
            *MEASURED["messages.manager-slowest"],
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#managers")),
        ),
    ),
    extra=True,
)
