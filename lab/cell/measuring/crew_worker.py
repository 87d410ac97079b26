"""What a worker of a crew does: it keeps a timetable of blocks by the clock, and tallies each."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, Callable, NamedTuple, Sequence

from lab.cell.measuring.payloads import PAYLOADS, Tools
from lab.cell.measuring.stack_depth import at_depth

#: A worker of which nothing else is wanted is at work so long before its block begins.
RUN_UP_SECONDS = 0.0008
#: So long before its block any worker is awake, to note how long it has waited for a CPU until then.
LOOK_SECONDS = 0.0002


class Block(NamedTuple):
    """One block of work, as a worker sees it."""

    #: The name of the payload.
    payload: str
    #: The CPUs of each of its threads.
    cpus: tuple[tuple[int, ...], ...]
    #: When the block begins, on the monotonic clock.
    start: float
    #: When the block ends, on the monotonic clock.
    end: float
    #: Whether each thread works in an interpreter of its own.
    isolated: bool = False
    #: For so many seconds before the block its workers are at work already, and what they do there does not count.
    lead: float = 0.0
    #: How deep on the stack it is; see :mod:`lab.cell.measuring.stack_depth`.
    depth: int = 0

    @property
    def work_start(self) -> float:
        """When its workers begin, on the monotonic clock."""
        return self.start - self.lead


class Tally(NamedTuple):
    """What a worker did in one block."""

    #: How many payloads ended.
    units: float
    #: Seconds by the clock.
    wall: float
    #: Seconds of CPU time, of all threads.
    cpu: float
    #: Seconds that all threads waited for a CPU; ``None`` where that is not known.
    delay: float | None
    #: Seconds that the thread waited that waited longest; ``None`` where that is not known.
    longest_delay: float | None
    #: Seconds that single calls took, of a target; at most some of each thread.
    times: tuple[float, ...] = ()
    #: What a target raised; ``None`` where it raised nothing.
    error: str | None = None


def begin(lock: Any) -> Callable[[Sequence[Block]], list[Tally]]:
    """What a worker does, with tools of its own: keep a timetable, and report."""
    tools = Tools(bytes(2**20), lock)

    def keep(blocks: Sequence[Block]) -> list[Tally]:
        tallies = []
        for block in blocks:
            is_single = len(block.cpus) == 1 and not block.isolated
            tallies.append(alone(block, 0, tools) if is_single else _team(block, tools))
        return tallies

    return keep


def alone(block: Block, number: int, tools: Tools) -> Tally:
    """One thread's block; ``number`` is its place in the team."""
    return at_depth(block.depth, lambda: _worked(block, number, tools))


def _worked(block: Block, number: int, tools: Tools) -> Tally:
    payload = PAYLOADS[block.payload]
    if os.sched_getaffinity(0) != set(block.cpus[number]):
        os.sched_setaffinity(0, block.cpus[number])  # of this thread alone
    # At work already when the block begins, where no other thread needs the GIL for that: a worker that has just woken
    # up is slow until its caches are filled again, which is more of a short block than of a long one.
    at_work = len(block.cpus) == 1 or block.isolated or block.lead > 0 or not gil_enabled()
    run_up = max(RUN_UP_SECONDS, block.lead) if at_work else LOOK_SECONDS
    time.sleep(max(0.0, block.start - run_up - time.monotonic()))
    while at_work and time.monotonic() < block.start - LOOK_SECONDS:
        PAYLOADS["count"](tools)
    delay = run_delay()  # reading it takes longer than a payload: before the block, and after it
    while time.monotonic() < block.start:
        pass
    cpu = time.thread_time()
    units = 0
    now = time.monotonic()
    while now < block.end:
        payload(tools)
        units += 1
        now = time.monotonic()
    cpu = time.thread_time() - cpu
    after = run_delay()
    # Wall time counts from the timetable's start, so that a worker which came late to its CPU shows it.
    waited = None if delay is None or after is None else after - delay
    return Tally(units, now - block.start, cpu, waited, waited)


def _team(block: Block, tools: Tools) -> Tally:
    tallies: list[Tally] = []
    numbers = range(len(block.cpus))
    if block.isolated:
        _isolated.extend(interpreters(len(numbers) - len(_isolated)))

    def work(number: int) -> None:
        if block.isolated:
            tallies.append(_isolated[number].call(_inside, block, number))
        else:
            tallies.append(alone(block, number, tools))

    # A new thread inherits the CPUs that this one may use: where that is one, the team would have to spread first.
    os.sched_setaffinity(0, set().union(*block.cpus))
    team = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    delays = [tally.delay for tally in tallies if tally.delay is not None]
    known = len(delays) == len(tallies)
    return Tally(
        sum(tally.units for tally in tallies),
        max(tally.wall for tally in tallies),
        sum(tally.cpu for tally in tallies),
        sum(delays) if known else None,
        max(delays) if known else None,
    )


def interpreters(count: int) -> list[Any]:
    """As many new interpreters of this process, each of which finds our code where this one does."""
    # Older Pythons, and the stubs for them, do not have it.
    from concurrent.interpreters import create  # type: ignore[import-not-found,unused-ignore]

    made = [create() for _ in range(count)]
    for interpreter in made:
        interpreter.exec("import sys; sys.path[:] = %r" % sys.path)
    return made


#: The interpreters of this process that arms have used. They live as long as the process.
_isolated: list[Any] = []


def _inside(block: Block, number: int) -> Tally:
    return alone(block, number, Tools(b"", None))


def gil_enabled() -> bool:
    """Whether threads of this process need a GIL; where they do not, they have no reason to wait for each other."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def run_delay() -> float | None:
    """Seconds the calling thread has waited in a run queue: field 2 of /proc/thread-self/schedstat, in ns (the
    kernel's Documentation/scheduler/sched-stats.rst); ``None`` where the kernel does not keep it."""
    try:
        with open("/proc/thread-self/schedstat") as stream:
            return int(stream.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
