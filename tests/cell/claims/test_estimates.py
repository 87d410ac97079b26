"""Medians, quantiles and intervals."""

from __future__ import annotations

import math
import random
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cell.claims import estimates
from lab.cell.claims.estimates import Estimate, estimate, median, median_interval, over_rounds, quantile, ratio

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(VALUES)
def test_the_median_is_the_standard_librarys(values: list[float]) -> None:
    assert median(values) == pytest.approx(statistics.median(values))


@given(VALUES, st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values: list[float], share: float) -> None:
    assert min(values) <= quantile(values, share) <= max(values) or quantile(values, share) == pytest.approx(
        min(values)
    )


@pytest.mark.parametrize(("share", "value"), [(0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.9, 4.6), (1, 5.0)])
def test_quantiles_are_interpolated(share: float, value: float) -> None:
    assert quantile([5, 1, 4, 2, 3], share) == pytest.approx(value)


@pytest.mark.parametrize(
    "act", [median, lambda values: quantile(values, 0.5), estimate], ids=["median", "quantile", "estimate"]
)
def test_without_values_there_is_nothing_to_say(act: object) -> None:
    assert callable(act)
    with pytest.raises(ValueError, match="no values"):
        act([])


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=30))
def test_the_interval_holds_the_median(values: list[float]) -> None:
    interval = estimate(values)
    assert interval.value == median(values)
    assert interval.low <= interval.value <= interval.high
    assert interval.size == len(values)


def test_the_same_values_give_the_same_interval() -> None:
    values = [random.Random(5).gauss(1, 0.1) for _ in range(20)]
    assert estimate(values) == estimate(values)


def test_a_single_value_decides_nothing() -> None:
    interval = estimate([1.0])
    assert not interval.inside(0, 2)
    assert not interval.outside(2, 3)
    assert interval.inside(None, None)


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        pytest.param(0.5, 1.5, True, False, id="wholly inside"),
        pytest.param(1.0, 1.05, False, False, id="reaches over"),
        pytest.param(1.2, None, False, True, id="below"),
        pytest.param(None, 0.8, False, True, id="above"),
        pytest.param(0.9, 1.1, True, False, id="the bounds belong to it"),
        pytest.param(None, None, True, False, id="no bounds"),
    ],
)
def test_an_interval_against_bounds(low: float | None, high: float | None, inside: bool, outside: bool) -> None:
    interval = Estimate(1.0, 0.9, 1.1, 10)
    assert interval.inside(low, high) is inside
    assert interval.outside(low, high) is outside


@pytest.mark.parametrize("count", [5, 6, 8, 10, 20, 30])
def test_the_interval_covers_the_truth_as_often_as_it_says(count: int) -> None:
    generator = random.Random(count)
    trials = 400
    covered = 0
    for _ in range(trials):
        interval = estimate([generator.gauss(2.0, 0.1) for _ in range(count)])
        covered += interval.low <= 2.0 <= interval.high
    assert covered / trials >= 0.93


def test_a_statistic_of_all_rounds_together_varies_by_whole_rounds() -> None:
    rounds = [[1.0] * 5] * 10 + [[9.0] * 5] * 2
    interval = over_rounds(rounds, lambda drawn: max(max(values) for values in drawn))
    assert (interval.value, interval.low, interval.high, interval.size) == (9, 1, 9, 12)
    assert over_rounds([[3.0]], lambda drawn: drawn[0][0]) == Estimate(3, float("-inf"), float("inf"), 1)
    with pytest.raises(ValueError, match="no rounds"):
        over_rounds([], lambda drawn: 0.0)


def test_of_rounds_with_one_value_each_it_is_the_bootstrap_of_their_median() -> None:
    generator = random.Random(5)
    values = [generator.gauss(2.0, 0.1) for _ in range(40)]
    # The sign test's interval, which is that of a median only, may be a little wider.
    assert over_rounds(values, median, resamples=1000) == pytest.approx(estimate(values), rel=0.002)


@pytest.mark.parametrize(
    ("count", "ends"),
    [
        pytest.param(1, (1, 1), id="one"),
        pytest.param(5, (1, 5), id="too few for 95 %"),
        pytest.param(8, (1, 8), id="Conover's table: 8"),
        pytest.param(10, (2, 9), id="Conover's table: 10"),
        pytest.param(20, (6, 15), id="Conover's table: 20"),
        pytest.param(5000, (2431, 2570), id="many"),
    ],
)
def test_the_sign_tests_interval_is_that_of_the_tables(count: int, ends: tuple[int, int]) -> None:
    assert median_interval(list(range(1, count + 1))) == ends


@pytest.mark.parametrize("count", [63, 64, 65, 300, 1001])
@pytest.mark.parametrize("confidence", [0.9, 0.99, 0.999999])
def test_the_sign_tests_interval_is_the_narrowest_that_holds_the_median_often_enough(
    count: int, confidence: float
) -> None:
    low, _ = median_interval(list(range(count)), confidence)

    def outside(place: float) -> float:
        """How often the median lies beyond this pair of places, to the last of 2 ** count cases."""
        return float(2 * sum(math.comb(count, heads) for heads in range(int(place) + 1)) / 2**count)

    assert 1 - outside(low) >= confidence > 1 - outside(low + 1)


def normal(seed: int, centre: float = 1.0, count: int = 30) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(centre, 0.02) for _ in range(count)]


def test_like_runs_seldom_differ_and_a_twentieth_is_seen() -> None:
    alarms = sum(ratio(normal(seed), normal(seed + 1000), resamples=300).outside(1, 1) for seed in range(200))
    caught = sum(ratio(normal(seed, 0.95), normal(seed + 1000), resamples=300).outside(1, 1) for seed in range(50))
    assert alarms <= 6
    assert caught == 50


def test_a_ratio_of_runs_is_that_of_their_medians() -> None:
    interval = ratio([2.0] * 8, [4.0] * 9)
    assert interval == Estimate(0.5, 0.5, 0.5, 8)
    assert not ratio([1.0], [2.0, 2.1]).outside(1, 1)
    with pytest.raises(ValueError, match="no values"):
        ratio([], [1.0])


@pytest.mark.parametrize("count", [2, 3, 7, 8, 20, 21, 40])
@pytest.mark.parametrize("digits", [9, 1], ids=["all different", "many equal"])
def test_the_medians_of_all_samples_are_counted_as_drawing_very_many_finds_them(count: int, digits: int) -> None:
    noise = random.Random(count)
    values = tuple(round(noise.gauss(2, 0.3), digits) for _ in range(count))
    drawn = estimates._medians(values, 20_000, 1)
    for tail in (0.025, 0.1, 0.25) if count % 2 else (0.025,):  # of an even number it is nearly right far out only
        low, high = estimates._resampled(values, sorted(values), tail)
        # As many below it as there should be, at least, and no more than that beyond it: but for the luck of the draw.
        assert sum(middle <= low for middle in drawn) / len(drawn) >= tail - 0.02
        assert sum(middle < low for middle in drawn) / len(drawn) <= tail + 0.02
        assert sum(middle <= high for middle in drawn) / len(drawn) >= 1 - tail - 0.02
        assert sum(middle < high for middle in drawn) / len(drawn) <= 1 - tail + 0.02


@pytest.mark.parametrize("memory", [0.0, 0.6], ids=["independent", "neighbours alike"])
def test_many_values_get_the_interval_that_resampling_would_give(memory: float) -> None:
    noise = random.Random(7)
    values: list[float] = []
    level = 0.0
    for _ in range(2 * estimates.MANY):
        level = memory * level + noise.gauss(0, 1)
        values.append(100 + level)
    computed = estimates.estimate(values)
    drawn = estimates._medians(tuple(values), 2000, 1)
    tail = estimates.expanded_tail(len(values) / estimates.block_length(len(values)))
    width = estimates.quantile(drawn, 1 - tail) - estimates.quantile(drawn, tail)
    assert computed.value == estimates.median(values)
    assert computed.high - computed.low == pytest.approx(width, rel=0.2)


def test_many_equal_values_have_an_interval_of_no_width() -> None:
    assert estimates.estimate([3.0] * (estimates.MANY + 1))[:3] == (3.0, 3.0, 3.0)


def test_ten_thousand_values_take_no_second() -> None:
    noise = random.Random(1)
    values = [noise.gauss(1, 0.1) for _ in range(10_000)]
    began = time.process_time()
    estimates.estimate(values)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("freedom", "table"), [(2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (10, 2.228), (20, 2.086)]
)
def test_students_quantile_is_that_of_the_tables(freedom: float, table: float) -> None:
    assert estimates.student(0.95, freedom) == pytest.approx(table, rel=0.01)
