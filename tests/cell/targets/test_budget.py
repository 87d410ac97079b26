"""The time of a case: long calls, long lists and many workers are measured to the end, and that is said beforehand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.cell.measuring.rounds import ALONE, Arm, probe, turn_seconds
from lab.cell.targets.arms import arms_for, at_home, base_arms, executors, idle_bases, over_periods
from lab.cell.targets.budget import ListTrial, times_of
from lab.cell.targets.case import FILE, Case
from lab.cell.targets.figures import enough
from lab.cell.targets.trial import Trial
from lab.model.cell import Cell, Limit
from lab.planning.jobs import job_of

TRIAL = Trial(0.001, 0.001, 1.0, 0.0, 0, (), 10, 1e-6, "", True, ready_seconds=0.2)
LIST = ListTrial(length=1000, seconds=1.0, pickle_seconds=2e-6, dispatch={"thread": 1e-5, "process": 1e-4})
CASE = Case(label="it", source=FILE, where="it.py", name="it")


def timed(case: Case, cpus: int, call_seconds: float, items: ListTrial | None = None) -> Case:
    trial = TRIAL._replace(call_seconds=call_seconds, first_seconds=call_seconds, ready_seconds=0.2 + call_seconds)
    return case._replace(times={str(cpus): times_of(case, cpus, True, trial, items)})


def deadline(case: Case, cpus: int, seconds: float, quota: float | None = None) -> float:
    cell = Cell(id="", limit=Limit(cpus=cpus, quota_cpus=quota), size=cpus)
    return job_of("", cell, ("it",), seconds, 0.1, cases=[case]).experiment_deadline


def rounds_until_enough(round_seconds: float, given: float, *, decided: bool) -> int:
    """How many rounds of that length are measured of a case that was given so many seconds."""
    recorder: Any = SimpleNamespace(seconds=given, width=0.0)
    rounds: list[Any] = []
    while not enough(rounds, ["it"], len(rounds) * round_seconds, recorder, lambda: decided):
        rounds.append({})
    return len(rounds)


@pytest.mark.parametrize("given", [1.0, 4.0])
def test_long_rounds_go_on_until_there_are_enough_of_them(given: float) -> None:
    """After three times the time that was asked for they stopped: a list of a second was never decided."""
    assert rounds_until_enough(5.0, given, decided=True) == 6
    assert rounds_until_enough(5.0, given, decided=False) == 19


@pytest.mark.parametrize(
    ("case", "cpus", "seconds", "call_seconds", "items"),
    [
        (CASE._replace(items="xs"), 2, 4.0, 0.001, LIST),
        (CASE._replace(items="xs"), 2, 4.0, 0.01, LIST._replace(seconds=10.0)),
        (CASE, 8, 4.0, 2.0, None),
        (CASE, 64, 4.0, 0.5, None),
        (CASE._replace(against={"label": "old"}), 2, 16.0, 1.0, None),
        (CASE._replace(against={"label": "old"}), 2, 6.0, 0.02, None),
    ],
    ids=["list of 1 s", "list of 10 s", "8 CPUs", "64 CPUs", "against", "against, quick"],
)
def test_the_deadline_leaves_time_for_all_rounds_also_where_nothing_is_decided(
    case: Case, cpus: int, seconds: float, call_seconds: float, items: ListTrial | None
) -> None:
    case = timed(case, cpus, call_seconds, items)
    start, rounds = case.times[str(cpus)]
    one_round = rounds / (15 if case.against else 6)
    most = 15 if case.against else rounds_until_enough(one_round, seconds, decided=False)
    assert deadline(case, cpus, seconds) > 1.5 * (start + max(seconds, most * one_round))
    assert deadline(case, cpus, seconds, quota=0.5) > 1.9 * (start + max(seconds, most * one_round))
    assert case.usual_seconds(cpus, seconds) == start + max(seconds, rounds)


@pytest.mark.parametrize("cpus", [2, 64])
def test_under_a_quota_the_deadline_leaves_time_for_blocks_of_whole_periods(cpus: int) -> None:
    """A block takes two periods of 0.1 s there, whatever a call takes."""
    case = timed(CASE, cpus, 0.001)
    arms = at_home(arms_for(CASE, executors(), cpus, True, TRIAL))
    all_arms = [ALONE, probe(cpus), *base_arms(arms, TRIAL), *(arm.arm for arm in arms)]
    one_round = sum(turn_seconds(over_periods(arm, 0.1)) for arm in all_arms)
    most = rounds_until_enough(one_round, 4.0, decided=False)
    assert deadline(case, cpus, 4.0, quota=1.5) > most * one_round


def test_the_times_are_those_of_all_workers() -> None:
    """A pair of agents for each kind is tried twice and has three rounds, five times over: the timetable says so."""
    start, rounds = timed(CASE._replace(against={"label": "old"}), 2, 1.0).times["2"]
    blocks = 2 * (2.25 + 3.45 + 2.25)  # both have one worker, two threads with a GIL, two processes
    assert 5 * 2 * blocks < start
    assert rounds >= 5 * 3 * blocks
    start, rounds = timed(CASE, 2, 1.0).times["2"]
    blocks = 3 * 2.25 + 3.45 + 3 * 2.25  # one worker of each start method, threads, processes
    assert 2 * (blocks - 3 * 2.25) < start
    assert rounds >= 6 * blocks


def test_a_small_cell_and_a_quick_function_take_little() -> None:
    assert timed(CASE, 1, 1.0).usual_seconds(1, 4.0) < 25 < timed(CASE, 2, 1.0).usual_seconds(2, 4.0)
    quick = timed(CASE, 2, 0.001)
    assert quick.usual_seconds(2, 4.0) < 8
    assert deadline(quick, 2, 4.0) < 100
    slow = timed(CASE, 2, 1.0)
    assert slow.longest_seconds(4) == slow.longest_seconds(2), "a replay elsewhere has the longest times that are known"
    assert deadline(CASE, 2, 4.0) == 76, "a session of an earlier version has no times"


def test_a_list_of_short_items_takes_as_long_as_it_takes_to_hand_them_over() -> None:
    short = timed(CASE._replace(items="xs"), 2, 1e-6, LIST._replace(length=100_000, seconds=0.1))
    assert short.times["2"][1] > 6 * 3 * 100_000 * 1e-4, "three kinds of processes take the items one by one"


def test_only_workers_that_no_trial_has_set_to_work_are_warmed_up() -> None:
    bases = [Arm("1 worker", "target", method="spawn"), Arm("1 worker (fork)", "target", method="fork")]
    forked = Arm("2 processes (fork)", "target", processes=2, method="fork")
    assert idle_bases(bases, [forked], 2) == bases[:1]
    assert idle_bases(bases, [forked], 4) == bases
