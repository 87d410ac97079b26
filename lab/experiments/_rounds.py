"""Rounds of short, interleaved blocks on persistent workers: how speed is measured on a machine that others use too.

Every round runs each arm once, in random order, for the same short time. One arm is the capacity probe: independent
processes, each pinned to one CPU of the cell, which is perfectly parallel by construction; what it reaches is what the
machine delivered in that round, and all others are held against it.
"""

import multiprocessing
import os
import random
import threading
import time
from typing import NamedTuple

#: Wall time of one block. Short, so that all arms of a round meet the same disturbances.
BLOCK_SECONDS = 0.05

#: A block is rejected beyond these shares of wall time: waiting in the run queue, and lost (neither running nor
#: waiting to run: taken by the hypervisor, or stolen by interrupts). What rests on a rejected block does not count.
#: An idle machine's own housekeeping makes up to 0.5 ms of a block's 50 ms, so 1 % would reject what is undisturbed.
MOST_RUN_DELAY = 0.02
MOST_LOST = 0.03


class Arm(NamedTuple):
    """One way of doing the work. ``processes`` × ``threads`` workers repeat ``payload``; ``pinned``: each process on
    a CPU of its own; ``clean``: its workers have no reason to wait for a CPU, so that any waiting is a disturbance (not
    so for threads, which contend for the GIL, nor for more workers than CPUs)."""

    name: str
    payload: str
    processes: int = 1
    threads: int = 1
    pinned: bool = False
    clean: bool = True
    seconds: float = BLOCK_SECONDS


def count(state):
    """Pure Python on objects of its own, about 0.1 ms: needs the GIL all the time."""
    total = 0
    for number in range(2000):
        total = (total * 31 + number) & 0xFFFFFF
    return total


def digest(state):
    """SHA-256 of 64 KiB: C code that gives the GIL up."""
    state.hasher(state.block).digest()


class _State:
    def __init__(self):
        import hashlib

        self.hasher = hashlib.sha256
        self.block = bytes(65536)


PAYLOADS = {"count": count, "digest": digest}


class Crew:
    """Persistent worker processes, one for each CPU and at least ``least``; use as a context manager.

    They are forked, also where that is not the default start method: which one is used makes no difference to a worker
    that lives through the whole measurement, and fork is the quickest.
    """

    def __init__(self, cpus, least=2):
        self.cpus = tuple(cpus)
        context = multiprocessing.get_context("fork")
        self._pipes, self._processes = [], []
        for _ in range(max(least, len(self.cpus))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, ours), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()

    def block(self, arm):
        """Run one block. Returns a dict: ``rate`` (payloads per second), ``cores`` (CPU seconds per second of wall),
        ``delay`` and ``lost`` (shares of wall time a worker, the worst one; ``None`` where the kernel does not say)."""
        pipes = self._pipes[: arm.processes]
        for number, pipe in enumerate(pipes):
            cpus = [self.cpus[number % len(self.cpus)]] if arm.pinned else self.cpus
            pipe.send((arm.payload, arm.threads, cpus))
        for pipe in pipes:
            pipe.recv()  # its threads are up
        start = time.monotonic() + 0.001
        for pipe in pipes:
            pipe.send((start, start + arm.seconds))
        results = [pipe.recv() for pipe in pipes]
        delays = [result["delay"] / result["wall"] for result in results if result["delay"] is not None]
        lost = [1 - (result["cpu"] + (result["delay"] or 0)) / result["wall"] for result in results if arm.threads == 1]
        return {
            "rate": sum(result["units"] / result["wall"] for result in results),
            "cores": sum(result["cpu"] / result["wall"] for result in results),
            "delay": max(delays) if delays else None,
            "lost": max(lost) if lost else None,
        }

    def round(self, arms, generator):
        """Run every arm once, in random order. Returns the blocks by arm; ``disturbed`` says why one is rejected."""
        blocks = {}
        for arm in generator.sample(list(arms), len(arms)):
            blocks[arm.name] = self.block(arm)
            blocks[arm.name]["disturbed"] = disturbance(arm, blocks[arm.name])
        return blocks


def disturbance(arm, block):
    """Why a block must not count: a worker of a clean arm waited for a CPU or lost time; ``None`` when it may."""
    if not arm.clean:
        return None
    if (block["delay"] or 0) > MOST_RUN_DELAY:
        return "run delay"
    if (block["lost"] or 0) > MOST_LOST:
        return "lost time"
    return None


def shuffler(seed=1):
    """The generator that orders the arms; seeded, so that a session can be repeated."""
    return random.Random(seed)


def _serve(pipe, parents_end):
    """A worker's life: for each order raise the threads, wait for the start, work to the end, report."""
    parents_end.close()
    state = _State()
    while True:
        try:
            payload, threads, cpus = pipe.recv()
        except (EOFError, OSError):
            return
        os.sched_setaffinity(0, cpus)
        pipe.send(_work(pipe, PAYLOADS[payload], threads, state))


def _work(pipe, payload, threads, state):
    if threads == 1:
        pipe.send("up")
        start, end = pipe.recv()
        return _measure(start, lambda: [_repeat(payload, state, start, end)])
    gate, times, results = threading.Event(), [], []

    def member():
        gate.wait()
        results.append(_repeat(payload, state, *times))

    team = [threading.Thread(target=member) for _ in range(threads)]
    for thread in team:
        thread.start()
    pipe.send("up")
    times.extend(pipe.recv())

    def together():
        gate.set()
        for thread in team:
            thread.join()
        return results

    return _measure(times[0], together)


def _measure(start, work):
    time.sleep(max(0, start - time.monotonic()))
    cpu = time.process_time()
    results = work()
    cpu = time.process_time() - cpu
    delays = [delay for _, delay in results]
    return {
        "units": sum(units for units, _ in results),
        "cpu": cpu,
        # From the common start, so that a worker that came late to its CPU shows it.
        "wall": time.monotonic() - start,
        "delay": None if None in delays else sum(delays),
    }


def _repeat(payload, state, start, end):
    before = run_delay()
    units = 0
    while time.monotonic() < end:
        payload(state)
        units += 1
    after = run_delay()
    return units, None if before is None or after is None else after - before


def run_delay():
    """Seconds the calling thread has waited in a run queue: field 2 of /proc/thread-self/schedstat, in ns (the
    kernel's Documentation/scheduler/sched-stats.rst); ``None`` where the kernel does not keep it."""
    try:
        with open("/proc/thread-self/schedstat") as stream:
            return int(stream.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
