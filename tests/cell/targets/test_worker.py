"""What a worker counts in a block: whole calls, and the share of the last call that lies within the block."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from lab.cell.measuring.crew_worker import Block
from lab.cell.targets.calling import Caller
from lab.cell.targets.case import FILE, Case
from lab.cell.targets.worker import MOST_TIMES, OWN, Team, group_size, timed, times, units, units_until


@pytest.mark.parametrize(
    ("moments", "end", "expected"),
    [
        ([1.0, 2.0, 3.0], 3.0, 3.0),  # three calls of a second in three seconds
        ([1.0, 2.0, 3.0], 2.5, 2.5),  # half of the third call lay within the block
        ([4.0], 1.0, 0.25),  # a call that outlasts its block
        ([], 1.0, 0.0),
    ],
)
def test_a_call_under_way_counts_with_its_share(moments: list[float], end: float, expected: float) -> None:
    assert units(moments, 0.0, end) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("moments", "begun", "moment", "expected"),
    [
        ([1.0, 2.0, 3.0], 0.0, 2.0, 2.0),
        ([1.0, 2.0, 3.0], 0.0, 2.5, 2.5),
        ([4.0], 0.0, 1.0, 0.25),
        ([1.0, 2.0], 0.0, 3.0, 2.0),  # it stood still after two calls
        ([3.0], 2.0, 1.0, 0.0),  # it came late
        ([], 0.0, 1.0, 0.0),
    ],
)
def test_what_was_called_before_the_block_is_known_too(
    moments: list[float], begun: float, moment: float, expected: float
) -> None:
    assert units_until(moments, begun, moment) == pytest.approx(expected)


def test_calls_before_the_block_do_not_count() -> None:
    now = time.monotonic() + 0.01
    tally = timed(lambda: time.sleep(0.005), 1, Block("target", ((0,),), now + 0.1, now + 0.15, lead=0.1))
    assert 3 < tally.units <= 10  # of some 20 calls before it, and 10 in it
    assert tally.wall == pytest.approx(0.05)
    assert len(tally.times) > tally.units


def test_times_of_calls_are_differences_and_only_some_are_kept() -> None:
    assert times([1.0, 3.0, 6.0], 0.0, 1) == pytest.approx((1.0, 2.0, 3.0))
    assert times([2.0, 4.0], 0.0, 4) == pytest.approx((0.5, 0.5))
    assert len(times([float(n) for n in range(1, 10_000)], 0.0, 1)) <= 2 * MOST_TIMES


def test_short_calls_are_timed_in_groups() -> None:
    case = Case(label="x", source="module", where="m")
    assert group_size(case._replace(call_seconds=1e-6)) == 20
    assert group_size(case._replace(call_seconds=1e-3)) == 1


def test_what_a_call_raises_ends_the_block_and_is_told() -> None:
    calls = iter([None, None])

    def call() -> None:
        next(calls)

    now = time.monotonic()
    tally = timed(call, 1, Block("target", ((0,),), now, now + 60))
    assert tally.error == "StopIteration"
    assert len(tally.times) == 2


def test_who_wakes_up_late_has_waited_for_a_cpu() -> None:
    now = time.monotonic()
    tally = timed(lambda: None, 1, Block("target", ((0,),), now - 0.03, now + 0.01))
    assert tally.delay is None or tally.delay >= 0.03


def test_a_setup_that_fails_in_a_thread_fails_the_block_and_nobody_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "setup_of_a_test.py"
    path.write_text(
        "made = []\ndef make():\n    made.append(1)\n    if len(made) > 1: raise OSError('one is enough')\n"
    )
    path.write_text(path.read_text() + "def use(thing): pass\n")
    case = Case(label="x", source=FILE, where=str(path), name="use", setup="make", call_seconds=0.001)
    cpus = tuple(os.sched_getaffinity(0))
    now = time.monotonic()
    tally = Team(Caller(case), 1).tally(Block(OWN, (cpus, cpus), now, now + 0.01))
    sys.modules.pop("setup_of_a_test")
    assert tally.error is not None
    assert tally.error.startswith("--setup make raised OSError: one is enough (")
    assert tally.error.endswith("setup_of_a_test.py, line 4); repair it, or name another")
