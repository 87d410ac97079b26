"""What the runs of a program took: turns in pairs, what is missing, and which limit is the sensible one."""

from __future__ import annotations

import re

import pytest

from lab.judging.exit_code import exit_code
from lab.judging.programs import choices, failed, limits_of, measured, why_failed
from lab.reports.tables.programs import choice_lines
from tests.support.own_programs import failing, run, session


def test_the_turns_of_a_limit_are_one_row_and_the_smallest_limit_comes_first() -> None:
    rows = measured(session({4: 1.0, 1: 4.0, 2: 2.0}))
    assert [row.rate for row in rows] == [1, 2, 4]
    assert [len(row.results) for row in rows] == [5, 5, 5]
    assert [len(row.runs) for row in rows] == [10, 10, 10]
    assert [[result.cell.turn for result in row.results] for row in rows] == [[1, 2, 3, 4, 5]] * 3


def test_the_speed_up_is_that_of_turns_in_pairs() -> None:
    base, two = measured(session({1: 4.0, 2: 2.0}, spread=0.0))
    assert base.speed_up is None
    assert two.speed_up is not None
    assert two.speed_up.value == pytest.approx(2.0)
    assert two.efficiency == pytest.approx(1.0)


def test_a_drift_of_the_machine_does_not_reach_the_speed_up() -> None:
    measured_session = session({1: 4.0, 2: 2.0}, spread=0.0)
    for result in measured_session.results:
        for record in result.records:
            if record.kind == "sample" and record.data["name"] == "run":
                record.data["values"]["program"]["wall"] *= result.cell.turn  # it becomes slower and slower
    two = measured(measured_session)[1]
    assert two.speed_up is not None
    assert (two.speed_up.low, two.speed_up.high) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize(
    ("walls", "sensible"),
    [
        ({1: 4.0, 2: 2.0, 4: 1.0}, 4),
        ({1: 4.0, 2: 2.0, 4: 1.98}, 2),
        ({1: 1.0, 2: 1.0, 4: 1.0}, 1),
        ({1: 1.0, 2: 1.3, 4: 1.5}, 1),
    ],
)
def test_the_sensible_limit_is_the_smallest_that_is_not_worse(walls: dict[int, float], sensible: int) -> None:
    (choice,) = choices(session(walls))
    assert choice.row is not None
    assert choice.row.rate == sensible


def test_a_limit_with_a_failure_is_not_what_the_sensible_limit_is_compared_with() -> None:
    broken = session({1: 4.0, 2: 2.0, 4: 1.0}, made={1: [run(4.0), failing()]})
    (choice,) = choices(broken)
    assert choice.row is not None
    assert choice.row.speed_up is not None
    assert [row.rate for row in choice.rows] == [2, 4]
    assert choice.rows[0].speed_up is None
    assert choice.row.speed_up.value == pytest.approx(2.0, rel=0.05)
    assert choice.row.efficiency == pytest.approx(1.0, rel=0.05)
    (line,) = choice_lines(broken)
    assert re.fullmatch(r"Sensible limit: 4 CPUs: (1\.9\d|2\.0\d?) times as fast as with 2 CPUs\.", line), line


def test_noise_and_single_runs_decide_nothing() -> None:
    assert [choice.row for choice in choices(session({1: 1.0, 2: 1.0}, spread=0.6))] == [None]
    (choice,) = choices(session({1: 1.0, 2: 0.98}, runs=1))
    assert choice.row is None


def test_what_nobody_knows_is_missing() -> None:
    (row,) = measured(session({1: 1.0}, tree_memory=None, processes=None, threads=None))
    assert (row.memory, row.throttled, row.most("processes"), row.middle("pressure")) == (None,) * 4


def test_the_memory_of_the_group_counts_where_it_is_known() -> None:
    (row,) = measured(session({1: 1.0}, made={1: [run(1.0), run(1.0, group_memory=80_000_000)]}))
    assert row.memory == 80_000_000


def test_a_run_that_failed_does_not_count_and_makes_the_exit_code() -> None:
    broken = session({1: 1.0, 2: 0.5}, made={1: [run(1.0), failing()]})
    assert failed(broken)
    assert exit_code(broken) == 1
    assert [(len(row.runs), len(row.failures)) for row in measured(broken)] == [(5, 5), (10, 0)]
    assert not failed(session({1: 1.0}))


@pytest.mark.parametrize(
    ("ending", "option"),
    [
        ({}, "--ignore-failure"),
        ({"code": None, "signal": "SIGTERM", "late": True}, "--deadline"),
        ({"code": None, "signal": "SIGSEGV"}, "killed by a signal"),
    ],
)
def test_the_reason_names_the_option_that_helps(ending: dict[str, object], option: str) -> None:
    assert option in why_failed(session({1: 1.0, 2: 1.0}, made={1: [failing(**ending)]}))


def test_the_numbers_belong_to_the_first_turn() -> None:
    quantities = session({1: 4.0, 2: 2.0}).quantities
    assert {quantity.cell for quantity in quantities} == {"cpu1.1", "cpu2.1"}
    assert [each.what for each in quantities if each.cell == "cpu2.1"][-1] == "speed-up"


def test_limits_are_told_apart_by_their_quota_too() -> None:
    groups = limits_of(session({1: 1.0, 2: 1.0}).results)
    assert [len({result.cell.limit for result in group}) for group in groups] == [1, 1]
