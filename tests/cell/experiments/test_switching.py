"""The switching experiment's judgement: hand-overs at three intervals, and when measuring may stop."""

from __future__ import annotations

import json
import sys

import pytest

from lab.cell.claims.claim import CONFIRMED, INCONCLUSIVE, REFUTED, Round
from lab.cell.experiments import switching
from lab.cell.experiments.switching import FEWEST_ROUNDS, INTERVALS, judge_rounds, name_of, settled
from lab.cell.worker.message_reader import LONGEST_MESSAGE
from tests.support import scripts

pytestmark = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this Python has no GIL to hand over"
)


def rounds(*factors: float, count: int = FEWEST_ROUNDS, disturbed: str | None = None) -> list[Round]:
    """Rounds whose hand-overs take the interval times each of these factors in turn."""
    return [
        {
            name_of(interval): {
                "gaps": [interval * factors[place % len(factors)] for place in range(8)],
                "loops": 1,
                "disturbed": disturbed,
            }
            for interval, _ in INTERVALS
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("seen", "verdict", "done"),
    [
        pytest.param(rounds(1.01, 1.02), CONFIRMED, True, id="by the interval"),
        pytest.param(rounds(0.01, 0.02), REFUTED, True, id="at once"),
        pytest.param(rounds(1.0, 3.0), INCONCLUSIVE, False, id="by the interval or three"),
        pytest.param(rounds(1.01, count=2), CONFIRMED, False, id="too few rounds to stop"),
        pytest.param(rounds(1.01, disturbed="run delay"), INCONCLUSIVE, False, id="disturbed"),
    ],
)
def test_measuring_goes_on_until_enough_rounds_decide(seen: list[Round], verdict: str, done: bool) -> None:
    assert judge_rounds(seen, cpus=2).verdict == verdict
    assert settled(seen, cpus=2) is done


def test_on_one_cpu_nobody_is_blamed_for_the_turns_of_the_scheduler() -> None:
    rare = [{**blocks, name_of(0.001): {"gaps": [], "loops": None, "disturbed": None}} for blocks in rounds(1.01)]
    assert judge_rounds(rare, cpus=1).verdict == CONFIRMED, "the shortest interval is not judged there"
    assert judge_rounds(rare, cpus=2).verdict == REFUTED
    assert judge_rounds(rounds(5.0), cpus=1).verdict == INCONCLUSIVE
    assert judge_rounds(rounds(5.0), cpus=2).verdict == REFUTED
    assert judge_rounds(rounds(0.1), cpus=1).verdict == REFUTED, "sooner than asked for is no turn of a scheduler"


def test_bytecodes_are_counted_where_there_were_hand_overs() -> None:
    seen = [{**blocks, name_of(0.001): {"gaps": [], "loops": None, "disturbed": None}} for blocks in rounds(1.01)]
    for blocks in seen:
        for interval, _ in INTERVALS[1:]:
            blocks[name_of(interval)]["loops"] = 1000
    messages = [("observation", {"name": "bytecodes a loop, at least", "value": 10, "unit": "bytecodes"})]
    messages += [("sample", {"name": "round", "values": blocks}) for blocks in seen]
    result = scripts.ran(1, {"switching": messages})
    (judged,) = [
        judgement
        for judgement in scripts.session(result, experiments=("switching",)).judgements
        if judgement.claim == "switching.hundred-bytecodes"
    ]
    assert (judged.verdict.value, judged.value) == (REFUTED, 10_000)


def test_what_disturbed_it_is_named() -> None:
    finding = judge_rounds(rounds(1.0, 3.0) + rounds(1.0, count=2, disturbed="lost time"), cpus=2)
    assert finding.verdict == INCONCLUSIVE
    assert "disturbed by lost time" in finding.reason
    assert (finding.accepted, finding.rejected) == (FEWEST_ROUNDS, 2)


def test_a_round_fits_into_a_record_however_many_hand_overs_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "hand_overs", lambda interval, seconds: ([1.23456789e-05] * 100_000, [1] * 100_000))
    blocks = {name_of(interval): switching.contended(interval, count) for interval, count in INTERVALS}
    assert len(json.dumps(blocks)) < LONGEST_MESSAGE / 2
