"""When a cell stops measuring a case: on time where it is decided, and later where it is not."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from lab.cell.claims.claim import Evidence, Round
from lab.cell.targets import arms, choice, figures
from lab.cell.targets.case import Case
from lab.cell.targets.trial import Trial

TRIAL = Trial(0.001, 0.001, 1.0, 0.0, 0, (), 10, 1e-6, "", True)
ARMS = [["2 threads", "thread", 2, False]]


def test_threads_that_do_not_take_turns_are_measured_as_processes_are() -> None:
    (threads,) = arms.arms_for(Case("f", "file", "f.py"), [arms.THREAD], 2, True, TRIAL)
    turns = arms.as_seen(threads, {"cores": 1.0, "lost": 0.3}, TRIAL)
    assert turns is threads
    assert (turns.arm.clean, turns.arm.seconds) == (False, arms.SHORTEST_TEAM)
    apart = arms.as_seen(threads, {"cores": 1.9, "lost": 0.02}, TRIAL).arm
    assert (apart.clean, apart.shares_gil, apart.seconds) == (True, False, arms.SHORTEST)


@dataclasses.dataclass
class Given:
    """What a recorder was given."""

    #: The seconds that a case may take if all is quiet.
    seconds: float = 4.0
    #: The half-width of intervals that is asked for.
    width: float = 0.001


def rounds(gain: float, spread: float, disturbed: str | None = None) -> list[Round]:
    """Twelve rounds in which two threads do so many times the work of one worker, more or less."""
    order = random.Random(1)

    def block(rate: float) -> dict[str, Any]:
        return {"rate": rate * order.uniform(1 - spread, 1 + spread), "disturbed": disturbed}

    return [{"1 worker": block(100), "2 threads": block(100 * gain)} for _ in range(12)]


def test_a_machine_that_gives_little_more_than_one_cpu_says_nothing_for_a_plain_loop() -> None:
    """A plain loop was advised for what holds the GIL, because processes gained only what there was."""
    arms_of_it = [*ARMS, ["2 processes (fork)", "fork", 2, False]]

    def of_round(blocks: Round, delivered: float, **more: Any) -> Round:
        block = {"rate": 100.0, "disturbed": None, **more}
        probe = {"one process": block, "probe": {**block, "rate": 100 * delivered}}
        return {**blocks, "2 processes (fork)": blocks["2 threads"], **probe}

    poor, rich = ([of_round(blocks, cpus) for blocks in rounds(1.05, 0.01)] for cpus in (1.13, 1.9))
    assert not choice.is_decided(TRIAL, arms_of_it, poor)
    assert choice.is_decided(TRIAL, arms_of_it, rich)
    assert choice.is_decided(TRIAL._replace(idle=0.9), arms_of_it, poor), "what waits needs no CPU"
    stopped = [of_round(blocks, 1.0, stopped_periods=1) for blocks in rounds(1.0, 0.01)]
    assert choice.is_decided(TRIAL, arms_of_it, stopped), "a quota is the limit that was asked for"


@pytest.mark.parametrize(
    ("measured", "is_decided"),
    [
        (rounds(1.9, 0.01), True),
        (rounds(1.0, 0.01), True),  # a plain loop
        (rounds(1.15, 0.2), False),  # more or less than what is worth workers
        (rounds(1.9, 0.01, "run delay"), False),
    ],
)
def test_a_cell_knows_whether_its_rounds_decide_what_to_take(measured: list[Round], is_decided: bool) -> None:
    assert choice.is_decided(TRIAL, ARMS, measured) is is_decided


def test_one_worker_is_not_taken_while_other_ways_may_do_much_more() -> None:
    """Processes seem to do less than threads, which gain nothing; but their interval reaches far above."""
    both = [*ARMS, ["2 processes (fork)", "fork", 2, False]]
    trial = TRIAL._replace(call_seconds=1.1e-6, pickle_seconds=0.9e-6)  # handing results over costs a third
    seen = rounds(1.0, 0.01)
    for number, blocks in enumerate(seen):
        blocks["2 processes (fork)"] = {"rate": 195.0 if number % 5 == 0 else 132.0, "disturbed": None}
    assert choice.is_decided(trial, ARMS, seen)
    assert not choice.is_decided(trial, both, seen)
    for blocks in seen:
        blocks["2 processes (fork)"]["rate"] = 132.0
    assert choice.is_decided(trial, both, seen)


@pytest.mark.parametrize(("gain", "is_decided"), [(0.7, True), (1.8, False)])
def test_a_simpler_way_that_was_never_quiet_beside_the_best_counts_with_the_most_that_it_may_do(
    gain: float, is_decided: bool
) -> None:
    both = [*ARMS, ["2 processes (fork)", "fork", 2, False]]
    seen = rounds(gain, 0.01)
    for number, blocks in enumerate(seen):
        blocks["2 processes (fork)"] = {"rate": 190.0, "disturbed": "run delay" if number % 2 else None}
        blocks["2 threads"]["disturbed"] = None if number % 2 else "run delay"
    assert choice.is_decided(TRIAL, both, seen) is is_decided


def chosen_of(trial: Trial, both: list[list[object]], threads: tuple[float, ...]) -> choice.Choice:
    """What is chosen where one worker does 100 calls a second, two processes 200, and two threads so many by round."""
    seen = [
        {
            "1 worker": {"rate": 100.0, "disturbed": None},
            "2 processes (fork)": {"rate": 200.0, "disturbed": None},
            "2 threads": {"rate": rate, "disturbed": None},
        }
        for rate in threads
    ]
    evidence = Evidence([("trial", trial._asdict()), ("arms", both)], [("round", blocks) for blocks in seen])
    return choice.choose(evidence, (3, 13))


def test_workers_that_gain_nothing_are_not_taken_because_the_best_ones_gain_little() -> None:
    """Handing results over left 1.1 of what two processes do. Threads did 1.00 of one worker, and were advised."""
    both = [*ARMS, ["2 processes (fork)", "fork", 2, False]]
    trial = TRIAL._replace(call_seconds=1e-6, pickle_seconds=1.5e-6)
    chosen = chosen_of(trial, both, (104.0, 100.0) * 6)
    assert chosen.option
    assert chosen.option.name == "2 processes (fork)"


@pytest.mark.parametrize(
    ("cores", "probe", "is_decided"),
    [(1.7, "run delay", False), (1.7, None, True), (1.0, "run delay", True)],
)
def test_a_function_with_threads_of_its_own_is_decided_only_where_the_probe_was_quiet(
    cores: float, probe: str | None, is_decided: bool
) -> None:
    """Beside a neighbour that held up the threads of each multiplication, two callers seemed to gain: 1.61 times."""
    seen = rounds(1.6, 0.01)
    for blocks in seen:
        blocks.update({name: {"rate": 100.0, "disturbed": probe} for name in ("probe", "one process")})
    assert choice.is_decided(TRIAL._replace(cores=cores), ARMS, seen) is is_decided


def test_a_simpler_way_is_not_taken_while_it_may_be_no_better_than_a_plain_loop() -> None:
    """Handing results over left 1.2 of what two processes do. Threads did 1.03 (1.00 to 1.15), and were advised."""
    both = [*ARMS, ["2 processes (fork)", "fork", 2, False]]
    trial = TRIAL._replace(call_seconds=1e-6, pickle_seconds=1.33e-6)
    chosen = chosen_of(trial, both, (100.0, 103.0, 115.0) * 4)
    assert chosen.option is None
    assert chosen.why.startswith("2 threads do")


@pytest.mark.parametrize(
    ("seconds", "is_decided", "stops"),
    [(3.9, True, False), (4.0, True, True), (4.0, False, False), (11.9, False, False), (12.1, False, True)],
)
def test_what_is_not_decided_may_take_three_times_as_long(seconds: float, is_decided: bool, stops: bool) -> None:
    given: Any = Given()
    noisy = 2 * rounds(1.9, 0.2)
    assert figures.enough(noisy, ["2 threads"], seconds, given, lambda: is_decided) is stops
    assert not figures.enough(noisy[:3], ["2 threads"], seconds, given, lambda: True)


@pytest.mark.parametrize(
    ("gain", "kind", "is_surprising"),
    [(1.6, "thread", True), (1.95, "thread", False), (1.6, "fork", False)],
)
def test_it_is_surprising_that_processes_do_more_than_threads_that_work(
    gain: float, kind: str, is_surprising: bool
) -> None:
    """For some seconds a host made it slow to share memory: threads without a GIL did 1.66 times the work, not 2.0."""
    arms = [["2 threads", kind, 2, False], ["2 processes (fork)", "fork", 2, False]]
    seen = rounds(gain, 0.01)
    for blocks in seen:
        blocks["2 processes (fork)"] = {"rate": 200.0, "disturbed": None}
    assert choice.is_surprising(TRIAL, arms, seen) is is_surprising


@pytest.mark.parametrize(("seconds", "stops"), [(3.9, False), (4.0, True)])
def test_what_is_surprising_is_measured_until_the_time_is_up(seconds: float, stops: bool) -> None:
    given: Any = Given()
    narrow = rounds(1.9, 0.0001)
    assert figures.enough(narrow, ["2 threads"], seconds, given, lambda: True)
    assert figures.enough(narrow, ["2 threads"], seconds, given, lambda: True, lambda: True) is stops
