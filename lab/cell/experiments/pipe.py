"""``Pipe``: two ends, both of which send and receive."""

from __future__ import annotations

import multiprocessing
from typing import Any

from lab.cell.claims.claim import CONFIRMED, Claim, Experiment, always, docs, holds, seen
from lab.cell.claims.recorder import Recorder, here

WORDS = ("ping", "still there?", "bye")


def echo(end: Any) -> None:
    """The other end: answers every word until it hears the last one."""
    while True:
        word = end.recv()
        end.send((word.upper(), here()))
        if word == WORDS[-1]:
            return


def run(recorder: Recorder) -> None:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=echo, args=(theirs,))
    child.start()
    theirs.close()
    for word in WORDS:
        recorder.tell("the parent sends %r" % word)
        ours.send(word)
        answer, who = ours.recv()
        recorder.tell("the child answers %r" % answer, who)
        recorder.observe("answered", answer == word.upper())
    child.join()


EXPERIMENT = Experiment(
    name="pipe",
    summary="Pipe: both ends send and receive",
    method="The parent sends three words through one end of a Pipe, the child sends each back in capitals through the"
    " other end.",
    watch="One object a side carries both directions; with duplex=False each end can do only one.",
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
