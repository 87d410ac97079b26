"""The first look at a function: whether it computes in several threads, waits, or does neither."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from lab.cell.measuring.rounds import Arm
from lab.cell.targets import trial
from lab.cell.targets.arms import are_disturbed, arms_for, as_seen, base_arm, over_periods, shorter
from lab.cell.targets.calling import adapted
from lab.cell.targets.case import FILE, Case
from lab.cell.targets.generators import MOST_BYTES, MOST_YIELDED, result_of
from lab.cell.targets.trial import Trial, count_threads, look
from tests.support import own_code

DATA = bytes(2**20)
CASE = Case(label="it", source=FILE, where="it.py", name="it")


def computes() -> str:
    return hashlib.sha256(DATA).hexdigest()


def in_a_thread() -> None:
    thread = threading.Thread(target=computes)
    thread.start()
    thread.join()


def waits() -> None:
    time.sleep(0.01)


class Plain:
    """An object that is equal to itself only."""

    def __init__(self) -> None:
        self.number = 1


class Array:
    """What has no truth when it is compared, as an array has none."""

    def __init__(self, number: float) -> None:
        self.number = number

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Shown(Exception):
    """An object that tells how often it was made, and compares by identity."""

    made = 0

    def __init__(self) -> None:
        Shown.made += 1
        super().__init__(Shown.made)


@pytest.mark.parametrize(
    ("function", "same"),
    [
        pytest.param(lambda: [1, "two", {3.0}], True, id="equal"),
        pytest.param(random.random, False, id="another number each time"),
        pytest.param(lambda: [random.random()], False, id="a list of another number each time"),
        pytest.param(lambda: Array(random.random()), False, id="another array each time"),
        pytest.param(lambda: Array(1.0), True, id="the same array"),
        pytest.param(functools.partial(next, itertools.cycle([1, 1.0])), False, id="another type each time"),
        pytest.param(lambda: re.search("a", "cat"), None, id="a match, which cannot be pickled"),
        pytest.param(lambda: [re.search("a", "cat")], None, id="a list of a match"),
        pytest.param(Plain, True, id="an object that compares by identity"),
        pytest.param(lambda: [Plain()], True, id="a list of such an object"),
        pytest.param(Shown, None, id="an object that compares by identity, with its own number"),
        pytest.param(lambda: [Shown()], None, id="a list of such an object, with its own number"),
        pytest.param(lambda: iter([1, 2]), True, id="an iterator"),
        pytest.param(lambda: float("nan"), True, id="not a number"),
        pytest.param(lambda: None, None, id="nothing"),
    ],
)
def test_results_differ_only_where_they_compare_by_value(function: Callable[[], object], same: bool | None) -> None:
    assert look(function, count_threads(), moment=0.0).same is same


@pytest.fixture(params=[1, 2], ids=["one CPU", "two CPUs"])
def _some_cpus(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[: request.param])
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("_some_cpus")
def test_other_threads_are_seen_by_their_cpu_time_however_many_cpus_there_are() -> None:
    assert look(in_a_thread, count_threads()).several
    assert not look(computes, count_threads()).several
    assert not look(waits, count_threads()).several


def test_a_thread_that_the_kernel_has_still_to_end_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that was joined is in ``/proc`` for some microseconds more."""
    listed = itertools.chain([4, 3], itertools.repeat(2))
    monkeypatch.setattr(trial, "count_threads", lambda: next(listed))
    assert look(computes, 2).own_threads == 0
    monkeypatch.setattr(trial, "count_threads", lambda: 4)
    assert look(computes, 2).own_threads == 2


@pytest.mark.parametrize(("share", "verdict"), [(0.5, "confirmed"), (0.01, "refuted"), (None, "refuted")])
def test_cpu_time_of_other_threads_is_evidence_also_where_one_worker_uses_one_core(
    share: float | None, verdict: str
) -> None:
    known = {} if share is None else {"others_share": share}
    session = own_code.one_case(own_code.FREE, **known)
    (judgement,) = (each for each in session.judgements if each.claim.endswith("own-threads") and each.cell == "cpu2")
    assert judgement.verdict == verdict, judgement.reason


def test_what_helper_processes_compute_is_no_waiting() -> None:
    session = own_code.one_case(own_code.WAITS, helpers=True, cores=1.9)
    verdicts = {each.claim.rpartition(".")[2]: each.verdict for each in session.judgements if each.cell == "cpu2"}
    assert (verdicts["waits"], verdicts["own-threads"]) == ("inconclusive", "confirmed")


def arms_of(trial: Trial) -> dict[str, Arm]:
    return {arm.name: arm for arm in [base_arm(trial), *(one.arm for one in arms_for(CASE, ["fork"], 2, True, trial))]}


def test_what_waits_for_its_own_threads_is_not_called_disturbed() -> None:
    plain = look(computes, count_threads())._replace(cores=1.0, others_share=0.0, idle=0.0)
    assert all(arm.clean for arm in arms_of(plain).values())
    for several in (plain._replace(cores=1.9), plain._replace(others_share=0.95)):
        assert not any(arm.clean for arm in arms_of(several).values())


def test_blocks_are_as_short_as_a_call_where_most_are_disturbed() -> None:
    """A block of 60 ms met a neighbour's burst each time, and nothing was decided."""
    trial = look(computes, count_threads())._replace(call_seconds=0.012, cores=1.0, others_share=0.0, idle=0.0)
    arms = arms_of(trial)
    disturbed = {name: {"disturbed": None if name == "1 worker" else "run delay"} for name in arms}
    assert are_disturbed([arms["2 processes (fork)"]], [disturbed])
    assert not are_disturbed(list(arms.values()), [disturbed]), "half of them count"
    assert not are_disturbed([], [disturbed])
    short = {name: shorter(arm, trial.call_seconds) for name, arm in arms.items()}
    for name, arm in short.items():
        assert arm.seconds < trial.call_seconds < arms[name].seconds
        assert arm.repeat * (arm.seconds + arm.tail) <= arms[name].seconds
        assert shorter(arm, trial.call_seconds) == arm
    of_a_millisecond = arms_of(trial._replace(call_seconds=0.001))
    assert {name: shorter(arm, 0.001) for name, arm in of_a_millisecond.items()} == of_a_millisecond
    taking_turns = arms["2 processes (fork)"]._replace(clean=False)
    assert shorter(taking_turns, trial.call_seconds) == taking_turns


def test_a_function_of_a_microsecond_does_not_seem_to_compute_in_several_threads() -> None:
    """The clocks took longer than the calls, and their time was taken for that of other threads."""
    shares = sorted(look(lambda: None, 1).cores for _ in range(21))
    assert shares[len(shares) // 2] <= 1.03


class Interrupted:
    """The clocks of a program in one thread, from which the host takes the CPU once, after it has read a clock.

    The system does not see that, so it counts as CPU time. All times are in seconds.
    """

    READING, CALL, TAKEN = 1e-7, 2e-6, 1e-4

    def __init__(self, place: int) -> None:
        self._place = place
        self._now = 0.0
        self.readings = 0

    def _read(self) -> float:
        self._now += self.READING
        now = self._now
        if self.readings == self._place:
            self._now += self.TAKEN
        self.readings += 1
        return now

    monotonic = process_time = thread_time = _read

    def call(self) -> None:
        self._now += self.CALL


def test_a_host_that_takes_the_cpu_between_two_clocks_is_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a busy neighbour that was seen once: 12 % of the CPU time seemed to be that of other threads."""

    def seen(place: int) -> tuple[Interrupted, Trial]:
        clocks = Interrupted(place)
        monkeypatch.setattr(trial, "time", clocks)
        return clocks, look(clocks.call, count_threads())

    readings = seen(-1)[0].readings
    for place in (*range(10), *range(readings - 60, readings)):
        assert not seen(place)[1].several, place


#: A process that computes for some time when it is told to, and says when it has.
HELPER = """
import sys, time
for line in sys.stdin:
    until = time.process_time() + float(line)
    while time.process_time() < until: pass
    print(flush=True)
"""


@pytest.fixture
def helper() -> Iterator[subprocess.Popen[str]]:
    """A process of the function's own that lives on between its calls."""
    with subprocess.Popen(
        [sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


def test_what_a_helper_computes_that_lives_on_is_no_waiting(helper: subprocess.Popen[str]) -> None:
    def asks_it() -> None:
        assert helper.stdin
        assert helper.stdout
        helper.stdin.write("0.02\n")
        helper.stdin.flush()
        helper.stdout.readline()

    seen = look(asks_it, count_threads())
    assert seen.cores > 0.2  # a neighbour may take the half of its CPU


def test_calls_that_wait_seldom_and_long_wait() -> None:
    calls = itertools.count()
    assert look(lambda: time.sleep(0.01) if next(calls) % 3 == 0 else None, count_threads()).waits


def yields() -> Iterator[str]:
    yield from map(str, range(1000))


async def yields_later() -> AsyncIterator[str]:
    for number in range(1000):
        yield str(number)


def yields_what_cannot_be_pickled() -> Iterator[Callable[[], None]]:
    yield lambda: None


def yields_at_random() -> Iterator[float]:
    yield random.random()


def test_what_a_generator_yields_is_handed_over() -> None:
    expected = len(pickle.dumps(list(yields()), pickle.HIGHEST_PROTOCOL))
    for function in (yields, yields_later):
        seen = look(adapted(function, [], {}), count_threads())
        assert seen.result_bytes == expected
        assert seen.same is True
    assert "pickle" in look(adapted(yields_what_cannot_be_pickled, [], {}), count_threads()).pickle_error
    assert look(adapted(yields_at_random, [], {}), count_threads()).same is False


def test_of_a_generator_without_end_only_the_first_elements_are_kept() -> None:
    call = adapted(itertools.count, [], {})
    assert result_of(call, "it") == "it"  # what is no generator function is called, and gives what it gives

    def endless() -> Iterator[int]:
        yield from itertools.count()

    assert len(result_of(adapted(endless, [], {}), None)) == MOST_YIELDED

    def mebibytes() -> Iterator[bytes]:
        for _ in itertools.count():
            yield bytes(2**20)

    assert len(result_of(adapted(mebibytes, [], {}), None)) == MOST_BYTES // 2**20


class Queue:
    """A server that serves one call at a time, by a lock that all its users share."""

    SERVICE_SECONDS = 0.02

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def call(self) -> None:
        with self._turn:
            time.sleep(self.SERVICE_SECONDS)


def test_workers_that_stand_in_a_queue_begin_before_their_block() -> None:
    seen = look(Queue().call, count_threads())
    (arm,) = [each for each in arms_for(CASE, ["fork"], 2, True, seen) if each.workers == 4]
    block = {"cores": 0.1, "lost": None, "calls": {"p95": 4 * Queue.SERVICE_SECONDS}}
    assert as_seen(arm, block, seen).arm.lead == pytest.approx(4 * Queue.SERVICE_SECONDS, rel=0.1)
    stuck = {**block, "calls": {"p95": 10.0}}
    assert as_seen(arm, stuck, seen).arm.lead < 6 * Queue.SERVICE_SECONDS, "one call that timed out is no queue"
    alone = {**block, "calls": {"p95": Queue.SERVICE_SECONDS}}
    assert as_seen(arm, alone, seen) is arm


def test_a_block_under_a_quota_is_whole_periods_after_one_that_does_not_count() -> None:
    arm = base_arm(look(computes, count_threads()))
    assert arm.seconds < 0.1
    assert over_periods(arm, 0.1) == arm._replace(seconds=0.1, lead=0.1, repeat=1)
    assert over_periods(arm._replace(seconds=0.25), 0.1).seconds == pytest.approx(0.3)
