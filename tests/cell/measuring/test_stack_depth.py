"""Blocks are at different depths of the stack."""

from __future__ import annotations

import random
import traceback

import pytest

from lab.cell.measuring.stack_depth import DEPTHS, at_depth, at_random_depth


def frames() -> int:
    return len(traceback.extract_stack())


def test_each_level_is_deeper_than_the_one_before() -> None:
    depths = [at_depth(depth, frames) for depth in range(DEPTHS)]
    assert depths == list(range(depths[0], depths[0] + DEPTHS))


def test_blocks_are_at_all_depths() -> None:
    """In a hundred blocks: that one of eight depths is missed has a chance of one in 80,000."""
    assert len({at_random_depth(frames) for _ in range(100)}) == DEPTHS


def test_the_numbers_that_a_program_draws_stay_the_same() -> None:
    random.seed(1)
    state = random.getstate()
    at_random_depth(frames)
    assert random.getstate() == state


@pytest.mark.parametrize("error", [ValueError, StopIteration, KeyboardInterrupt, SystemExit])
def test_what_is_raised_arrives(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("from the block")

    for depth in (0, 3):
        with pytest.raises(error, match="from the block"):
            at_depth(depth, fail)
