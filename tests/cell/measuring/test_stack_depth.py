"""Blocks are at several depths of the stack, and those of a round at the same one."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Sequence

import pytest

from lab.cell.measuring.crew_worker import Block
from lab.cell.measuring.rounds import ALONE, Arm, Crew, probe, shuffler
from lab.cell.measuring.stack_depth import DEPTHS, at_depth


def frames() -> int:
    return len(traceback.extract_stack())


def test_each_level_is_deeper_than_the_one_before() -> None:
    depths = [at_depth(depth, frames) for depth in range(DEPTHS)]
    assert depths == list(range(depths[0], depths[0] + DEPTHS))


@pytest.mark.parametrize("error", [ValueError, StopIteration, KeyboardInterrupt, SystemExit])
def test_what_is_raised_arrives(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("from the block")

    for depth in (0, 3):
        with pytest.raises(error, match="from the block"):
            at_depth(depth, fail)


def test_each_round_has_a_depth_of_its_own_until_all_were_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is slow at one depth, as long as it lives, is not slow in most rounds."""
    asked: list[Block] = []

    def ask(self: Crew, pipe: object, blocks: Sequence[Block]) -> None:
        asked.extend(blocks)
        send(self, pipe, blocks)

    send = Crew.ask
    monkeypatch.setattr(Crew, "ask", ask)
    arms = (ALONE, probe(2), Arm("both", "count", threads=2, clean=False))
    with Crew((0, 1)) as crew:
        for first in (0, 5):
            crew.rounds(arms, first, 5, shuffler())
    depths = [block.depth for block in sorted(asked, key=lambda block: block.start)]
    assert [depth for depth, _ in itertools.groupby(depths)] == [number % DEPTHS for number in range(10)]
