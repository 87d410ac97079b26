"""``Manager``: how tasks of a pool can share a queue and a lock, and whether they need a manager for that."""

from __future__ import annotations

import multiprocessing
from typing import Any

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
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
from lab.cell.claims.wording import shortened

ITEMS = ("A", "B", "C", "D")

_inherited: Any = None


def put_locked(queue: Any, lock: Any, item: str) -> None:
    with lock:
        queue.put((item, here()))


def use(thing: object) -> None:
    """A task whose argument cannot be pickled, so it never runs."""


def inherit(queue: Any) -> None:
    """The initializer: it passes a plain queue to a worker, which inherits the queue as it starts."""
    global _inherited
    _inherited = queue


def put_inherited(item: str) -> None:
    _inherited.put((item, here()))


def run(recorder: Recorder) -> None:
    plain_fails(recorder)
    managed_works(recorder)
    for method in sorted(multiprocessing.get_all_start_methods()):  # in one order on every version
        inherited_works(recorder, method)


def plain_fails(recorder: Recorder) -> None:
    with multiprocessing.Pool(1) as pool:
        things: tuple[Any, ...] = (multiprocessing.Queue(), multiprocessing.Lock())
        for thing in things:
            result = pool.apply_async(use, (thing,))  # raises nothing yet
            try:
                result.get(10)
            except RuntimeError as error:
                recorder.observe("plain failed", True)
                recorder.tell("a plain %s: get() raises %s" % (type(thing).__name__, shortened(str(error), 60)))
            else:
                recorder.observe("plain failed", False)


def managed_works(recorder: Recorder) -> None:
    with multiprocessing.Manager() as manager, multiprocessing.Pool(2) as pool:
        queue, lock = manager.Queue(), manager.Lock()
        for result in [pool.apply_async(put_locked, (queue, lock, item)) for item in ITEMS]:
            result.get(10)
        arrivals = [queue.get(timeout=10) for _ in ITEMS]
    for item, place in arrivals:
        recorder.tell("put %s into the manager's queue, holding the manager's lock" % item, place)
    recorder.observe("managed worked", sorted(item for item, _ in arrivals) == list(ITEMS))


def inherited_works(recorder: Recorder, method: str) -> None:
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    with context.Pool(1, inherit, (queue,)) as pool:
        for item in ITEMS:
            pool.apply_async(put_inherited, (item,)).get(20)
        items = [queue.get(timeout=10)[0] for _ in ITEMS]
    recorder.observe("inherited worked", items == list(ITEMS))
    recorder.observe("start method tried", method)
    recorder.tell("%s: a plain queue passed through initializer carried %d items" % (method, len(items)))


def judge_needed(evidence: Evidence, facts: Facts) -> Finding:
    methods = ", ".join(evidence.all("start method tried"))
    if not methods:
        return Finding(INCONCLUSIVE, "no start method was tried")
    if all(evidence.all("inherited worked")):
        return Finding(REFUTED, "a plain queue passed through initializer works under " + methods)
    if any(evidence.all("inherited worked")):
        return Finding(REFUTED, "a plain queue passed through initializer works under some start methods")
    return Finding(CONFIRMED, "no plain queue reached a worker")


EXPERIMENT = Experiment(
    name="manager",
    summary="Manager: sharing a queue and a lock among the tasks of a pool",
    method="Hands a plain Queue and a plain Lock to a pool's task and calls get() on the result. Does the same with a"
    " Manager's queue and lock. Then passes a plain queue through the pool's initializer, under every start method.",
    watch="The failure shows only at get(): a program that never calls get() loses its items without a message.",
    run=run,
    typical_seconds=0.5,
    claims=(
        Claim(
            "manager.plain-queue-fails",
            "a plain Queue or Lock handed to a pool task fails",
            holds("plain failed", "RuntimeError, and only at get()", "both were handed over"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#programming-guidelines")),
        ),
        Claim(
            "manager.queue-works",
            "a Manager queue and lock work in a pool",
            holds("managed worked", "all %d items arrived" % len(ITEMS), "items are missing"),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#managers")),
        ),
        Claim(
            "manager.needed",
            "a pool needs a Manager to share a queue",
            judge_needed,
            always(REFUTED),
            advice="Pass a plain Queue or Lock through Pool(initializer=..., initargs=...). A Manager is one more"
            " process, to which every put and get sends a request.",
            source=seen(docs("library/multiprocessing.html#programming-guidelines")),
        ),
    ),
)
