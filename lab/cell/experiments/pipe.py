"""``Pipe``: both of its ends send and receive."""

from __future__ import annotations

import multiprocessing
from typing import Any

from lab.cell.claims.claim import CONFIRMED, Claim, Experiment, always, docs, holds, seen
from lab.cell.claims.recorder import Recorder, here

WORDS = ("ping", "still there?", "bye")


def echo(end: Any) -> None:
    """The child's end: answer every word, and stop after the last word."""
    while True:
        word = end.recv()
        end.send((word.upper(), here()))
        if word == WORDS[-1]:
            return


def run(recorder: Recorder) -> None:
    end, child_end = multiprocessing.Pipe()
    child = multiprocessing.Process(target=echo, args=(child_end,))
    child.start()
    child_end.close()
    for word in WORDS:
        recorder.tell("the parent sends %r" % word)
        end.send(word)
        answer, place = end.recv()
        recorder.tell("the child answers %r" % answer, place)
        recorder.observe("answered", answer == word.upper())
    child.join()


EXPERIMENT = Experiment(
    name="pipe",
    summary="Pipe: both ends send and receive",
    method="The parent sends three words through one end of a Pipe, the child sends each back in capitals through the"
    " other end.",
    watch="A single object on each side carries both directions. With duplex=False one end only sends and the other"
    " end only receives.",
    run=run,
    typical_seconds=0.1,
    claims=(
        Claim(
            "pipe.duplex",
            "both ends of a Pipe send and receive",
            holds("answered", "every word came back through the same end", "no word came back"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#multiprocessing.Pipe")),
        ),
    ),
)
