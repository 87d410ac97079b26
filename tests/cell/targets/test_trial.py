"""The first look at a function: whether it computes in several threads, waits, or does neither."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.cell.measuring.rounds import Arm
from lab.cell.targets.arms import are_disturbed, arms_for, base_arm, shorter
from lab.cell.targets.case import FILE, Case
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


@pytest.mark.parametrize(("share", "verdict"), [(0.5, "confirmed"), (0.01, "refuted"), (None, "refuted")])
def test_cpu_time_of_other_threads_is_evidence_also_where_one_worker_uses_one_core(
    share: float | None, verdict: str
) -> None:
    known = {} if share is None else {"others_share": share}
    session = own_code.one_case(own_code.FREE, **known)
    (judgement,) = (each for each in session.judgements if each.claim.endswith("own-threads") and each.cell == "cpu2")
    assert judgement.verdict == verdict, judgement.reason


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
