"""A whole list of items through the executors of ``concurrent.futures``.

Pickling, dispatch and the slowest worker count. A block is the whole list, once or several times. The pools live as
long as the measurement, as those of a program do. One that fails, hangs or breaks costs itself alone.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import operator
import time
from typing import Any, Callable, Iterable, Sequence

from lab.cell.claims.claim import Round
from lab.cell.claims.recorder import NotMeasuredError, Recorder, in_words
from lab.cell.measuring.process_tree import cpu_seconds
from lab.cell.measuring.rounds import Crew, shuffler, six_digits
from lab.cell.targets import choice, environment
from lab.cell.targets.calling import factory, function_with_arguments, made_by
from lab.cell.targets.case import Case
from lab.cell.targets.figures import BASE, LATER, enough
from lab.cell.targets.form import PLAIN, kind_of
from lab.cell.targets.importing import TargetError, import_module, in_place, missing_package
from lab.cell.targets.pools import Executor, Pool, pools_for
from lab.cell.targets.trial import Trial, pickled

#: A list with more items than this is taken for endless.
MOST_ITEMS = 1_000_000
#: A block lasts at least so long, in seconds; a shorter list is worked on several times.
SHORTEST_BLOCK = 0.05
#: A pool is lost that takes so many times as long as the plain loop, beyond the seconds in which it may begin.
PATIENCE = 4.0

#: Works on the list, once or several times, and returns what was measured.
Block = Callable[[], "dict[str, Any]"]


def items_of(case: Case) -> list[Any]:
    """The items: what the function or the iterable of that name gives. Raises TargetError where it is no list."""
    thing: Any = factory(case, case.items)
    who = "--items %s" % case.items
    source = made_by(who, thing) if callable(thing) else thing
    if not callable(thing) and hasattr(source, "__next__"):
        raise TargetError("%s can be read only once, and several workers read it; name a list, or its function" % who)
    if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
        raise TargetError("%s is of type %s, and no iterable; name a list" % (who, type(source).__name__))
    items: list[Any] = made_by(who, lambda: list(itertools.islice(source, MOST_ITEMS + 1)))
    if not items:
        raise TargetError("--items %s is empty; give at least one item" % case.items)
    if len(items) > MOST_ITEMS:
        raise TargetError(
            "--items %s has more than %d items, or no end; take a part: itertools.islice" % (case.items, MOST_ITEMS)
        )
    return items


def function_of(case: Case) -> Callable[[Any], Any]:
    """The function that is called with each item, in a form that can be pickled.

    Raises TargetError for what takes no items, and SkippedError where asv would leave the benchmark out.
    """
    function, positional = function_with_arguments(case, import_module(case))
    if kind_of(function) != PLAIN:
        raise TargetError(
            "%s gives a coroutine or a generator, so a pool would only make it; with --items name a function that"
            " runs it to its end, with asyncio.run() or list()" % case.label
        )
    if not positional and not case.arguments:
        plain: Callable[[Any], Any] = function
        return plain
    return functools.partial(function, *positional, **case.arguments)


def call_each(case: Case, function: Callable[[Any], Any], items: Sequence[Any], most: float = math.inf) -> float:
    """Call the function with one item after the other, for at most so many seconds. Returns the mean seconds of a call.

    Raises TargetError, which names the item, where it raises. The message goes on from the label of the case.
    """
    begun = time.monotonic()
    for number, item in enumerate(items, 1):
        try:
            function(item)
        except BaseException as error:  # whatever the user's function raises
            place = "item %d of %d of --items %s" % (number, len(items), case.items)
            message = "raised at %s: %s; repair it, or leave that item out" % (place, in_place(error))
            raise TargetError(message, missing_package(error)) from error
        seconds = time.monotonic() - begun
        if seconds > most:
            break
    return seconds / number


def measure(recorder: Recorder, case: Case, trial: Trial) -> None:
    """Try each pool once, then let all that work take turns with a plain loop."""
    items, function = items_of(case), function_of(case)
    list_seconds = call_each(case, function, items) * len(items)
    loops = _loops(list_seconds)
    call_seconds = list_seconds / max(1, len(items))
    recorder.observe("items", {"count": len(items), "loops": loops, "call_seconds": call_seconds})
    size, seconds, error = pickled(items[0])
    recorder.observe("item", {"bytes": size, "seconds": seconds, "error": error})
    pools = pools_for(case, len(recorder.cpus), trial.waits, len(items))
    patience = trial.patience(max([pool.workers for pool in pools], default=1)) + PATIENCE * list_seconds
    with Crew(recorder.cpus, quota_under_test=recorder.quota is not None) as crew, contextlib.ExitStack() as stack:
        blocks = _tried(recorder, case, pools, function, items, patience, stack)
        recorder.observe("arms", _observed(blocks))
        _rounds(recorder, crew, _loop(function, items, loops), blocks, trial)


def _observed(pools: Iterable[Pool]) -> list[Sequence[object]]:
    """These pools, as records have them."""
    return [(pool.name, pool.executor, pool.workers, False, pool.chunk) for pool in pools]


def _tried(
    recorder: Recorder,
    case: Case,
    pools: Sequence[Pool],
    function: Callable[[Any], Any],
    items: Sequence[Any],
    patience_seconds: float,
    stack: contextlib.ExitStack,
) -> dict[Pool, Block]:
    """A block of each pool that works. Each works twice: the first time its workers start. What fails is recorded.

    Threads come last, because nothing ends those that do not return. Of a kind that does not, no other pool is tried.
    """
    blocks: dict[Pool, Block] = {}
    made: dict[tuple[str, int], Executor] = {}
    most = 1 + sum(workers for _, workers in {(pool.executor, pool.workers) for pool in pools})
    for pool in sorted(pools, key=lambda pool: pool.is_in_process):
        if any(executor.lost for (kind, _), executor in made.items() if kind == pool.executor):
            continue
        environment.go_home(case.project)  # the workers begin where threads and the loop may have left
        place = pool.executor, pool.workers
        try:
            if place not in made:
                made[place] = stack.enter_context(Executor(pool, case.project, most, patience_seconds))
            once = _mapped(made[place], function, items, pool.chunk, 1)
            once()
            blocks[pool] = _mapped(made[place], function, items, pool.chunk, _loops(once()["seconds"]))
        except BaseException as error:  # whatever the user's function, its argument or its result does in a worker
            recorder.observe("out", [pool.name, pool.executor, in_words(error)])
    return {pool: blocks[pool] for pool in pools if pool in blocks}


def _rounds(recorder: Recorder, crew: Crew, loop: Block, blocks: dict[Pool, Block], trial: Trial) -> None:
    """Measure in rounds until it is enough. A pool that fails is recorded, and takes part no more."""
    order = shuffler(recorder.seed)
    rounds: list[Round] = []
    begun = time.monotonic()

    def is_decided() -> bool:
        return choice.is_decided(trial, _observed(blocks), rounds)

    while not enough(rounds, [pool.name for pool in blocks], time.monotonic() - begun, recorder, is_decided):
        named = {BASE: loop, **{pool.name: block for pool, block in blocks.items()}}
        measured = crew.gated({name: _told(block) for name, block in named.items()}, len(rounds), order)
        if error := measured[BASE].get("error"):
            if not rounds:
                raise NotMeasuredError(error)
            recorder.observe("out", ["workers", LATER, "%s, after %d rounds" % (error, len(rounds))])
            return
        failed = [pool for pool in blocks if "error" in measured[pool.name]]
        for pool in failed:
            recorder.observe("out", [pool.name, pool.executor, measured[pool.name]["error"]])
            del blocks[pool]
        if not failed:  # what has failed may have been at work beside the others of its round
            recorder.sample("round", measured)
            rounds.append(measured)


def _told(block: Block) -> Block:
    """The block, which tells an error instead of raising it."""

    def telling() -> dict[str, Any]:
        try:
            return block()
        except BaseException as error:  # whatever the user's function raises
            return {"error": in_words(error)}

    return telling


def _loops(seconds: float) -> int:
    """How often a block works on the list, where once takes so many seconds."""
    return max(1, math.ceil(SHORTEST_BLOCK / max(seconds, 1e-9)))


def _loop(function: Callable[[Any], Any], items: Sequence[Any], loops: int) -> Block:
    def block() -> dict[str, Any]:
        with _Clock(None) as clock:
            for _ in range(loops):
                left = iter(items)
                try:
                    [function(item) for item in left]
                except BaseException as error:  # whatever the user's function raises
                    number = len(items) - operator.length_hint(left)
                    message = "raised at item %d of %d: %s" % (number, len(items), in_words(error))
                    raise NotMeasuredError(message) from error
        return clock.block(loops * len(items))

    return block


def _mapped(executor: Executor, function: Callable[[Any], Any], items: Sequence[Any], chunk: int, loops: int) -> Block:
    def block() -> dict[str, Any]:
        with _Clock(executor) as clock:
            for _ in range(loops):
                executor.work(function, items, chunk)
        return clock.block(loops * len(items))

    return block


class _Clock:
    """Elapsed time and CPU time of this process and of a pool's processes; use as a context manager."""

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor

    def __enter__(self) -> _Clock:
        self._spent, self._begun = self._cpu_seconds(), time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self._seconds = max(time.monotonic() - self._begun, 1e-9)
        self._spent = self._cpu_seconds() - self._spent

    def block(self, items: int) -> dict[str, Any]:
        """What was measured, as the block of a round."""
        return {
            "rate": six_digits(items / self._seconds),
            "cores": round(max(self._spent, 0.0) / self._seconds, 4),
            "seconds": round(self._seconds, 6),
        }

    def _cpu_seconds(self) -> float:
        processes = self._executor.processes if self._executor else []
        return time.process_time() + sum(cpu_seconds(process.pid) for process in processes)
