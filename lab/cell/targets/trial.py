"""The first look at a target: one call, a few more, and what they tell before anything is measured."""

from __future__ import annotations

import os
import pickle
import time
from typing import Any, NamedTuple

from lab.cell.claims.estimates import quantile
from lab.cell.measuring.crew_worker import run_delay
from lab.cell.measuring.process_tree import cpu_seconds, members
from lab.cell.targets.calling import Call
from lab.cell.targets.figures import WAITING_SHARE
from lab.cell.targets.generators import result_of

#: What uses more cores than this, or has more of its CPU time in other threads, does not compute in one thread.
SEVERAL = 1.1
#: The first look ends after so many seconds, or so many calls.
LOOK_SECONDS, MOST_CALLS = 0.2, 200
#: A shorter look makes so many calls at least, if the whole time is enough for them.
SOME_CALLS = 6
#: Nothing is said of how calls differ where there were fewer of them.
FEWEST_CALLS = 20
#: In place of the spread of calls, where there were too few of them.
UNKNOWN_SPREAD = 1.0
#: A worker is waited for at least so long, in seconds, before it counts as lost.
PATIENCE_SECONDS = 10.0
#: The result is pickled so many times, or for so many seconds.
MOST_PICKLES, PICKLE_SECONDS = 20, 0.05
#: A thread that has been joined is gone after so many seconds at the latest.
_ENDING_SECONDS = 0.02
#: Threads of these libraries start by themselves: a part of the file's name -> the library.
LIBRARIES = {
    "openblas": "OpenBLAS",
    "mkl_": "MKL",
    "libgomp": "OpenMP (libgomp)",
    "libomp": "OpenMP (libomp)",
    "libiomp": "OpenMP (libiomp)",
    "libtbb": "TBB",
    "blis": "BLIS",
}


class Trial(NamedTuple):
    """What the first calls showed."""

    #: Seconds that the first call took.
    first_seconds: float
    #: Seconds that a later call took: the median.
    call_seconds: float
    #: CPU time over elapsed time of these calls, in cores.
    cores: float
    #: The share of the elapsed time in which it neither computed nor waited for a CPU, from 0 to 1.
    idle: float
    #: How many threads the process has more than before the target was imported.
    own_threads: int
    #: The libraries that are loaded and start threads.
    libraries: tuple[str, ...]
    #: Bytes of the pickled result; ``None`` where it cannot be pickled.
    result_bytes: int | None
    #: Seconds to pickle and unpickle the result.
    pickle_seconds: float
    #: Why the result cannot be pickled; empty where it can.
    pickle_error: str
    #: Whether several calls returned the same; ``None`` where that cannot be told.
    same: bool | None
    #: The CPU time that one call of twenty exceeds, over that of half of the calls; 1 where there were too few calls.
    spread: float = UNKNOWN_SPREAD
    #: The share of the CPU time that threads of its own had, besides the one that called it, from 0 to 1.
    others_share: float = 0.0
    #: Seconds until the target was imported and its first calls had ended, in a new process.
    ready_seconds: float = 0.0

    @property
    def several(self) -> bool:
        """Whether it computes in several threads or processes. These wait for each other, and for a CPU."""
        return is_several(self.cores, self.others_share)

    @property
    def waits(self) -> bool:
        """Whether the target mostly waits."""
        return self.idle > WAITING_SHARE

    def patience(self, workers: int) -> float:
        """How many seconds to wait for so many workers that begin at the same time, before they count as lost."""
        return PATIENCE_SECONDS + 2 * workers * self.ready_seconds


def is_several(cores: float, others_share: float) -> bool:
    """Whether so many cores, or such a share of the CPU time in threads of its own, is more than one thread's work."""
    return max(cores, 1 + others_share) > SEVERAL


def look(call: Call, threads: int, moment: float = LOOK_SECONDS) -> Trial:
    """Call a target for a moment, in seconds, but at least some times. Raises whatever it raises.

    ``threads`` were there before it was imported.
    """
    first, result = _timed(call)
    queued, by_children = run_delay() or 0.0, _children()
    helpers = _spent_by_helpers()
    # All calls of a microsecond's function take less time than these two. So the clocks are read next to the calls, and
    # each one around the next: a host that takes the CPU between two readings cannot look like another thread.
    begun, this_thread, all_threads = time.monotonic(), time.thread_time(), time.process_time()
    seconds: list[float] = []
    computed: list[float] = []
    others: list[Any] = []
    while not seconds or (len(seconds) < MOST_CALLS and time.monotonic() - begun + first < _until(seconds, moment)):
        if first > LOOK_SECONDS and seconds:
            break
        before = time.process_time()
        took, other = _timed(call)
        seconds.append(took)
        computed.append(time.process_time() - before)  # others on the same CPU make a call longer, and not this
        if len(others) < 2:
            others.append(other)
    all_threads, this_thread = time.process_time() - all_threads, time.thread_time() - this_thread
    elapsed = time.monotonic() - begun
    by_helpers = sum(spent - helpers.get(process, 0.0) for process, spent in _spent_by_helpers().items())
    cores = (all_threads + _children() - by_children + max(0.0, by_helpers)) / max(elapsed, 1e-9)
    idle = 1 - cores - ((run_delay() or 0.0) - queued) / max(elapsed, 1e-9)
    result = result_of(call, result)
    others = [result_of(call, other) for other in others]
    size, pickle_seconds, error = pickled(result)
    return Trial(
        first,
        sorted(seconds)[len(seconds) // 2],
        cores,
        max(0.0, min(idle, _idle_without_one(seconds, computed))),
        _staying(threads),
        loaded_libraries(),
        size,
        pickle_seconds,
        error,
        _same(result, others),
        spread_of(computed),
        max(0.0, 1 - this_thread / all_threads) if all_threads > 0 else 0.0,
    )


def _idle_without_one(seconds: list[float], computed: list[float]) -> float:
    """The share of these calls' time in which they did not compute, without the call that lost most.

    A host that stops a function of a microsecond once takes more time than all calls. 1 where there is one call only.
    """
    lost = [took - own for took, own in zip(seconds, computed)]
    place = max(range(len(lost)), key=lost.__getitem__)
    left = sum(seconds) - seconds[place]
    return (sum(lost) - lost[place]) / left if left > 0 else 1.0


def _until(made: list[float], moment: float) -> float:
    """How long the look goes on after so many calls, in seconds."""
    return moment if len(made) >= SOME_CALLS else LOOK_SECONDS


def spread_of(seconds: list[float]) -> float:
    """What one of twenty of these times exceeds, over what half of them do."""
    if len(seconds) < FEWEST_CALLS:
        return UNKNOWN_SPREAD
    return quantile(seconds, 0.95) / max(quantile(seconds, 0.5), 1e-9)


def _timed(call: Call) -> tuple[float, Any]:
    begun = time.monotonic()
    result = call()
    return time.monotonic() - begun, result


def _spent_by_helpers() -> "dict[int, float]":
    """The living processes that descend from this one, each with the CPU seconds that it has had."""
    return {member.pid: cpu_seconds(member.pid) for member in members()}


def _children() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def count_threads() -> int:
    """The threads of this process, also those that Python knows nothing of (man 5 proc, /proc/pid/task)."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _staying(before: int) -> int:
    """How many threads more than ``before`` stay: one that was joined is listed until the kernel has ended it."""
    until = time.monotonic() + _ENDING_SECONDS
    while True:
        more = count_threads() - before
        if more <= 0 or time.monotonic() >= until:
            return max(0, more)
        time.sleep(0.001)


def loaded_libraries() -> tuple[str, ...]:
    """The libraries in this process that start threads of their own, by the names of their files."""
    try:
        with open("/proc/self/maps", errors="replace") as stream:
            paths = {os.path.basename(line.split()[-1]).lower() for line in stream if "/" in line}
    except OSError:
        return ()
    found = {name for path in paths for part, name in LIBRARIES.items() if part in path and ".so" in path}
    return tuple(sorted(found))


def pickled(value: object) -> tuple[int | None, float, str]:
    """(bytes of the pickled value, seconds to pickle and unpickle it, why it cannot be pickled).

    The quickest of several times counts: the first one imports and fills caches, and any may be disturbed.
    """
    size = 0

    def there_and_back() -> None:
        nonlocal size
        text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        pickle.loads(text)  # noqa: S301 - we have just written it
        size = len(text)

    quickest, until = float("inf"), time.monotonic() + PICKLE_SECONDS
    try:
        for _ in range(MOST_PICKLES):
            quickest = min(quickest, _timed(there_and_back)[0])
            if time.monotonic() > until:
                break
    except Exception as error:  # whatever the type's own methods raise
        return None, 0.0, ("%s: %s" % (type(error).__name__, error))[:200]
    return size, quickest, ""


def _same(result: Any, others: list[Any]) -> bool | None:
    """Whether the results are equal; ``None`` where that cannot be told."""
    if result is None or not others:
        return None
    answers = [_is_alike(result, other) for other in others]
    return False if False in answers else None if None in answers else True


def _is_alike(result: Any, other: Any) -> bool | None:
    """Whether two results are equal, or look the same once they are pickled; ``None`` where that cannot be told.

    Many objects are equal to themselves only. So two results differ only where one is equal to a copy of itself.
    """
    if type(other) is not type(result):
        return False
    try:
        equal: bool | None = bool(other == result)
    except Exception:  # an array has no truth, and other types have their own ideas
        equal = None
    if equal:
        return True
    try:
        text = pickle.dumps(result)
        if pickle.dumps(other) == text:
            return True
        return False if equal is None or pickle.loads(text) == result else None  # noqa: S301 - we have just written it
    except Exception:  # what cannot be pickled, or compared, tells nothing
        return None
