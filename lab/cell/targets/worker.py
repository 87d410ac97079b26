"""What a worker does that measures a target: it keeps the crew's timetable, and calls the target in its blocks.

A call that is under way when a block ends counts with the share of it that lay within the block. So a long call is
measured as exactly as a short one, and blocks need not be a multiple of it.
"""

from __future__ import annotations

import bisect
import multiprocessing
import os
import threading
import time
from queue import SimpleQueue
from typing import Any, Callable, Sequence

from lab.cell.claims.recorder import in_words
from lab.cell.measuring.crew_worker import LOOK_SECONDS, Block, Tally, alone, interpreters, run_delay
from lab.cell.measuring.payloads import PAYLOADS, Tools
from lab.cell.measuring.stack_depth import at_depth
from lab.cell.targets import environment, memory_limit
from lab.cell.targets.calling import Call, Caller
from lab.cell.targets.case import Case, from_stored

#: The payloads of a target: with the argument that all workers of a process share, and with an argument of its own.
SHARED, OWN = "target", "target, own state"

#: Reading the clock after every call costs about 0.1 µs, so short calls are timed in groups of at least this length.
GROUP_SECONDS = 20e-6

#: At most so many times of calls are kept of each thread in a block.
MOST_TIMES = 64


def begin(lock: Any, stored: dict[str, Any], workers: int) -> Callable[[Sequence[Block]], list[Tally]]:
    """What one of so many workers does: import the target, then keep timetables."""
    memory_limit.set_for(workers)
    case = from_stored(stored)
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined] # it may start processes
    environment.enter(case.project)
    team = Team(Caller(case), group_size(case))
    tools = Tools(bytes(2**20), lock)

    def keep(blocks: Sequence[Block]) -> list[Tally]:
        tallies = []
        for block in blocks:
            memory_limit.share_among(len(block.cpus))
            if block.payload in PAYLOADS:
                tallies.append(alone(block, 0, tools))
            elif block.isolated:
                tallies.append(_in_interpreters(block, stored))
            else:
                tallies.append(team.tally(block))
        return tallies

    return keep


def group_size(case: Case) -> int:
    """How many calls are timed together."""
    return max(1, round(GROUP_SECONDS / case.call_seconds)) if case.call_seconds else 1


class Team:
    """Threads that live as long as the worker, as those of an executor do, and call the target in blocks."""

    def __init__(self, caller: Caller, size: int) -> None:
        self._caller = caller
        self._size = size
        self._threads: list[tuple[SimpleQueue[Any], SimpleQueue[Any]]] = []

    def tally(self, block: Block) -> Tally:
        """Let as many threads as the block has CPU sets call the target; a single one is the main thread."""
        if os.sched_getaffinity(0) != set(block.cpus[0]):
            os.sched_setaffinity(0, block.cpus[0])
        own = block.payload == OWN
        if len(block.cpus) == 1:
            work = [lambda: self._timed(0, own, block)]
        else:
            work = [
                lambda number=number: self._timed(number, own, block)  # type: ignore[misc]
                for number in range(len(block.cpus))
            ]
        return self._all(work, block)

    def _timed(self, number: int, own: bool, block: Block) -> Tally:
        """What one thread does. Its argument is made in its first block, and whatever that raises is told."""
        try:
            call = self._caller.call(number, own)
        except BaseException as error:  # whatever the user's setup raises
            return failed(block, in_words(error))
        if len(block.cpus) > 1:
            _spread(number, block.cpus[number])
        return timed(call, self._size, block)

    def _all(self, work: Sequence[Callable[[], Tally]], block: Block) -> Tally:
        """Do all of this at once, and tally it with the CPU time of the whole process and of its children."""
        first = block.work_start
        if len(work) == 1:
            time.sleep(max(0.0, first - LOOK_SECONDS - time.monotonic()))
            spent = cpu_seconds()
            tallies = [work[0]()]
        else:
            while len(self._threads) < len(work):
                self._threads.append(_thread())
            for (tasks, _), job in zip(self._threads, work):
                tasks.put(job)
            time.sleep(max(0.0, first - time.monotonic()))
            spent = cpu_seconds()
            tallies = [answers.get() for (_, answers), _ in zip(self._threads, work)]
        elapsed = max(time.monotonic() - first, 1e-9)
        return together(tallies, (cpu_seconds() - spent) / elapsed)


def _spread(number: int, cpus: Sequence[int]) -> None:
    """Move this thread to a CPU of its own, and leave it free again.

    Threads that wake up together may wake up on one CPU. The scheduler spreads them within some tens of milliseconds,
    which is nothing for a program, and much of a block.
    """
    os.sched_setaffinity(0, {cpus[number % len(cpus)]})
    os.sched_setaffinity(0, cpus)


def _thread() -> tuple[SimpleQueue[Any], SimpleQueue[Any]]:
    tasks: SimpleQueue[Any] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()

    def work() -> None:
        while True:
            answers.put(tasks.get()())

    threading.Thread(target=work, daemon=True).start()
    return tasks, answers


def together(tallies: Sequence[Tally], cores: float) -> Tally:
    """The tally of workers that worked at the same time, of which all together used so many cores."""
    delays = [tally.delay for tally in tallies if tally.delay is not None]
    known = len(delays) == len(tallies)
    wall = tallies[0].wall
    return Tally(
        sum(tally.units for tally in tallies),
        wall,
        cores * wall,
        sum(delays) if known else None,
        max(delays) if known else None,
        tuple(seconds for tally in tallies for seconds in tally.times),
        next((tally.error for tally in tallies if tally.error), None),
    )


def _last_line(error: BaseException) -> str:
    """The last line of the traceback that another interpreter has handed over."""
    return str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__


def failed(block: Block, reason: str) -> Tally:
    """The tally of a worker that could not call the target."""
    return Tally(0.0, block.end - block.start, 0.0, None, None, (), reason)


def timed(call: Call, size: int, block: Block) -> Tally:
    """Call the target from the beginning of a block to its end, in groups of ``size`` calls."""
    return at_depth(block.depth, lambda: _timed_here(call, size, block))


def _timed_here(call: Call, size: int, block: Block) -> Tally:
    clock = time.monotonic
    moments: list[float] = []
    note = moments.append
    group = range(size)
    end = block.end
    error = None
    first = block.work_start
    time.sleep(max(0.0, first - LOOK_SECONDS - clock()))
    late = max(0.0, clock() - first)  # it waited for a CPU to wake up on, not for what it calls
    waited = run_delay()
    while clock() < first:
        pass
    begun = now = clock()
    try:
        if size == 1:
            while now < end:
                call()
                now = clock()
                note(now)
        else:
            while now < end:
                for _ in group:
                    call()
                now = clock()
                note(now)
    except BaseException as raised:  # whatever the user's function raises
        error = in_words(raised)
    after = run_delay()
    delay = None if waited is None or after is None else after - waited + late
    wall = block.end - block.start
    if delay is not None:  # of a call that outlasts its block only the share that lies within it
        delay = min(delay, delay * wall / max(now - first, 1e-9))
    made = units(moments, begun, end) - (units_until(moments, begun, block.start) if block.lead else 0.0)
    return Tally(made * size, wall, 0.0, delay, delay, times(moments, begun, size), error)


def units(moments: Sequence[float], begun: float, end: float) -> float:
    """How many groups of calls lay between the beginning and the end, where one ended at each of these moments."""
    if not moments:
        return 0.0
    last = moments[-2] if len(moments) > 1 else begun
    share = (end - last) / (moments[-1] - last) if moments[-1] > last else 1.0
    return len(moments) - 1 + min(max(share, 0.0), 1.0)


def units_until(moments: Sequence[float], begun: float, moment: float) -> float:
    """How many groups of calls lay before a moment in their midst; of the one that it falls into, its share."""
    place = bisect.bisect_right(moments, moment)
    return units(moments[: place + 1], begun, moment) if moment > begun else 0.0


def times(moments: Sequence[float], begun: float, size: int) -> tuple[float, ...]:
    """How long single calls took, in seconds: evenly chosen ones, where there are very many."""
    step = max(1, len(moments) // MOST_TIMES)
    chosen = range(0, len(moments), step)
    return tuple((moments[n] - (moments[n - 1] if n else begun)) / size for n in chosen)


def cpu_seconds() -> float:
    """CPU time of this process, with all its threads, and of its children that have ended."""
    import resource

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


#: The interpreters of this process. They live as long as the process.
_isolated: list[Any] = []


def _in_interpreters(block: Block, stored: dict[str, Any]) -> Tally:
    """Let each thread call the target in an interpreter of its own."""
    os.sched_setaffinity(0, set().union(*block.cpus))
    new = len(block.cpus) - len(_isolated)
    try:
        _isolated.extend(interpreters(new) if new > 0 else ())
    except ImportError:  # the other one of two environments may be older
        return failed(block, "this Python has no interpreters, which come with Python 3.14")
    answers: SimpleQueue[Any] = SimpleQueue()

    def work(number: int) -> None:
        try:
            answers.put(_isolated[number].call(inside, block, stored))
        except BaseException as error:  # the import may fail there, and only there
            answers.put(failed(block, _last_line(error)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(block.cpus))]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, block.work_start - time.monotonic()))
    spent = cpu_seconds()
    for thread in threads:
        thread.join()
    elapsed = max(time.monotonic() - block.work_start, 1e-9)
    tallies = [answers.get() for _ in threads]
    return together(tallies, (cpu_seconds() - spent) / elapsed)


_callers: dict[str, Caller] = {}


def inside(block: Block, stored: dict[str, Any]) -> Tally:
    """What runs in an interpreter: import the target once, and call it in a block."""
    case = from_stored(stored)
    if case.label not in _callers:
        environment.enter(case.project)
        _callers[case.label] = Caller(case)
    return timed(_callers[case.label].call(0, own=True), group_size(case), Block(*block))
