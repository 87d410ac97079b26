"""Speed-up models: the parameters that made the points are found again, and too few points say less."""

from __future__ import annotations

import random
import time
from statistics import fmean, stdev

import pytest

from lab.cell.claims.estimates import median, quantile
from lab.judging import scaling
from lab.judging.scaling import ScalingPoint, fit


def points(*cpus: int, serial: float = 0.05, coherency: float = 0.0, noise: float = 0.01) -> tuple[ScalingPoint, ...]:
    """Twenty rounds on each of these numbers of CPUs, of work with this serial share and coherency."""
    wobble = random.Random(7)
    return tuple(
        ScalingPoint(
            cpus=size,
            speed_ups=tuple(
                size / (1 + serial * (size - 1) + coherency * size * (size - 1)) * wobble.gauss(1, noise)
                for _ in range(20)
            ),
        )
        for size in cpus
    )


@pytest.mark.parametrize("serial", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("cpus", [(2,), (2, 4), (2, 3, 4, 8)], ids=str)
def test_a_few_points_give_the_serial_share_and_say_that_contention_is_not_identifiable(
    cpus: tuple[int, ...], serial: float
) -> None:
    model = fit(points(*cpus, serial=serial))
    assert model.model == "Amdahl"
    assert not model.contention_identifiable
    assert model.points == len(cpus)
    assert model.serial.low - 0.005 <= serial <= model.serial.high + 0.005
    assert model.speed_up(cpus[-1]) == pytest.approx(cpus[-1] / (1 + serial * (cpus[-1] - 1)), rel=0.03)


def test_many_points_over_many_cpus_tell_contention_from_coherency() -> None:
    model = fit(points(2, 4, 6, 8, 12, 16, serial=0.03, coherency=0.002))
    assert model.model == "Universal Scalability Law"
    assert model.contention_identifiable
    assert model.coherency is not None
    assert model.serial.low <= 0.03 <= model.serial.high
    assert model.coherency.low <= 0.002 <= model.coherency.high
    assert model.speed_up(32) == pytest.approx(32 / (1 + 0.03 * 31 + 0.002 * 32 * 31), rel=0.05)


@pytest.mark.parametrize(
    ("given", "model"),
    [
        pytest.param(points(2, 3, 4, 5, 16), "Amdahl", id="five points"),
        pytest.param(points(2, 3, 4, 5, 6, 8, noise=0.1), "Amdahl", id="few CPUs, wide intervals"),
        pytest.param(points(2, 3, 4, 5, 6, 8, noise=0.001), "Universal Scalability Law", id="narrow intervals"),
        pytest.param(points(2, 3, 4, 5, 6, 16, noise=0.1), "Universal Scalability Law", id="sixteen CPUs"),
    ],
)
def test_the_richer_model_needs_six_points_and_either_sixteen_cpus_or_narrow_intervals(
    given: tuple[ScalingPoint, ...], model: str
) -> None:
    assert fit(given).model == model


def test_the_interval_covers_what_made_the_points() -> None:
    hits = 0
    for seed in range(40):
        wobble = random.Random(seed)
        speed_ups = tuple(2 / 1.1 * wobble.gauss(1, 0.03) for _ in range(30))
        model = fit((ScalingPoint(cpus=2, speed_ups=speed_ups),))
        hits += model.serial.low <= 0.1 <= model.serial.high
    assert hits >= 36


@pytest.mark.parametrize("count", [2, 3, 8, 9, 200, 201])
def test_the_middle_ones_of_rounds_are_drawn_as_often_as_resampling_would(count: int) -> None:
    wobble, generator = random.Random(3), random.Random(4)
    speed_ups = [wobble.expovariate(1.0) for _ in range(count)]
    draw = scaling.resampled(speed_ups, generator)
    drawn = [draw() for _ in range(4000)]
    usual = [median(generator.choices(speed_ups, k=count)) for _ in range(4000)]
    assert fmean(drawn) == pytest.approx(fmean(usual), abs=4 * stdev(usual) / 4000**0.5 * 2**0.5)
    assert stdev(drawn) == pytest.approx(stdev(usual), rel=0.06)
    for share in (0.025, 0.5, 0.975):
        value = quantile(usual, share)
        below, expected = (sum(number <= value for number in those) / 4000 for those in (drawn, usual))
        assert below == pytest.approx(expected, abs=0.04)


def test_a_hundred_thousand_rounds_take_no_second() -> None:
    wobble = random.Random(7)
    point = ScalingPoint(cpus=2, speed_ups=tuple(wobble.gauss(1.9, 0.05) for _ in range(100_000)))
    began = time.process_time()
    assert fit((point,)).serial.value == pytest.approx(2 / 1.9 - 1, rel=0.05)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((), id="no points"),
        pytest.param((ScalingPoint(cpus=1, speed_ups=(1.0,)),), id="one CPU"),
        pytest.param((ScalingPoint(cpus=2, speed_ups=()),), id="no rounds"),
        pytest.param((ScalingPoint(cpus=2, speed_ups=(1.9, 0.0)),), id="no speed"),
    ],
)
def test_what_cannot_be_fitted_is_refused(given: tuple[ScalingPoint, ...]) -> None:
    with pytest.raises(ValueError, match=r"no points|at least two CPUs"):
        fit(given)
