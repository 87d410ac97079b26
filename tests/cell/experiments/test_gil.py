"""The GIL experiment: when it stops measuring."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.cell.experiments.gil import FEWEST_ROUNDS, FEWEST_ROUNDS_ALONE, NARROWING_SHARE, settled
from tests.support.gil_rounds import changed, gil_rounds

LIMIT_SECONDS = 10.0


def stops(rounds: list[Any], cpus: int, elapsed: float = 1.0, width: float = 0.5) -> bool:
    """Whether the experiment stops after these rounds and so many seconds."""
    recorder: Any = SimpleNamespace(cpus=tuple(range(cpus)), seconds=LIMIT_SECONDS, width=width)
    return settled(rounds, recorder, elapsed)


@pytest.mark.parametrize(("cpus", "fewest"), [(1, FEWEST_ROUNDS_ALONE), (2, FEWEST_ROUNDS)])
def test_it_stops_when_all_is_known_and_not_before(cpus: int, fewest: int) -> None:
    rounds = gil_rounds()
    assert not stops(rounds[: fewest - 1], cpus)
    assert stops(rounds[:fewest], cpus)


def test_intervals_have_to_be_narrow_for_some_time() -> None:
    rounds = gil_rounds()
    assert not stops(rounds, 2, width=0.0001)
    assert stops(rounds, 2, width=0.0001, elapsed=NARROWING_SHARE * LIMIT_SECONDS)


@pytest.mark.parametrize("cpus", [1, 2])
def test_it_goes_on_to_its_limit_while_too_few_rounds_count(cpus: int) -> None:
    rounds = gil_rounds()
    disturbed = changed(rounds[:9], ["one process"], disturbed="run delay") + rounds[9:]
    assert not stops(disturbed, cpus, elapsed=0.9 * LIMIT_SECONDS)
    assert stops(disturbed, cpus, elapsed=LIMIT_SECONDS)
