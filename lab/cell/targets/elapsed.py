"""A whole list of items through the executors of ``concurrent.futures``.

Pickling, dispatch and the slowest worker count. A block is the whole list, once or several times. The pools live as
long as the measurement, as those of a program do.
"""

from __future__ import annotations

import concurrent.futures as futures
import contextlib
import functools
import itertools
import math
import multiprocessing
import os
import time
from typing import Any, Callable, NamedTuple, Sequence

from lab.cell.claims.claim import Round
from lab.cell.claims.recorder import Recorder, in_words
from lab.cell.measuring.rounds import Crew, shuffler
from lab.cell.targets import choice, environment, memory_limit
from lab.cell.targets.arms import INTERPRETER, THREAD, counts, executors, name_of
from lab.cell.targets.calling import factory, function_with_arguments, made_by
from lab.cell.targets.case import Case
from lab.cell.targets.figures import BASE, enough
from lab.cell.targets.form import PLAIN, kind_of
from lab.cell.targets.importing import TargetError, import_module
from lab.cell.targets.trial import Trial, pickled

#: A list with more items than this is taken for endless.
MOST_ITEMS = 1_000_000
#: A block lasts at least so long, in seconds; a shorter list is worked on several times.
SHORTEST_BLOCK = 0.05
#: Without chunk sizes of the user's, items travel one by one, and in so many chunks for each worker.
CHUNKS_A_WORKER = 4


class Pool(NamedTuple):
    """An executor that works on the list."""

    #: The name in records and tables: ``2 processes (fork), chunks of 10``.
    name: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn`` or ``interpreter``.
    executor: str
    #: How many workers it has.
    workers: int
    #: How many items travel at a time.
    chunk: int


def items_of(case: Case) -> list[Any]:
    """The items: what the function or the iterable of that name gives. Raises TargetError where it is no list."""
    thing: Any = factory(case, case.items)
    who = "--items %s" % case.items
    source = made_by(who, thing) if callable(thing) else thing
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


def pools_for(case: Case, cpus: int, waits: bool, items: int) -> list[Pool]:
    """The pools to try, each kind with each number of workers and each chunk size."""
    pools = []
    for workers in counts(cpus, waits):
        usual = max(1, math.ceil(items / (CHUNKS_A_WORKER * workers)))
        for kind in executors():
            in_process = kind not in (THREAD, INTERPRETER)  # only pools of processes hand several items over at a time
            for chunk in [1] if not in_process else list(case.chunks) or sorted({1, usual}):
                name = name_of(kind, workers) + (", chunks of %d" % chunk if chunk > 1 else "")
                pools.append(Pool(name, kind, workers, chunk))
    return pools


def measure(recorder: Recorder, case: Case, trial: Trial) -> None:
    """Try each pool once, then let all that work take turns with a plain loop."""
    items, function = items_of(case), function_of(case)
    loops = _loops(trial.call_seconds * len(items))
    recorder.observe("items", {"count": len(items), "loops": loops})
    size, seconds, error = pickled(items[0])
    recorder.observe("item", {"bytes": size, "seconds": seconds, "error": error})
    order = shuffler(recorder.seed)
    with Crew(recorder.cpus, quota_under_test=recorder.quota is not None) as crew, contextlib.ExitStack() as stack:
        blocks: dict[str, Callable[[], dict[str, Any]]] = {BASE: _loop(function, items, loops)}
        working: list[tuple[str, str, int, bool, int]] = []
        made: dict[tuple[str, int], Any] = {}
        pools = pools_for(case, len(recorder.cpus), trial.waits, len(items))
        most = 1 + sum(workers for _, workers in {(pool.executor, pool.workers) for pool in pools})
        for pool in pools:
            environment.go_home(case.project)  # the workers begin where threads and the loop may have left
            try:
                executor = made.get((pool.executor, pool.workers))
                if executor is None:
                    executor = made[pool.executor, pool.workers] = _made(pool, case, most, stack)
                once = _mapped(executor, function, items, pool.chunk, 1)
                once()  # which starts the workers
                block = _mapped(executor, function, items, pool.chunk, _loops(once()["seconds"]))
            except BaseException as error:  # whatever the user's function, its argument or its result does in a worker
                recorder.observe("out", [pool.name, pool.executor, in_words(error)])
                continue
            blocks[pool.name] = block
            working.append((pool.name, pool.executor, pool.workers, False, pool.chunk))
        recorder.observe("arms", working)
        rounds: list[Round] = []
        begun = time.monotonic()

        def is_decided() -> bool:
            return choice.is_decided(trial, working, rounds)

        while not enough(rounds, [name for name, *_ in working], time.monotonic() - begun, recorder, is_decided):
            blocks_of_round = crew.gated(blocks, len(rounds), order)
            recorder.sample("round", blocks_of_round)
            rounds.append(blocks_of_round)


def _begin(project: str, workers: int) -> None:
    """Begin as one of so many workers: limit the memory, and enter the user's environment."""
    memory_limit.set_for(workers)
    environment.enter(project)


def _made(pool: Pool, case: Case, most: int, stack: contextlib.ExitStack) -> Any:
    """A pool of that kind, which the stack ends. Its workers begin first; in all pools there are ``most`` of them."""
    if pool.executor == THREAD:
        return stack.enter_context(futures.ThreadPoolExecutor(pool.workers))
    initial: dict[str, Any] = {"initializer": _begin, "initargs": (case.project, most)}
    if pool.executor == INTERPRETER:  # it is a part of this process, whose memory is limited
        initial = {"initializer": environment.enter, "initargs": (case.project,)}
        executor = futures.InterpreterPoolExecutor(pool.workers, **initial)  # type: ignore[attr-defined,unused-ignore]
        return stack.enter_context(executor)
    context = multiprocessing.get_context(pool.executor)
    return stack.enter_context(futures.ProcessPoolExecutor(pool.workers, context, **initial))


def _loops(seconds: float) -> int:
    """How often a block works on the list, where once takes so many seconds."""
    return max(1, math.ceil(SHORTEST_BLOCK / max(seconds, 1e-9)))


def _loop(function: Callable[[Any], Any], items: Sequence[Any], loops: int) -> Callable[[], dict[str, Any]]:
    def block() -> dict[str, Any]:
        with _Clock(None) as clock:
            for _ in range(loops):
                [function(item) for item in items]
        return clock.block(loops * len(items))

    return block


def _mapped(
    executor: Any, function: Callable[[Any], Any], items: Sequence[Any], chunk: int, loops: int
) -> Callable[[], dict[str, Any]]:
    def block() -> dict[str, Any]:
        with _Clock(executor) as clock:
            for _ in range(loops):
                list(executor.map(function, items, chunksize=chunk))
        return clock.block(loops * len(items))

    return block


class _Clock:
    """Elapsed time and CPU time of this process and of a pool's processes; use as a context manager."""

    def __init__(self, executor: Any) -> None:
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
            "rate": round(items / self._seconds, 3),
            "cores": round(max(self._spent, 0.0) / self._seconds, 4),
            "seconds": round(self._seconds, 6),
        }

    def _cpu_seconds(self) -> float:
        processes = list(getattr(self._executor, "_processes", None) or {})
        return time.process_time() + sum(_spent_by(process) for process in processes)


def _spent_by(process: int) -> float:
    """CPU seconds of a process: fields 14 and 15 of /proc/pid/stat (man 5 proc); 0 where it has ended."""
    try:
        with open("/proc/%d/stat" % process) as stream:
            fields = stream.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
