"""The race atlas, and races: what a statement may lose, where others come in, and how long each is run."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Mapping
from typing import Any

import pytest

from lab.cell.claims.claim import CONFIRMED, INCONCLUSIVE, REFUTED, UNTESTABLE, Round
from lab.cell.claims.recorder import Recorder
from lab.cell.experiments import load, race, race_atlas
from lab.cell.measuring import contention
from lab.cell.measuring.contention import contend_for
from lab.cell.measuring.racing_statements import CHUNK, STATEMENTS, marked
from lab.model.cell import Cell, Limit
from lab.planning import jobs
from tests.cell.experiments.test_extra_experiments import claim, facts, judged


@pytest.mark.parametrize("name", STATEMENTS)
def test_one_thread_alone_loses_nothing(name: str) -> None:
    statement = STATEMENTS[name]
    names = statement.make()
    update = statement.compiled(names)
    made = sum(update(number) for number in (0, 1, 0, 1))
    assert made == 4 * CHUNK
    assert statement.lost(names, made) == 0


def test_what_threads_overwrite_counts_as_lost() -> None:
    statement = STATEMENTS["n += 1, dict item"]
    names = statement.make()
    made = statement.compiled(names)(0)
    names["d"]["n"] -= 7
    assert statement.lost(names, made) == 7


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_bytecode_is_that_of_the_statement_only(name: str) -> None:
    bytecode = list(STATEMENTS[name].bytecodes())
    assert 2 <= len(bytecode) <= 40
    assert ("FOR_ITER" in bytecode) is (name == "dict iteration")


@pytest.mark.parametrize(
    ("version", "opname", "expected"),
    [
        ((3, 9), "LOAD_ATTR", True),
        ((3, 9), "LOAD_CONST", False),
        ((3, 10), "INPLACE_ADD", False),
        ((3, 10), "CALL_FUNCTION", True),
        ((3, 11), "POP_JUMP_BACKWARD_IF_TRUE", True),
        ((3, 13), "BINARY_OP", False),
        ((3, 13), "CALL", True),
        ((3, 15), "JUMP_BACKWARD", True),
    ],
)
def test_where_the_interpreter_hands_over(version: tuple[int, int], opname: str, expected: bool) -> None:
    assert marked(opname, version, gil=True) is expected
    assert marked(opname, version, gil=False)


def atlas(lost: Mapping[str, int], hand_overs: int = 200, marks: bool = False) -> list[tuple[str, Any]]:
    """The atlas of a build, in which these statements lost so much at every interval."""
    return [
        (
            "atlas",
            {
                "statement": name,
                "interval_seconds": interval,
                "made": 1000,
                "lost": lost.get(name, 0),
                "hand_overs": hand_overs,
                "bytecode": [["LOAD_FAST", marks], ["STORE_FAST", True]],
            },
        )
        for name, (interval, _) in itertools.product(STATEMENTS, race_atlas.INTERVALS)
    ]


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        pytest.param(atlas({"n += 1, dict item": 3}), CONFIRMED, id="one of them loses"),
        pytest.param(atlas({}), REFUTED, id="none does in many hand-overs"),
        pytest.param(atlas({}, 10), INCONCLUSIVE, id="none does in few"),
        pytest.param(atlas({"check, act": 3}), REFUTED, id="another statement loses"),
    ],
)
def test_augmented_assignments(seen: list[tuple[str, Any]], verdict: str) -> None:
    assert judged("race-atlas.augmented-loses", seen).verdict == verdict


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        pytest.param(atlas({"read, call, write": 1}, marks=True), UNTESTABLE, id="places everywhere"),
        pytest.param(atlas({}), CONFIRMED, id="no place, nothing lost"),
        pytest.param(atlas({"swap": 1}), REFUTED, id="no place, but something lost"),
        pytest.param(atlas({}, 1), INCONCLUSIVE, id="too few hand-overs"),
    ],
)
def test_whether_the_bytecode_tells(seen: list[tuple[str, Any]], verdict: str) -> None:
    assert judged("race-atlas.bytecode-tells", seen).verdict == verdict


@pytest.mark.parametrize("name", ["call-loses", "check-call-act-loses", "iteration-breaks"])
def test_a_race_that_was_not_seen_is_not_refuted(name: str) -> None:
    assert judged("race-atlas." + name, atlas({}, 10**6)).verdict == INCONCLUSIVE
    for gil, cpus in itertools.product((True, False), (1, 2)):
        assert claim("race-atlas." + name).expected(facts(gil=gil, cpus=cpus)) == CONFIRMED


def test_without_a_gil_no_loss_refutes_nothing() -> None:
    where = facts((3, 13), gil=False)
    assert judged("race-atlas.augmented-loses", atlas({}, 10**6), where=where).verdict == INCONCLUSIVE
    assert judged("race-atlas.augmented-loses", atlas({"n += 1, global": 1}), where=where).verdict == CONFIRMED
    assert judged("race-atlas.one-call-keeps", atlas({}), where=where).verdict == CONFIRMED


@pytest.mark.parametrize(
    ("version", "gil", "expected"),
    [
        ((3, 9), True, CONFIRMED),
        *(((3, minor), True, REFUTED) for minor in range(10, 16)),
        *(((3, minor), False, CONFIRMED) for minor in (13, 14)),
    ],
)
def test_where_an_augmented_assignment_is_expected_to_lose(version: tuple[int, int], gil: bool, expected: str) -> None:
    for cpus in (1, 2):
        assert claim("race-atlas.augmented-loses").expected(facts(version, gil=gil, cpus=cpus)) == expected


def test_records_by_their_former_names_are_judged_alike() -> None:
    former = {"made": "tries", "hand_overs": "handovers"}
    for lost in ({}, {"n += 1, dict item": 3}):
        seen = atlas(lost)
        old = [(name, {former.get(key, key): value for key, value in values.items()}) for name, values in seen]
        for race_claim in load("race-atlas").claims:
            assert judged(race_claim.id, old) == judged(race_claim.id, seen)


def race_runs(*runs: tuple[int, int]) -> list[dict[str, Any]]:
    """Runs with so many (lost, hand-overs)."""
    return [{"made": 1000, "lost": lost, "hand_overs": hand_overs, "disturbed": None} for lost, hand_overs in runs]


@pytest.mark.parametrize(
    ("name", "runs", "expected"),
    [
        ("n += 1, global", race_runs((0, 30), (0, 19)), True),
        ("n += 1, global", race_runs((0, 30), (0, 20)), False),
        ("n += 1, global", race_runs((0, 1), (1, 1)), False),
        ("set.add", race_runs((0, 19)), True),
        ("set.add", race_runs((0, 20)), False),
        ("swap", race_runs((0, 10)), False),
        ("check, call, act", race_runs((0, 1000)), True),
        ("check, call, act", race_runs((0, 1000), (1, 1)), False),
    ],
)
def test_which_statements_are_run_further(name: str, runs: list[dict[str, Any]], expected: bool) -> None:
    assert race_atlas.lacks(name, runs) is expected


class Heard(Recorder):
    """A recorder that keeps what is said, with one CPU."""

    def __init__(self, seconds: float) -> None:
        super().__init__(-1, seconds, 0.2)
        self.cpus = self.cpus[:1]
        self.observed: list[tuple[str, Any]] = []
        self.rounds: list[Mapping[str, Any]] = []

    def observe(self, name: str, value: object, unit: str = "") -> None:
        self.observed.append((name, value))

    def sample(self, name: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        self.rounds.append(values)

    def tell(self, text: str, who: Mapping[str, Any] | None = None, since: Mapping[str, Any] | None = None) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One CPU without a GIL, and a clock on which only races take time; they lose nothing, in 2 hand-overs each."""
    now = [0.0]

    def take_turns(update: object, seconds: float, switch_seconds: float) -> tuple[int, int]:
        now[0] += seconds
        return 0, 2

    for module in (contention, race_atlas):
        monkeypatch.setattr(module, "gil_enabled", lambda: False)
    for module in (race, race_atlas):
        monkeypatch.setattr(module, "contend_for", take_turns)
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("experiment", [race, race_atlas], ids=["race", "race-atlas"])
@pytest.mark.parametrize("seconds", [0.5, 4.0, 10.0, 60.0])
def test_an_unasked_race_keeps_to_the_time_it_is_given(experiment: Any, seconds: float, clock: list[float]) -> None:
    deadline = jobs.job_of("", Cell(id="", limit=Limit(cpus=1), size=1), (), seconds, 0.1).experiment_deadline
    experiment.run(Heard(seconds))
    at_once = 14 * 0.15  # the last round, or run, begins in time
    assert clock[0] <= min(3 * seconds, deadline / 2, 15) + at_once
    assert clock[0] > 0.9 * min(3 * seconds, 10)


def test_an_unasked_statement_is_run_at_one_interval_only(clock: list[float]) -> None:
    heard = Heard(10.0)
    race_atlas.run(heard)
    assert [values["interval_seconds"] for _, values in heard.observed] == [0.005] * len(STATEMENTS)
    assert len(heard.rounds) > race_atlas.FEWEST_RUNS
    assert len(heard.rounds[0]) == len(STATEMENTS)
    assert set(heard.rounds[-1]) == {
        race_atlas.arm(name, 0.005) for name in (*race_atlas.AUGMENTED, *race_atlas.LOSING)
    }


def test_what_a_race_has_made_is_gone_after_it() -> None:
    made: list[Any] = []

    class Kept(list[int]):
        pass

    def make() -> dict[str, Any]:
        kept = Kept()
        made.append(weakref.ref(kept))
        return {"a": kept}

    gc.disable()
    try:
        race_atlas.race(STATEMENTS["list.append"]._replace(make=make), 0.005, 0.01)
        assert made[0]() is None
    finally:
        gc.enable()


def test_nothing_lost_is_bounded_by_the_hand_overs() -> None:
    total = race_atlas.total([{"made": 100, "lost": 0, "hand_overs": 10}] * 6)
    assert total == {"made": 600, "lost": 0, "hand_overs": 60, "share": 0.0, "low": 0.0, "high": 0.05}


@pytest.mark.parametrize("gil", [True, False])
def test_more_hand_overs_at_a_shorter_interval(gil: bool) -> None:
    def made(hand_overs: int) -> dict[str, Any]:
        return {"made": 100, "lost": 0, "hand_overs": hand_overs, "disturbed": None}

    rounds: list[Round] = [
        {
            race_atlas.arm(name, interval): made(4 if place == 0 else 20)
            for name in STATEMENTS
            for place, (interval, _) in enumerate(race_atlas.INTERVALS)
        }
    ] * 6
    verdict = judged("race-atlas.shorter-is-more", rounds=rounds, where=facts(gil=gil)).verdict
    assert verdict == (CONFIRMED if gil else UNTESTABLE) == claim("race-atlas.shorter-is-more").expected(facts(gil=gil))


def test_both_threads_get_their_turn_and_all_is_counted() -> None:
    seen: set[int] = set()

    def update(number: int) -> int:
        seen.add(number)
        return 1

    made, hand_overs = contend_for(update, 0.5, 0.0002)
    assert made >= hand_overs >= 2
    assert seen == {0, 1}
