"""Advice from numbers that are known: which way of working is taken, and what is said where noise decides nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lab.cell.targets.arms import name_of
from lab.cell.targets.case import Case
from lab.judging.advice import advise
from lab.model.cell import CellResult, Limit
from tests.support.scripts import cell_of_own_code, observe

CASE = Case(label="work.py:f", source="file", where="work.py", name="f")

ARMS = (("thread", 2), ("fork", 2), ("forkserver", 2), ("spawn", 2))


def measured(
    gains: Mapping[tuple[str, int], float], *, spread: float = 0.01, out: Sequence[str] = (), **trial: Any
) -> CellResult:
    """A cell in which these workers do so many times the work of one, each round a little differently.

    ``out`` are workers that failed later: their name, their kind, and why.
    """
    order = random.Random(1)
    rounds = []
    for _ in range(12):

        def block(rate: float) -> dict[str, Any]:
            return {"rate": rate * order.uniform(1 - spread, 1 + spread), "cores": 1.0, "disturbed": None, "delay": 0.0}

        blocks = {"one process": block(100), "probe": block(200), "1 worker": block(1000)}
        for (kind, workers), gain in gains.items():
            blocks[name_of(kind, workers)] = block(1000 * gain)
        rounds.append(blocks)
    arms = [[name_of(kind, workers), kind, workers, False] for kind, workers in gains]
    failed = [observe("out", [*out])] if out else []
    return cell_of_own_code(CASE, arms, rounds, trial, *failed)


@pytest.mark.parametrize(
    ("gains", "taken"),
    [
        ((1.0, 1.95, 1.95, 1.95), "2 processes (fork)"),  # holds the GIL
        ((1.95, 1.95, 1.95, 1.95), "2 threads"),  # the simplest of equals
        ((1.97, 1.95, 1.99, 1.95), "2 threads"),  # a difference that does not matter
        ((1.0, 1.0, 1.0, 1.0), "1 worker"),  # nothing gains
        ((0.5, 1.04, 1.02, 1.01), "1 worker"),
        ((1.5, 1.95, 1.95, 1.95), "2 processes (fork)"),
    ],
)
def test_the_simplest_of_the_best_is_taken(gains: tuple[float, ...], taken: str) -> None:
    advice = advise(CASE, measured(dict(zip(ARMS, gains, strict=True))))
    assert advice.option
    assert advice.option.name == taken
    assert advice.sentence.startswith("Advice: ")
    assert advice.code


def test_more_workers_than_cpus_are_taken_where_they_do_more() -> None:
    gains = {("thread", 2): 2.0, ("thread", 4): 4.0, ("fork", 2): 2.0, ("fork", 4): 4.0}
    advice = advise(CASE, measured(gains, idle=0.98))
    assert advice.option
    assert advice.option.name == "4 threads"
    assert "ThreadPoolExecutor(4)" in advice.code


def test_workers_that_failed_later_are_not_taken() -> None:
    gains = {("thread", 2): 1.95, ("fork", 2): 1.9}
    taken = advise(CASE, measured(gains)).option
    assert taken
    assert taken.name == "2 threads"
    taken = advise(CASE, measured(gains, out=("2 threads", "thread", "RuntimeError: changed"))).option
    assert taken
    assert taken.name == "2 processes (fork)"


@pytest.mark.parametrize(
    ("gains", "out", "error", "reasons"),
    [
        ({}, ("2 threads", "thread", "OSError: in use"), "", "threads: OSError: in use"),
        ({("fork", 2): 1.9}, (), "TypeError: a lock", "the result cannot be pickled: TypeError: a lock"),
        (
            {("fork", 2): 1.9},
            ("2 threads", "thread", "OSError: in use"),
            "TypeError: a lock",
            "threads: OSError: in use; the result cannot be pickled: TypeError: a lock",
        ),
    ],
)
def test_where_no_other_way_works_each_reason_is_said(
    gains: Mapping[tuple[str, int], float], out: tuple[str, ...], error: str, reasons: str
) -> None:
    for idle in (0.0, 0.98):
        advice = advise(CASE, measured(gains, out=out, pickle_error=error, idle=idle))
        assert advice.sentence == f"Advice: call it in a plain loop, in one worker: no other way works: {reasons}."
    assert advise(CASE, measured({})).sentence.endswith("no other way was measured.")


def test_where_workers_were_lost_nothing_is_advised() -> None:
    lost = ("workers", "later", "a worker was killed, after 9 rounds")
    advice = advise(CASE, measured({("thread", 2): 1.95}, out=lost))
    assert not advice.decided
    assert "a worker was killed, after 9 rounds" in advice.sentence
    assert "has to work at every call" in advice.sentence


def test_which_start_method_is_best_is_no_reason_to_decide_nothing() -> None:
    gains = {("thread", 2): 1.0, ("fork", 2): 1.9, ("spawn", 2): 2.0}
    advice = advise(CASE, measured(gains, spread=0.35))
    assert advice.option
    assert advice.option.name == "2 processes (fork)"


def test_noise_decides_nothing_and_says_so() -> None:
    advice = advise(CASE, measured({("thread", 2): 1.3, ("fork", 2): 1.35}, spread=0.6))
    assert not advice.decided
    assert "not decided" in advice.sentence
    assert "--thorough" in advice.sentence


@pytest.mark.parametrize(("gain", "decided"), [(1.95, False), (1.0, True)])
def test_what_is_simpler_and_not_known_leaves_the_choice_open(gain: float, decided: bool) -> None:
    result = measured({("thread", 2): gain, ("fork", 2): 1.95, ("forkserver", 2): 1.95})
    unlike = "forkserver" if decided else "thread"  # of processes one kind is enough
    records = [
        record._replace(data=without(record.data, name_of(unlike, 2))) if record.kind == "sample" else record
        for record in result.records
    ]
    advice = advise(CASE, replace(result, records=tuple(records)))
    assert advice.decided is decided
    if not decided:
        assert "of 2 threads, which are simpler, fewer than" in advice.sentence


def without(sample: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A sample in which that arm was disturbed."""
    values = {
        arm: {**block, "disturbed": "run delay"} if arm == name else block for arm, block in sample["values"].items()
    }
    return {**sample, "values": values}


def test_processes_are_out_where_the_result_cannot_be_pickled() -> None:
    advice = advise(CASE, measured({("thread", 2): 1.0, ("fork", 2): 1.95}, pickle_error="TypeError: no"))
    assert advice.option
    assert advice.option.name == "1 worker"


def test_what_it_costs_to_hand_the_result_over_counts_against_processes() -> None:
    slow = measured({("thread", 2): 1.0, ("fork", 2): 1.95}, call_seconds=0.01, pickle_seconds=0.02)
    advice = advise(CASE, slow)
    assert advice.option
    assert advice.option.name == "1 worker"


def test_short_calls_travel_in_chunks() -> None:
    advice = advise(CASE, measured({("thread", 2): 1.0, ("fork", 2): 1.95}, call_seconds=1e-4))
    assert "chunksize=10" in advice.code  # 0.1 ms to hand over may be a tenth of a chunk


def test_a_pool_of_interpreters_takes_one_item_at_a_time() -> None:
    advice = advise(CASE, measured({("interpreter", 2): 1.95}, call_seconds=1e-5))
    assert "InterpreterPoolExecutor(2)" in advice.code
    assert "chunksize" not in advice.code
    assert "of its own" not in advice.sentence
    with_object = CASE._replace(setup="make", state="shared")  # which threads can share, and interpreters cannot
    advice = advise(with_object, measured({("interpreter", 2): 1.95}))
    assert "take 2 interpreters, each with an argument of its own: they do" in advice.sentence


def test_one_cpu_leaves_one_worker() -> None:
    advice = advise(CASE, on_one_cpu(measured({})))
    assert advice.option
    assert advice.option.name == "1 worker"
    assert "one CPU" in advice.sentence
    failed = measured({}, out=("2 threads", "thread", "OSError: in use"), idle=0.98)
    assert advise(CASE, on_one_cpu(failed)).sentence.endswith("no other way works: threads: OSError: in use.")


def on_one_cpu(result: CellResult) -> CellResult:
    """The same of a cell of one CPU."""
    return replace(result, cell=replace(result.cell, limit=Limit(cpus=1), size=1, cpus=(0,)))


def unmeasured(result: CellResult, *names: str) -> CellResult:
    """The cell with these workers disturbed in every round."""
    for record in result.records:
        if record.data.get("name") == "round":
            for name in names:
                record.data["values"][name]["disturbed"] = "run delay"
    return result


PROCESSES = tuple(name_of(kind, 2) for kind in ("fork", "forkserver", "spawn"))


@pytest.mark.parametrize(
    ("gains", "lost", "taken"),
    [
        ((1.0, 1.95, 1.95, 1.95), PROCESSES, None),  # threads gain nothing, but processes might
        ((1.4, 1.95, 1.95, 1.95), PROCESSES, None),
        ((1.95, 1.95, 1.95, 1.95), PROCESSES, "2 threads"),  # nothing can do much more
        ((1.0, 1.95, 1.95, 1.95), PROCESSES[:2], "2 processes (spawn)"),  # one kind of process tells of the others
        ((1.0, 1.0, 1.0, 1.0), PROCESSES[:1], "1 worker"),
    ],
)
def test_what_was_not_measured_may_be_better(
    gains: tuple[float, ...], lost: tuple[str, ...], taken: str | None
) -> None:
    advice = advise(CASE, unmeasured(measured(dict(zip(ARMS, gains, strict=True))), *lost))
    assert (advice.option.name if advice.option else None) == taken
    if taken is None:
        assert "undisturbed" in advice.sentence


def test_what_could_not_hand_its_results_over_need_not_be_measured() -> None:
    result = measured(dict(zip(ARMS, (1.0, 1.95, 1.95, 1.95), strict=True)), call_seconds=0.01, pickle_seconds=0.1)
    advice = advise(CASE, unmeasured(result, *PROCESSES))
    assert advice.option
    assert advice.option.name == "1 worker"
