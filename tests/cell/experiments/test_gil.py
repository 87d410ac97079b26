"""The GIL experiment: when it stops measuring."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.cell.experiments.gil import CROWD, FEWEST_BLOCKS, NARROWING_SHARE, SHORT_LIMIT, is_known, settled
from tests.support.gil_rounds import changed, gil_rounds

LIMIT_SECONDS = 10.0


def stops(rounds: list[Any], cpus: int, elapsed: float = 1.0, width: float = 0.5, limit: float = LIMIT_SECONDS) -> bool:
    """Whether the experiment stops after these rounds and so many seconds, under a limit of so many seconds."""
    recorder: Any = SimpleNamespace(cpus=tuple(range(cpus)), seconds=limit, width=width)
    return settled(rounds, recorder, elapsed)


@pytest.mark.parametrize(("cpus", "fewest"), [(1, FEWEST_BLOCKS), (2, FEWEST_BLOCKS * CROWD.every)])
def test_it_stops_when_all_is_known_and_not_before(cpus: int, fewest: int) -> None:
    rounds = gil_rounds()
    assert not stops(rounds[: fewest - 1], cpus)
    assert stops(rounds[:fewest], cpus)


def test_under_a_short_limit_the_crowd_has_a_block_in_every_round() -> None:
    rounds = [blocks for blocks in gil_rounds() if CROWD.name in blocks]
    assert not stops(rounds[: FEWEST_BLOCKS - 1], 2, limit=SHORT_LIMIT - 1)
    assert stops(rounds[:FEWEST_BLOCKS], 2, limit=SHORT_LIMIT - 1)
    assert not stops(rounds[:FEWEST_BLOCKS], 2, limit=SHORT_LIMIT)


def test_the_crowd_has_blocks_until_its_cores_are_known() -> None:
    rounds = gil_rounds()
    assert not is_known(CROWD, rounds[: FEWEST_BLOCKS - 1], width=0.5)
    assert is_known(CROWD, rounds[:FEWEST_BLOCKS], width=0.5)
    with_one_and_two = changed(rounds[:1], [CROWD.name], cores=2.0) + rounds[1:FEWEST_BLOCKS]
    assert not is_known(CROWD, with_one_and_two, width=0.5)
    assert not is_known(CROWD, changed(rounds[:1], [CROWD.name], cores=1.2) + rounds[1:FEWEST_BLOCKS], width=0.05)


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
