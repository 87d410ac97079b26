"""Comparing sessions: which numbers changed, how sure that is, and what makes two sessions unlike."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from lab.cell.claims.estimates import Estimate
from lab.judging import comparison, differences
from lab.judging.comparison import NumberChange
from lab.model.session import Session
from tests.support import scripts

Round = dict[str, dict[str, Any]]


def messages(trip: float, seed: int, *, speed: float = 1.0, spread: float = 0.01, rounds: int = 20) -> Session:
    """A session whose round trips take ``trip`` times the usual, on a machine of that speed."""
    noise = random.Random(seed)
    messages_sent: list[scripts.Said] = []
    for _ in range(rounds):
        now: Round = {
            name: {
                "seconds": 1e-4 * size * trip / speed * noise.gauss(1, spread),
                "each": 1e-5 * size * trip / speed * noise.gauss(1, spread),
                "disturbed": None,
            }
            for name, size in (
                ("bare pipe", 0.5),
                ("Pipe", 1),
                ("SimpleQueue", 1.2),
                ("Queue", 3),
                ("Manager queue", 9),
            )
        }
        for name, count in (("one process", 1), ("probe", 2)):
            rate = 10000 * count * speed * noise.gauss(1, spread)
            now[name] = {"rate": rate, "cores": float(count), "delay": 0.0, "lost": 0.0, "disturbed": None}
        messages_sent.append(("sample", {"name": "round", "values": now}))
    return scripts.session(scripts.ran(2, {"messages": messages_sent}), experiments=("messages",))


def changes(base: Session, new: Session, **how: float) -> dict[str, NumberChange]:
    return {pair.name: pair.change for pair in comparison.compare(base, new, **how).pairs}


def test_a_tenth_slower_is_a_regression_and_a_tenth_quicker_an_improvement() -> None:
    base, slower = messages(1, 1), messages(1.1, 2)
    assert changes(base, slower)["messages: round trip, Queue"] is NumberChange.REGRESSION
    assert changes(slower, base)["messages: round trip, Queue"] is NumberChange.IMPROVEMENT
    assert changes(base, slower)["messages: messages a second, Queue"] is NumberChange.REGRESSION
    assert comparison.compare(base, slower).regressed
    assert not comparison.compare(slower, base).regressed


def test_like_sessions_are_alike() -> None:
    by_name = changes(messages(1, 1), messages(1, 2))
    assert set(by_name.values()) == {NumberChange.ALIKE}
    assert len(by_name) == 12


def test_a_change_within_the_tolerance_is_none() -> None:
    by_name = changes(messages(1, 1), messages(1.1, 2), tolerance=0.2)
    assert by_name["messages: round trip, Queue"] is NumberChange.ALIKE


def test_what_is_noisy_is_undecided() -> None:
    by_name = changes(messages(1, 1, spread=0.2, rounds=6), messages(1.1, 2, spread=0.2, rounds=6))
    assert by_name["messages: round trip, Queue"] is NumberChange.UNDECIDED


def test_a_machine_that_was_slower_just_then_is_no_regression() -> None:
    by_name = changes(messages(1, 1), messages(1, 2, speed=0.6))
    assert NumberChange.REGRESSION not in by_name.values()


def test_slower_on_a_machine_that_was_quicker_just_then_is_not_hidden_as_alike_nor_called_sure() -> None:
    compared = comparison.compare(messages(1, 1), messages(1.3, 2, speed=1.3))
    trip = next(pair for pair in compared.pairs if pair.name == "messages: round trip, Queue")
    assert trip.at_speed
    assert trip.at_speed.value == pytest.approx(1.3, rel=0.02)
    assert trip.change is not NumberChange.REGRESSION


def got(session: Session, cpus: float) -> Session:
    """The same, had its cell got so many CPUs."""
    (result,) = session.results
    *others, end = result.records
    end = end._replace(data={**end.data, "delivered": {"cpus": cpus}})
    return dataclasses.replace(session, results=(dataclasses.replace(result, records=(*others, end)),))


@pytest.mark.parametrize(("cpus", "change"), [(1.9, NumberChange.REGRESSION), (1.7, NumberChange.UNDECIDED)])
def test_where_the_machine_was_short_nothing_is_decided(cpus: float, change: NumberChange) -> None:
    compared = comparison.compare(got(messages(1, 1), 1.95), got(messages(1.1, 2), cpus))
    assert {pair.change for pair in compared.pairs if "round trip" in pair.name} == {change}
    assert len(compared.short) == (change is NumberChange.UNDECIDED)


def test_a_number_of_which_nobody_knows_the_better_way_is_only_changed() -> None:
    base, new = messages(1, 1), messages(1, 2)
    wider = [dataclasses.replace(pair, value=9.0, low=8.9, high=9.1) for pair in new.judgements]
    compared = comparison.compare(base, dataclasses.replace(new, judgements=tuple(wider)))
    assert {pair.change for pair in compared.pairs if pair.name.startswith("messages.")} == {NumberChange.CHANGED}
    assert not compared.regressed


def test_the_experiment_says_which_way_a_number_gets_better() -> None:
    session = messages(1, 1)
    better = {quantity.what: quantity.better for quantity in session.quantities}
    assert better["round trip, Queue"] == "lower"
    assert better["messages a second, Queue"] == "higher"
    gil = scripts.every_kind()["expected"].judgements
    assert {judgement.better for judgement in gil if judgement.claim == "gil.no-speedup" and judgement.value} == {
        "higher"
    }


def test_less_speed_up_is_worse() -> None:
    slower, quicker = (
        comparison.Number(
            name="speed-up", unit="", estimate=Estimate(value, value * 0.99, value * 1.01, 30), better="higher"
        )
        for value in (1.5, 1.9)
    )
    assert comparison.pair("2", quicker, slower, 0.05, 0.95).change is NumberChange.REGRESSION
    assert comparison.pair("2", slower, quicker, 0.05, 0.95).change is NumberChange.IMPROVEMENT


def test_more_numbers_make_each_interval_wider() -> None:
    estimate = Estimate(1.0, 0.98, 1.02, 20)
    widths = [
        ratio.high - ratio.low
        for ratio in (comparison.ratio([estimate], [estimate], each) for each in (0.95, 0.99, 0.9999))
    ]
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(0.04 * 2**0.5, rel=0.05)


def numbers(widths: list[float], worse: float = 1.0) -> list[comparison.Number]:
    """Numbers of 30 rounds each, with 95 % intervals of these half-widths."""
    return [
        comparison.Number(
            name="", unit="", better="lower", estimate=Estimate(worse, worse * (1 - half), worse * (1 + half), 30)
        )
        for half in widths
    ]


def judged(widths: list[float], worse: float) -> list[NumberChange]:
    def at(confidence: float, both: tuple[comparison.Number, comparison.Number]) -> comparison.Pair:
        return comparison.pair("2", *both, comparison.TOLERANCE, confidence)

    pairs = list(zip(numbers(widths), numbers(widths, worse), strict=True))
    return [pair.change for pair in comparison.stepped_down(pairs, at)]


def test_what_has_changed_leaves_the_chance_of_a_false_alarm_to_the_others() -> None:
    doubtful, sure = 0.022, 0.001
    assert judged([doubtful] + [0.2] * 29, 1.1) == [NumberChange.UNDECIDED] * 30, "among thirty that are not decided"
    assert judged([doubtful] + [sure] * 29, 1.1) == [NumberChange.REGRESSION] * 30, "the last one, behind 29 that are"
    assert judged([doubtful] + [sure] * 29, 1.0)[1:] == [NumberChange.ALIKE] * 29, "what is alike makes no room"


def test_a_number_of_a_cell_that_was_short_costs_the_others_nothing() -> None:
    base, new = messages(1, 1), messages(1.1, 2)
    compared = comparison.compare(got(base, 1.0), got(new, 1.95))
    assert compared.confidence == 1 - comparison.FALSE_ALARMS, "nothing is tested"
    assert comparison.compare(base, new).confidence == 1 - comparison.FALSE_ALARMS / 12


def test_a_verdict_that_becomes_a_surprise_is_a_regression() -> None:
    good = scripts.session(scripts.ran(2, {"pipe": scripts.pipe()}))
    bad = scripts.session(scripts.ran(2, {"pipe": [scripts.observe("answered", False)]}))
    assert comparison.compare(good, bad).regressed
    assert not comparison.compare(bad, good).regressed
    (turn,) = comparison.compare(good, bad).verdict_changes
    assert (turn.claim, turn.base.verdict, turn.new.verdict) == ("pipe.duplex", "confirmed", "refuted")


def test_cells_of_other_names_are_paired_by_their_limit() -> None:
    base = messages(1, 1)
    (result,) = base.results
    renamed_result = dataclasses.replace(result, cell=dataclasses.replace(result.cell, id="3.14-cpu2"))
    renamed = dataclasses.replace(base, results=(renamed_result,))
    assert len(comparison.in_common(base, renamed)) == 1


PYTHON, NEWER = scripts.python(), scripts.python((3, 14, 0))


@pytest.mark.parametrize(
    ("base", "new", "cells"),
    [
        pytest.param({"3.13": PYTHON}, {"3.13": PYTHON}, [("3.13-cpu2", "3.13-cpu2")], id="the same build"),
        pytest.param(
            {"3.13": PYTHON, "3.14": NEWER},
            {"3.14": NEWER, "3.13": PYTHON},
            [("3.13-cpu2", "3.13-cpu2"), ("3.14-cpu2", "3.14-cpu2")],
            id="the same builds",
        ),
        pytest.param(
            {"3.13": PYTHON, "3.14": NEWER}, {"3.14": NEWER}, [("3.14-cpu2", "3.14-cpu2")], id="one of several"
        ),
        pytest.param({"3.13": PYTHON}, {"3.14": NEWER}, [("3.13-cpu2", "3.14-cpu2")], id="one each, unlike"),
        pytest.param({"3.13": PYTHON}, {"3.14": NEWER, "3.15": NEWER}, [], id="none in common"),
    ],
)
def test_cells_are_paired_by_build_and_limit(
    base: dict[str, Any], new: dict[str, Any], cells: list[tuple[str, str]]
) -> None:
    couples = comparison.in_common(scripts.on_builds(base, (2,)), scripts.on_builds(new, (2,)))
    assert [(base_result.cell.id, new_result.cell.id) for base_result, new_result in couples] == cells


def test_a_cell_of_a_named_build_is_paired_with_one_of_the_same_build_that_nobody_named() -> None:
    named = scripts.on_builds({"3.13": PYTHON, "3.14": NEWER}, (2,))
    plain = scripts.session(scripts.ran(2, {"pipe": scripts.pipe()}))
    for couples in (comparison.in_common(named, plain), comparison.in_common(plain, named)):
        assert [{base_result.cell.id, new_result.cell.id} for base_result, new_result in couples] == [
            {"3.13-cpu2", "cpu2"}
        ]


@pytest.mark.parametrize(
    ("base", "new", "what"),
    [
        pytest.param({"3.13": PYTHON}, {"3.13": PYTHON}, [], id="the same build"),
        pytest.param({"3.13": PYTHON}, {"3.14": NEWER}, ["Python", "image"], id="one each"),
        pytest.param({"3.13": PYTHON, "3.14": NEWER}, {"3.14": NEWER, "3.15": NEWER}, [], id="only what both have"),
        pytest.param(
            {"3.13": PYTHON, "3.14": NEWER}, {"3.13": PYTHON, "3.14": PYTHON}, ["Python of 3.14"], id="another release"
        ),
        pytest.param({"3.13": PYTHON, "3.14": NEWER}, {"3.15": NEWER, "3.15t": NEWER}, ["builds"], id="no build"),
    ],
)
def test_unlike_builds_are_named(base: dict[str, Any], new: dict[str, Any], what: list[str]) -> None:
    differing = differences.session_differences(scripts.on_builds(base, (2,)), scripts.on_builds(new, (2,)))
    assert [difference.what for difference in differing] == what


def test_an_image_that_was_made_anew_is_told_of_each_build_by_its_digest() -> None:
    both = {"3.13": PYTHON, "3.14": NEWER}
    differing = differences.session_differences(
        scripts.on_builds(both, (2,)), scripts.on_builds(both, (2,), images={"3.14": "sha256:other"})
    )
    assert [str(difference) for difference in differing] == ["image of 3.14: sha256:of-3.14, not sha256:other"]


def test_numbers_and_verdicts_say_their_build() -> None:
    both = {"3.13": PYTHON, "3.14": NEWER}
    good = scripts.on_builds(both, (2,))
    bad = scripts.on_builds(both, (2,), {"pipe": [scripts.observe("answered", False)]})
    compared = comparison.compare(good, bad)
    assert [(verdict.build, verdict.cell) for verdict in compared.verdict_changes] == [("3.13", "2"), ("3.14", "2")]
    assert compared.builds == ("3.13", "3.14")


def change(session: Session, **changes: Any) -> Session:
    return dataclasses.replace(session, machine=dataclasses.replace(session.machine, **changes))


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        pytest.param(lambda session: session, [], id="nothing"),
        pytest.param(lambda session: change(session, cpus=(0,)), ["CPUs"], id="fewer CPUs"),
        pytest.param(lambda session: change(session, engine="local"), ["engine"], id="another engine"),
        pytest.param(
            lambda session: change(session, python=scripts.python((3, 14, 0))), ["Python"], id="another Python"
        ),
        pytest.param(
            lambda session: dataclasses.replace(session, code_sha256="1" * 64), ["code of the cells"], id="other code"
        ),
        pytest.param(lambda session: change(session, details={}), ["engine"], id="an engine that says no version"),
    ],
)
def test_what_makes_sessions_unlike_is_named(edit: Callable[[Session], Session], what: list[str]) -> None:
    base = scripts.every_kind()["expected"]
    assert [difference.what for difference in differences.session_differences(base, edit(base))] == what


def test_what_an_older_session_does_not_know_is_no_difference() -> None:
    base = scripts.every_kind()["expected"]
    newer = change(base, details={**base.machine.details, "host": {"microcode": ["0x1"]}})
    assert differences.session_differences(base, newer) == ()


def test_of_few_values_the_corrected_interval_is_as_wide_as_students_tables_say() -> None:
    """t(4) is 2.776 at 95 %, and 9.568 at what is left of 2 % for each of 30 numbers; of the other there are many."""
    few, many = Estimate(1.0, 1 / 1.1, 1.1, 5), Estimate(1.0, 1.0, 1.0, 100)
    ratio = comparison.ratio([few], [many], 1 - 0.02 / 30)
    assert math.log(ratio.high) / math.log(1.1) == pytest.approx(9.568 / 2.776, rel=0.001)
