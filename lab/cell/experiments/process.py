"""``Process``: children with a target and arguments, ``start()`` and ``join()``."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any

from lab.cell.claims.claim import CONFIRMED, Claim, Experiment, always, docs, holds, seen
from lab.cell.claims.recorder import Recorder, here
from lab.cell.measuring.overlap import most_at_once

NAPS = (0.06, 0.08, 0.10)
LINGER = 0.02
TRIES = 3


def nap(name: str, seconds: float, answers: Any) -> None:
    """The child: wait, then report its pid, its parent and its times."""
    start = here()
    time.sleep(seconds)
    parent = multiprocessing.parent_process()
    answers.send((name, start, here(), parent.pid if parent else 0))
    answers.close()
    time.sleep(LINGER)  # so that join() still has to wait after the answer has arrived


def run(recorder: Recorder) -> None:
    recorder.tell("the parent starts %d children and joins them" % len(NAPS))
    for _ in range(TRIES):
        visits = start_and_join(recorder)
        most = most_at_once([(start["at"], end["at"]) for _, start, end, _ in visits])
        if most == len(NAPS):
            break  # one such try is proof, while a try on a busy machine can fail without any meaning
    recorder.observe("all at once", most == len(NAPS) if most in (1, len(NAPS)) else None)
    recorder.observe("most at once", most, "children")
    pids = {start["pid"] for _, start, _, _ in visits}
    recorder.observe("own pid", len(pids) == len(NAPS) and os.getpid() not in pids)
    recorder.observe("knows its parent", all(parent == os.getpid() for _, _, _, parent in visits))


def start_and_join(recorder: Recorder) -> list[Any]:
    children = []
    start_time = time.monotonic()
    for number, seconds in enumerate(NAPS):
        receiver, sender = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.Process(target=nap, args=("child-%d" % number, seconds, sender))
        child.start()
        sender.close()
        children.append((child, receiver))
    visits = []
    for child, receiver in children:
        visits.append(receiver.recv())
        child.join()
        recorder.observe("join waited", not child.is_alive() and time.monotonic() - visits[-1][2]["at"] >= LINGER)
    wall = time.monotonic() - start_time
    for name, start, end, parent in visits:
        recorder.tell("%s (child of %d) begins to wait" % (name, parent), start)
        recorder.tell("%s has waited" % name, end, start)
    recorder.tell("all joined after %.2f s; one after the other they would need %.2f s" % (wall, sum(NAPS)))
    recorder.observe("wall", wall, "s")
    return visits


EXPERIMENT = Experiment(
    name="process",
    summary="Process: children run side by side, each with a pid of its own",
    method="Three children each wait a little (0.06 to 0.1 s) and report their pid, their parent and the times at"
    " which they began and ended. They run at the same time if there is a moment at which all three wait. There are up"
    " to three tries, because a busy machine can start a child late.",
    watch="Look at the times in the story: all children begin before the first child ends, also on a single CPU.",
    run=run,
    typical_seconds=0.4,
    claims=(
        Claim(
            "process.concurrent",
            "children that wait run at the same time: wall time is the longest, not the sum",
            lambda evidence, facts: holds(
                "all at once",
                "all %d children waited at the same time" % len(NAPS),
                "no two children waited at the same time",
            )(evidence, facts),
            always(CONFIRMED),
            advice="Start every child before you join the first one, and weigh the start of a worker (start-cost)"
            " against the length of its task.",
            source=seen(docs("library/multiprocessing.html")),
        ),
        Claim(
            "process.own-pid",
            "every child has its own pid and knows its parent",
            lambda evidence, facts: (
                holds("own pid", "all pids differ", "two processes share a pid")
                if all(evidence.all("knows its parent"))
                else holds("knows its parent", "", "parent_process().pid is not the caller's pid")
            )(evidence, facts),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#multiprocessing.parent_process")),
        ),
        Claim(
            "process.join-waits",
            "join() returns only when the child has ended",
            holds("join waited", "every child had ended when join() returned", "a child lived on after join()"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#multiprocessing.Process.join")),
        ),
    ),
)
