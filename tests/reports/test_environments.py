"""The table of two environments that took turns: which difference is one, and which is chance."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lab.cell.targets.case import Case
from lab.cell.targets.figures import figures
from lab.judging.verdicts import evidence_of
from lab.model.session import Quantity
from lab.reports.tables.environments import in_words
from tests.support.scripts import cell_of_own_code, observe

CASE = Case(label="work.py:f", source="file", where="work.py", name="f")


def times(true: float, spread: float) -> Quantity:
    """The ratio that is found where the other environment is really so many times as fast."""
    order = random.Random(1)

    def block(rate: float) -> dict[str, Any]:
        return {"rate": rate * order.uniform(1 - spread, 1 + spread), "cores": 1.0, "disturbed": None}

    rounds = [{"1 worker": block(1000), "other: 1 worker": block(1000 * true)} for _ in range(30)]
    pairs = observe("pairs", [["1 worker", "1 worker", "other: 1 worker"]])
    result = cell_of_own_code(CASE, [], rounds, {}, pairs)
    (figure,) = [each for each in figures(evidence_of(CASE.experiment, result)) if each.what == "other / this"]
    assert figure.found
    return Quantity(
        experiment=CASE.experiment,
        title="",
        cell="cpu2",
        what=figure.what,
        value=figure.found.value,
        low=figure.found.low,
        high=figure.found.high,
        unit="",
        accepted=30,
        rejected=0,
    )


@pytest.mark.parametrize(
    ("true", "spread", "words"),
    [
        (1.0, 0.02, "alike"),
        (1.05, 0.02, "5 % faster"),
        (0.95, 0.02, "5 % slower"),
        (1.01, 0.01, "alike"),  # less than where code and data happen to lie
        (1.05, 0.5, "not decided"),
    ],
)
def test_a_difference_is_one_where_the_whole_interval_is_beyond_two_percent(
    true: float, spread: float, words: str
) -> None:
    assert in_words(times(true, spread)) == words
