"""Rounds of short, interleaved blocks on persistent workers: how speed is measured on a machine that others use too.

Every round runs each arm once, in random order. One arm is the capacity probe: independent processes, each pinned to
one CPU of the cell, which are perfectly parallel by construction. What the probe reaches is what the machine delivered
in that round, and every other arm is compared with it.

Blocks are laid out on a timetable that every worker gets beforehand and keeps by the clock. No message is sent between
blocks, so blocks can be a few milliseconds long, and all arms of a round meet the same machine. A neighbour on the same
physical core comes and goes within tens of milliseconds and changes the speed by half (benchmarks/blocks.py).
"""

from __future__ import annotations

import collections
import math
import multiprocessing
import random
import time
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from lab.cell.claims.estimates import quantile
from lab.cell.cpus.cgroups import throttled_periods
from lab.cell.cpus.topology import kinds
from lab.cell.measuring.crew_worker import Block, Tally, begin
from lab.cell.measuring.memory import pss_of
from lab.cell.measuring.processes import Workers
from lab.cell.measuring.stack_depth import DEPTHS

#: Wall time of a block, in seconds: of single threads, and of thread teams, which should pass the GIL on a few times.
BLOCK_SECONDS = 0.005
TEAM_SECONDS = 0.025

#: Blocks of a short arm in a round. Where the host takes CPUs away for milliseconds, one of them gets through; and of
#: up to four CPUs each has had as many blocks of one worker alone as the others, where they are not equally fast.
REPEAT = 4

#: From one block to the next: a worker ends the payload it is in, and raises the threads of the next block.
GAP_SECONDS = 0.001
GAP_SECONDS_A_THREAD = 0.0003
GAP_SECONDS_AN_INTERPRETER = 0.002
#: From laying out a timetable to its first block: it has to reach every worker.
LEAD_SECONDS = 0.01

#: How long workers may take to answer beyond their timetable, in seconds, unless the crew is told otherwise.
PATIENCE_SECONDS = 30.0

#: Which times of calls a block keeps: half, 95 % and 99 % of the calls took at most this long.
CALL_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))

#: A block is rejected beyond these shares of its wall time: waiting in the run queue, and lost (neither running nor
#: waiting to run: taken by the hypervisor, or by interrupts). Waking up alone takes up to WAKE_SECONDS, which is no
#: disturbance but part of every block alike.
MOST_RUN_DELAY = 0.01
MOST_LOST = 0.03
WAKE_SECONDS = 0.00015
#: The same of threads that share a GIL: for which share of wall time one of them may wait to run. It is small where
#: they hardly wait for each other: where all neither compute nor wait to run for less than TURNS. Where they take
#: turns, passing the GIL on makes them wait too. Then it is larger, and is asked only of more than one core's work.
MOST_TEAM_DELAY, MOST_DELAY_IN_TURNS = 0.05, 0.25
TURNS, ONE_CORE = 0.1, 1.1
#: The same of workers that wait for each other, and have a CPU each: they wait for each other asleep. Up to a fifth was
#: seen on a quiet machine where threads hash.
MOST_DELAY_BESIDE = 0.25


class Arm(NamedTuple):
    """One way of doing the work: ``processes`` × ``threads`` workers repeat ``payload`` for ``seconds``."""

    #: The name of the arm.
    name: str
    #: The name of the payload that its workers repeat.
    payload: str
    #: How many processes work.
    processes: int = 1
    #: How many threads work in each process.
    threads: int = 1
    #: Whether each worker is pinned to a CPU of its own. One worker alone is pinned to each CPU in turn, because a
    #: neighbour may slow one CPU down.
    pinned: bool = False
    #: Whether its workers have no reason to wait for a CPU, so that any waiting is a disturbance. Threads that contend
    #: for the GIL are not clean, nor are more workers than CPUs.
    clean: bool = True
    #: The length of a block, in seconds.
    seconds: float = BLOCK_SECONDS
    #: The arm takes part only in every so many rounds.
    every: int = 1
    #: How many blocks it has in such a round.
    repeat: int = 1
    #: Arms with the same word here have each block beside one of the others, within some tens of milliseconds. A
    #: neighbour that comes and goes then meets all of them.
    beside: str = ""
    #: How its processes were started.
    method: str = "fork"
    #: Whether each thread works in an interpreter of its own (Python 3.14 and later).
    isolated: bool = False
    #: How long the last payload may outlast the block, in seconds. The next block begins after that.
    tail: float = 0.0
    #: For how many seconds its workers are at work before the block, which does not count: until a quota, or a queue in
    #: which they wait for each other, is as it stays.
    lead: float = 0.0
    #: Whether the payload is the user's: one worker alone may use all CPUs, and what it waits for is its own affair.
    foreign: bool = False
    #: Whether its one process is each of the first workers in turn, as many as there are CPUs. Where data happen to lie
    #: in memory makes one process faster than another by some percent, and what all do together is held against that.
    rotates: bool = False
    #: Whether its threads share a GIL, and are no more than the CPUs. Where they hardly wait for each other, they have
    #: no reason to wait for a CPU either.
    shares_gil: bool = False
    #: Whether each of its workers has a CPU to itself, so that only something else can make it wait long for a CPU.
    #: That is asked of an arm that is not ``clean``.
    has_own_cpus: bool = False


#: One process alone, and one pinned to each CPU: the two arms that every round of everything has.
ALONE = Arm("one process", "count")
PROBE = "probe"


def probe(cpus: int) -> Arm:
    """The capacity probe of a cell with that many CPUs: perfectly parallel by construction."""
    return Arm(PROBE, "count", processes=cpus, pinned=True)


class Crew(Workers):
    """Persistent worker processes, one for each CPU and at least ``least``; use as a context manager.

    The workers are forked, also where fork is not the default start method. The method makes no difference to a worker
    that lives through the whole measurement, and fork is the quickest. With ``methods`` as many workers are started by
    each of these start methods. With ``quota_under_test`` a quota that stops the crew is no disturbance. A worker is
    lost that answers later than ``patience`` seconds after its timetable.
    """

    def __init__(
        self,
        cpus: Sequence[int],
        least: int = 2,
        quota_under_test: bool = False,
        methods: Sequence[str] = ("fork",),
        begin: Callable[..., Callable[[Sequence[Block]], list[Tally]]] = begin,
        arguments: Sequence[object] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__()
        self.cpus = tuple(cpus)
        self._kinds = kinds(self.cpus)
        self._quota_under_test = quota_under_test
        self._patience = patience
        self._taken: dict[str, int] = collections.Counter()  # arm -> blocks
        self._locks: list[Any] = []  # a lock without a reference here is gone before a spawned worker has found it
        each = max(least, len(self.cpus))
        self._first = {method: number * each for number, method in enumerate(methods)}
        with self.all_or_none(each * len(methods)):
            for method in methods:
                context: Any = multiprocessing.get_context(method)
                lock = context.Lock()
                self._locks.append(lock)
                for _ in range(each):
                    self.start(context, begin, lock, *arguments)

    def adopt(self, method: str, processes: Sequence[Any]) -> None:
        """Take in workers that were started elsewhere; arms with this ``method`` are theirs."""
        self._first[method] = len(self.pipes)
        self.take_in(processes)

    def memory(self) -> dict[str, float]:
        """Bytes of a worker of each start method (PSS), the mean of those that could be read."""
        firsts = sorted(self._first.items(), key=lambda entry: entry[1])
        ends = [first for _, first in firsts[1:]] + [len(self.pipes)]
        means: dict[str, float] = {}
        for (method, first), end in zip(firsts, ends):
            sizes = [pss_of(process.pid) for process in self._processes[first:end]]
            known = [size for size in sizes if size]
            if known:
                means[method] = sum(known) / len(known)
        return means

    def method_of(self, place: int) -> str:
        """The start method of the worker at that place."""
        return max((first, method) for method, first in self._first.items() if first <= place)[1]

    def rounds(
        self,
        arms: Sequence[Arm],
        first: int,
        count: int,
        order: random.Random,
    ) -> list[dict[str, Any]]:
        """Run ``count`` rounds, of which the first has the number ``first``; see :func:`block_of` for their blocks.

        Their order is random, but for those of arms that stand beside each other.
        """
        plan: list[list[Arm]] = []
        for number in range(first, first + count):
            units = self._units([arm for arm in arms if number % arm.every == 0])
            plan.append([arm for unit in order.sample(units, len(units)) for arm in order.sample(unit, len(unit))])
        depths = [number % DEPTHS for number, arms_of_round in enumerate(plan, first) for _ in arms_of_round]
        timetables = self._timetable([arm for arms_of_round in plan for arm in arms_of_round], depths)
        throttled = throttled_periods()
        for pipe, timetable in zip(self.pipes, timetables):
            self.ask(pipe, [block for _, block in timetable])
        tallies: dict[int, list[Tally]] = {}
        for pipe, timetable in zip(self.pipes, timetables):
            for (place, _), tally in zip(timetable, self.answer(pipe, self._longest(timetable))):
                tallies.setdefault(place, []).append(tally)
        places = iter(range(len(tallies)))
        stopped = throttled_periods() - throttled
        rounds: list[dict[str, Any]] = []
        for arms_of_round in plan:
            blocks: dict[str, list[dict[str, Any]]] = {}
            for arm in arms_of_round:
                block = block_of(arm, tallies[next(places)])
                cause = self._disturbed(stopped, block["disturbed"])
                # Nothing can be compared with a block that stood still from its beginning to its end.
                block = dict(block, disturbed=cause or (None if block["rate"] else "throttling"))
                if stopped and not rounds:  # it is known of all rounds together only
                    block["stopped_periods"] = stopped
                blocks.setdefault(arm.name, []).append(block)
            rounds.append({name: merged(several) for name, several in blocks.items()})
        return rounds

    def warm_up(self, arms: Iterable[Arm], order: random.Random) -> None:
        """Run one block of each arm, which does not count: it faults in pages, starts threads and imports code."""
        self.rounds([arm._replace(repeat=1, every=1) for arm in arms], 0, 1, order)

    def gated(
        self, blocks: Mapping[str, Callable[[], dict[str, Any]]], first: int, order: random.Random, tries: int = 1
    ) -> dict[str, Any]:
        """A round of blocks that are not the crew's, in random order, behind the capacity probe. A function runs its
        block here and returns what it measured. What disturbed the probe disturbs the whole round, and so does a quota
        that stops it. Where the blocks take long beside the probe, it may have more ``tries`` for a quiet moment."""
        for left in reversed(range(tries)):
            throttled = throttled_periods()
            (measured,) = self.rounds((ALONE, probe(len(self.cpus))), first, 1, order)
            if not left or not (measured["one process"]["disturbed"] or measured[PROBE]["disturbed"]):
                break
        names = order.sample(sorted(blocks), len(blocks))
        results = {name: blocks[name]() for name in names}
        probed = measured["one process"]["disturbed"] or measured[PROBE]["disturbed"]
        # Whether the quota stopped the probe itself is known already, and it may not say so of what came after.
        stopped = 0 if self._quota_under_test else throttled_periods() - throttled
        cause = self._disturbed(stopped, probed)
        return dict(measured, **{name: dict(block, disturbed=cause) for name, block in results.items()})

    def _units(self, arms: Iterable[Arm]) -> list[list[Arm]]:
        """The blocks of a round, those together that stand beside each other."""
        units: dict[tuple[str, str, int], list[Arm]] = {}
        for arm in arms:
            for place in range(self._repeat(arm)):
                units.setdefault((arm.beside, "" if arm.beside else arm.name, place), []).append(arm)
        return list(units.values())

    def _repeat(self, arm: Arm) -> int:
        """How many blocks an arm has in a round. Where cores are of several kinds, one worker alone has a block on each
        CPU: what all do together is held against their mean, not against that of one kind."""
        alone = arm.processes * arm.threads == 1 and not arm.pinned
        return max(arm.repeat, len(self.cpus)) if alone and self._kinds > 1 else arm.repeat

    def _disturbed(self, stopped: int, cause: str | None) -> str | None:
        """Why blocks must not count, when a quota stopped them in so many periods and ``cause`` seems to disturb them.

        A worker that a quota stops looks like a worker that waits for its CPU, so nothing can be said of neighbours.
        Where the quota is under test, the blocks count.
        """
        if not stopped:
            return cause
        return None if self._quota_under_test else "throttling"

    def _timetable(self, arms: Sequence[Arm], depths: Sequence[int]) -> list[list[tuple[int, Block]]]:
        """For each worker its blocks, each with the place of its arm in the whole sequence. Each arm has its depth on
        the stack in ``depths``."""
        blocks: list[list[tuple[int, Block]]] = [[] for _ in self.pipes]
        start = time.monotonic() + LEAD_SECONDS
        for place, (arm, depth) in enumerate(zip(arms, depths)):
            start += _gap_seconds(arm) + arm.lead
            taken = self._taken[arm.name]
            self._taken[arm.name] += 1
            first = self._first[arm.method] + (taken % len(self.cpus) if arm.rotates else 0)
            for process in range(arm.processes):
                numbers = range(process * arm.threads, (process + 1) * arm.threads)
                cpus = tuple(self._cpus_of(arm, number, taken) for number in numbers)
                block = Block(arm.payload, cpus, start, start + arm.seconds, arm.isolated, arm.lead, depth)
                blocks[first + process].append((place, block))
            start += arm.seconds + arm.tail
        return blocks

    def _longest(self, timetable: Sequence[tuple[int, Block]]) -> float:
        """How long a worker may take to answer, in seconds: much more than its timetable."""
        return self._patience + 2 * max((block.end - time.monotonic() for _, block in timetable), default=0.0)

    def _cpus_of(self, arm: Arm, number: int, taken: int) -> tuple[int, ...]:
        if arm.foreign:
            return self.cpus
        if arm.pinned:
            return (self.cpus[number % len(self.cpus)],)
        return (self.cpus[taken % len(self.cpus)],) if arm.processes * arm.threads == 1 else self.cpus


def turn_seconds(arm: Arm) -> float:
    """How long a block of an arm takes on the timetable, in seconds, with what comes before and after it."""
    return _gap_seconds(arm) + arm.lead + arm.seconds + arm.tail


def _gap_seconds(arm: Arm) -> float:
    """The time before a block of an arm, in seconds."""
    each = GAP_SECONDS_AN_INTERPRETER if arm.isolated else GAP_SECONDS_A_THREAD
    return GAP_SECONDS + (arm.threads * each if arm.threads > 1 or arm.isolated else 0)


def block_of(arm: Arm, tallies: Sequence[Tally]) -> dict[str, Any]:
    """The record of one block.

    - ``rate``: payloads per second;
    - ``cores``: CPU seconds per second of wall time;
    - ``delay``: the share of wall time for which the thread waited that waited longest; ``None`` if not known;
    - ``lost``: the share of wall time of the worker that lost most; ``None`` if not known;
    - ``disturbed``: why the block must not count, or ``None``.
    """
    delays = [tally.longest_delay / tally.wall for tally in tallies if tally.longest_delay is not None]
    # Threads that contend for the GIL lose time by their nature; those that do not lose it when they come late.
    telling_tallies = tallies if arm.threads == 1 or arm.clean else ()
    if arm.foreign:  # the user's function may wait for whatever it likes
        telling_tallies = tallies if arm.shares_gil else ()
    lost = [1 - (tally.cpu + (tally.delay or 0)) / (tally.wall * arm.threads) for tally in telling_tallies]
    block: dict[str, Any] = {
        "rate": six_digits(sum(tally.units / tally.wall for tally in tallies)),
        "cores": round(sum(tally.cpu / tally.wall for tally in tallies), 5),
        "delay": round(max(delays), 5) if delays else None,
        "lost": round(max(lost), 5) if lost else None,
    }
    times = sorted(seconds for tally in tallies for seconds in tally.times)
    if times:
        block["calls"] = {name: round(quantile(times, share), 9) for name, share in CALL_QUANTILES}
    errors = [tally.error for tally in tallies if tally.error]
    if errors:
        block["error"] = errors[0]
    return dict(block, disturbed=disturbance(arm, block))


def six_digits(value: float) -> float:
    """The value with six significant digits. Of a rate of one call in a minute, two decimals are not enough."""
    return float("%.6g" % value)


def merged(blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One block for all of an arm's in a round: the mean of those that count, or the first when none does."""
    failed = [block for block in blocks if "error" in block]
    if failed:
        return dict(failed[0], blocks=0)
    good = [block for block in blocks if not block["disturbed"]]
    if len(good) < 2:
        return dict((good or list(blocks))[0], blocks=len(good))
    rate, cores = (sum(block[key] for block in good) / len(good) for key in ("rate", "cores"))
    return dict(good[0], rate=six_digits(rate), cores=round(cores, 5), blocks=len(good))


def disturbance(arm: Arm, block: dict[str, Any]) -> str | None:
    """Why a block must not count; ``None`` when it may.

    It must not count where a worker of a clean arm waited for a CPU or lost time. The same is true of threads that
    share a GIL and waited for CPUs instead of each other, and of workers with a CPU each that waited long for one. A
    block of any arm must not count whose workers were late.
    """
    if not block["rate"]:
        return "run delay"
    if arm.shares_gil:
        return "run delay" if (block["delay"] or 0) > _most_team_delay(block) else None
    if not arm.clean:
        return "run delay" if arm.has_own_cpus and (block["delay"] or 0) > MOST_DELAY_BESIDE else None
    wake = WAKE_SECONDS / arm.seconds
    if (block["delay"] or 0) > MOST_RUN_DELAY + wake:
        return "run delay"
    if (block["lost"] or 0) > MOST_LOST + wake:
        return "lost time"
    return None


def _most_team_delay(block: Mapping[str, Any]) -> float:
    """For which share of wall time a thread of a team that shares a GIL may wait to run."""
    if block["lost"] is not None and block["lost"] < TURNS:
        return MOST_TEAM_DELAY
    return MOST_DELAY_IN_TURNS if block["cores"] > ONE_CORE else math.inf


def shuffler(seed: int = 1) -> random.Random:
    """The generator that orders the arms; seeded, so that a session can be repeated."""
    return random.Random(seed)
