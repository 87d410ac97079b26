"""What the scripts that print figures conclude from their numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import cpython_scaling, real_targets
from benchmarks.cpython_scaling import Turn
from benchmarks.passes import until_measured
from lab.cell.claims.estimates import Estimate


def scaling(**speed_ups: float | None) -> Any:
    """A result in which threads and processes have these speed-ups, each known to 1 %."""
    names = {"threads": "2 threads", "processes": "2 processes (fork)"}
    return SimpleNamespace(
        rows=[
            SimpleNamespace(workers=names[key], speed_up=value and Estimate(value, 0.99 * value, 1.01 * value, 9))
            for key, value in speed_ups.items()
        ]
    )


@pytest.mark.parametrize(
    ("printed", "counted", "result", "reason"),
    [
        (1.9, 1.9, scaling(threads=1.92, processes=1.93), ""),
        (1.6, 1.9, scaling(threads=1.92, processes=1.93), "the slowest sets the pace"),
        (0.6, 0.61, scaling(threads=0.6, processes=1.9), "threads contend: processes do 1.90"),
        (1.2, 1.3, scaling(threads=1.92, processes=1.93), "not explained"),
        (1.2, 1.3, scaling(threads=None, processes=1.93), "not decided: too few undisturbed rounds"),
    ],
)
def test_a_difference_from_cpythons_benchmark_is_explained(
    printed: float, counted: float, result: Any, reason: str
) -> None:
    row = cpython_scaling.Row("f", [Turn(printed, printed, counted)] * 15, result)
    assert cpython_scaling.why(row) == reason


@pytest.mark.parametrize(
    ("name", "where", "threads", "agreement"),
    [
        ("orjson.loads", "local:3.11", 1.0, "yes"),
        ("orjson.loads", "local:3.11", 1.9, "no"),
        ("orjson.loads", "local:3.11", 1.25, "?"),
        ("orjson.loads", "local:3.11", None, "?"),
        ("numpy.sort", "local:3.11", 1.9, "yes"),
        ("numpy.sort", "docker:3.13t", 1.0, "no"),
    ],
)
def test_a_statement_is_contradicted_only_by_a_whole_interval(
    name: str, where: str, threads: float | None, agreement: str
) -> None:
    (statement,) = [each for each in real_targets.STATEMENTS if each.name == name]
    assert real_targets.Row(statement, where, scaling(threads=threads)).agreement == agreement


def test_only_what_has_no_number_is_measured_again() -> None:
    values = {"a": iter([1]), "b": iter([0, 0, 2])}
    assert until_measured(values, lambda key: next(values[key]), lambda value: not value, minutes=1) == [1, 2]


def test_nothing_is_measured_again_when_the_minutes_are_over() -> None:
    values = {"a": iter([0])}
    assert until_measured(values, lambda key: next(values[key]), lambda value: not value, minutes=0) == [0]
