"""Shared objects: threads run the same code on an object that they share, and on objects of their own."""

from __future__ import annotations

import threading
import time
import types
from typing import Any, Callable, Sequence

from lab.cell.claims.claim import CONFIRMED, REFUTED, Evidence, Experiment, Facts, Figure, Round, Tolerance, seen
from lab.cell.claims.measured import DELIVERED, Measured, claim, enough, over
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.payloads import PAYLOADS, Tools
from lab.cell.measuring.rounds import ALONE, BLOCK_SECONDS, REPEAT, TEAM_SECONDS, Arm, Crew, probe, shuffler

FEWEST_ROUNDS = 5  # an interval needs five values

#: A payload uses its object so many times. The code around these uses, which also shares objects, takes little time.
USES = 600


class Counter:
    """An object with one attribute."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


def use_item(cell: list[int]) -> None:
    for _ in range(USES):
        cell[0] += 1


def use_attribute(cell: Counter) -> None:
    for _ in range(USES):
        cell.number += 1


def use_reference(cell: object) -> None:
    """Only refer to the object. Nothing in it is read or changed, but its references are counted."""
    for _ in range(USES):
        (cell, cell)  # noqa: B018 - the tuple is the point: it holds two references for a moment


def use_function(function: Callable[[], None]) -> None:
    for _ in range(USES):
        function()


def nothing() -> None:
    """The function that is called."""


def another() -> Callable[[], None]:
    """A new function, with code of its own."""
    return types.FunctionType(nothing.__code__.replace(), {})


class ObjectKind:
    """One kind of object: how to make it, and the code that uses it.

    ``common`` is the object that all threads of a process share. Each thread also has an object of its own. It is made
    once, because making it costs more than using it. Python 3.13 without a GIL also never frees a function that was
    made while threads ran.
    """

    def __init__(self, make: Callable[[], Any], use: Callable[[Any], None]) -> None:
        self.make = make
        self.use = use
        self.common = make()
        self._local = threading.local()

    def own(self, tools: Tools) -> None:
        """A payload: use an object that no other thread can reach."""
        try:
            cell = self._local.cell
        except AttributeError:  # this thread has no object yet
            cell = self._local.cell = self.make()
        self.use(cell)

    def shared(self, tools: Tools) -> None:
        """A payload: use the common object."""
        self.use(self.common)


KINDS = {
    "list": ObjectKind(lambda: [0], use_item),
    "attribute": ObjectKind(Counter, use_attribute),
    "reference": ObjectKind(object, use_reference),
    "function": ObjectKind(another, use_function),
}

#: Every use of these objects takes their lock, so threads wait for it. A use of the other objects takes no lock.
LOCKED = ("list", "attribute")

#: The arms of a claim with a tolerance of a tenth. They have three times as many blocks as the other arms, whose claims
#: have a tolerance of a quarter.
CLOSE = ("processes, list", "threads, own list")

#: The arms that no claim uses, and that are only shown. After the fewest rounds they run in every second one.
SHOWN = (
    *("one, attribute", "processes, attribute", "threads, own attribute", "threads, shared attribute"),
    *("one, reference", "processes, reference", "one, function", "processes, function"),
)
SHOWN_EVERY = 2

# The crew's workers are forked, so they inherit these payloads.
for _name, _kind in KINDS.items():
    PAYLOADS["own " + _name] = _kind.own
    PAYLOADS["shared " + _name] = _kind.shared


def arms_for(cpus: int, gil: bool) -> tuple[Arm, ...]:
    """The arms of a round in a cell with that many CPUs.

    Without a GIL there is nothing to hand over. Blocks of threads can then be as short as all other blocks, and threads
    on objects of their own do not wait.
    """
    workers = max(2, cpus)
    free = workers <= cpus
    team = Arm("", "", threads=workers, clean=False, seconds=TEAM_SECONDS)
    if not gil:
        team = team._replace(seconds=BLOCK_SECONDS, repeat=REPEAT, has_own_cpus=free)
    own = team if gil else team._replace(clean=free)
    arms = [ALONE._replace(repeat=REPEAT), probe(cpus)._replace(repeat=REPEAT)]
    for name in KINDS:
        processes = Arm("processes, " + name, "own " + name, processes=workers, clean=free, repeat=REPEAT)
        shared = team if name in LOCKED else own
        together = (
            processes,
            own._replace(name="threads, own " + name, payload="own " + name),
            shared._replace(name="threads, shared " + name, payload="shared " + name),
        )
        arms.append(Arm("one, " + name, "own " + name, repeat=2))  # on two CPUs in turn
        arms += [arm._replace(beside=name) for arm in together]
    return tuple(arm._replace(repeat=3 * arm.repeat) if arm.name in CLOSE and not gil else arm for arm in arms)


def run(recorder: Recorder) -> None:
    arms = arms_for(len(recorder.cpus), gil_enabled())
    judged = [arm for arm in arms if arm.name not in SHOWN]
    order = shuffler(recorder.seed)
    rounds: list[Round] = []
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus) as crew:
        # On one CPU the rounds decide no claim: a single one shows that all of it runs.
        only_once = len(recorder.cpus) == 1
        if not only_once:
            crew.warm_up(arms, order)
        while not enough(rounds, FEWEST_ROUNDS, MEASURED.values(), until) and not (rounds and only_once):
            shows = len(rounds) < FEWEST_ROUNDS or len(rounds) % SHOWN_EVERY == 0
            rounds.extend(crew.rounds(arms if shows else judged, len(rounds), 1, order))
            recorder.sample("round", rounds[-1])
    for name in KINDS:
        names = ("threads, own " + name, "threads, shared " + name)
        rates = [next(blocks[arm]["rate"] for blocks in reversed(rounds) if arm in blocks) for arm in names]
        recorder.tell("%s: %.0f payloads a second on objects of their own, %.0f on one for all" % (name, *rates))


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    rows: list[Figure] = []
    if len(rounds) < FEWEST_ROUNDS:  # on one CPU
        return rows
    for name in KINDS:
        for arm in ("processes, " + name, "threads, own " + name, "threads, shared " + name):
            base = "one, " + name
            rows.append(Measured((arm, base), over(arm, base), better="higher").figure("speed-up, " + arm, rounds))
    return rows


def scaling(owner: str, place: str) -> Measured:
    """The rate of threads over that of as many processes, which share neither an interpreter nor an object."""
    arm, base = "threads, %s list" % owner, "processes, list"
    return Measured(
        (arm, base),
        over(arm, base),
        lambda share: f"threads on {place} reached {share:.2f} of the processes' speed-up",
        ceiling=DELIVERED,
        parallel=True,
    )


def cost(name: str, activity: str) -> Measured:
    """The rate on a shared object over the rate on private objects."""
    shared, own = "threads, shared " + name, "threads, own " + name
    return Measured(
        (shared, own), over(shared, own), lambda share: f"{activity} went at {share:.2f} of the speed", parallel=True
    )


_NINE_TENTHS = Tolerance(0.9, None, "threads that share an interpreter may lose a tenth of the processes' speed-up")
_SLOWER = Tolerance(None, 0.75, "a quarter less is more than any two arms of equal speed differ")
_EQUAL = Tolerance(0.75, None, "a quarter less is more than any two arms of equal speed differ")

#: Claim -> its measurement, and the tolerance that confirms it.
MEASURED = {
    "shared-object.own-scales": (scaling("own", "lists of their own"), _NINE_TENTHS),
    "shared-object.shared-scales": (scaling("shared", "one list"), _NINE_TENTHS),
    "shared-object.sharing-costs": (cost("list", "the same code on one list"), _SLOWER),
    "shared-object.reference-costs": (cost("reference", "code that only refers to one object"), _SLOWER),
    "shared-object.function-free": (cost("function", "calling one function"), _EQUAL),
}


def without_gil(facts: Facts) -> str | None:
    """The expectation of PEP 703: without the GIL threads run in parallel, and a list has a lock of its own.

    A thread that does not own an object counts its references to the object atomically (biased reference counting).
    """
    return REFUTED if facts.gil else CONFIRMED


EXPERIMENT = Experiment(
    name="shared-object",
    summary="Shared objects: the same threads on one object and on an object for each",
    method="Rounds of blocks of 5 to 25 ms in random order, beside the capacity probe. Threads and processes change an"
    " item of a list, change an attribute, hold a reference to an object, or call a function. Each worker uses an"
    " object of its own, and threads also use one object for all. The code is the same.",
    watch="Without a GIL, threads on objects of their own are as quick as processes. On a shared object they are"
    " slower than a single thread, because they wait for its lock and for its reference count. A function is the"
    " exception: the references to it are not counted one by one.",
    run=run,
    typical_seconds=3.5,
    figures=figures,
    extra=True,
    claims=(
        claim(
            "shared-object.own-scales",
            "threads on objects of their own reach nine tenths of the processes' speed-up",
            *MEASURED["shared-object.own-scales"],
            without_gil,
            least_cpus=2,
            source=seen("PEP 703", "PEP 779"),
        ),
        claim(
            "shared-object.shared-scales",
            "so do threads on one object",
            *MEASURED["shared-object.shared-scales"],
            lambda facts: REFUTED,
            least_cpus=2,
            source=seen("PEP 703"),
        ),
        claim(
            "shared-object.sharing-costs",
            "the same code is slower on a shared object than on objects of the threads' own",
            *MEASURED["shared-object.sharing-costs"],
            without_gil,
            least_cpus=2,
            source=seen("PEP 703"),
        ),
        claim(
            "shared-object.reference-costs",
            "even if it only refers to it: counting the references is enough",
            *MEASURED["shared-object.reference-costs"],
            without_gil,
            least_cpus=2,
            source=seen("PEP 703"),
        ),
        # PEP 703, "Deferred reference counting": functions at module level, and code.
        claim(
            "shared-object.function-free",
            "calling one function costs no more than calling functions of their own",
            *MEASURED["shared-object.function-free"],
            lambda facts: CONFIRMED,
            least_cpus=2,
            source=seen("PEP 703"),
        ),
    ),
)
