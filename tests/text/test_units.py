"""Numbers as text."""

from __future__ import annotations

import pytest

from lab.text import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.000012, "12 µs"),
        (0.00512, "5.12 ms"),
        (0.9994, "999 ms"),
        (0.0009996, "1 ms"),
        (0.9996, "1.0 s"),
        (3.21, "3.2 s"),
        (61.0, "1 min 1 s"),
        (125.0, "2 min 5 s"),
        (0.0, "0 µs"),
    ],
)
def test_a_duration_is_shown_in_the_unit_that_reads_best(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 CPU"), (2, "2 CPUs"), (1.5, "1.5 CPUs"), (0.5, "0.5 CPUs"), (128, "128 CPUs")]
)
def test_one_cpu_is_singular_and_a_fraction_stays_one(count: float, text: str) -> None:
    assert units.cpus(count) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.8765, "", "1.88"),
        (2.0, "", "2.00"),
        (3.0, "workers", "3 workers"),
        (0.123, "share", "12.3 %"),
        (0.005, "s", "5 ms"),
    ],
)
def test_a_quantity_carries_its_unit(value: float, unit: str, text: str) -> None:
    assert units.quantity(value, unit) == text


def test_an_interval_names_both_ends() -> None:
    assert units.interval(1.807, 1.934, "") == "1.81 to 1.93"
    assert units.ratio(1.5) == "1.50"
