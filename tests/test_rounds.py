"""Rounds of blocks: what makes a block count, and what a model makes of one that does not."""

from __future__ import annotations

import pytest

from lab import cores
from lab.experiments._rounds import Arm, Tally, block_of
from tests import scripts

CLEAN = Arm("one process", "count")
TEAM = Arm("threads", "count", threads=2, clean=False)


@pytest.mark.parametrize(
    ("arm", "tally", "cause"),
    [
        pytest.param(CLEAN, Tally(100, 0.005, 0.005, 0.0), None, id="all well"),
        pytest.param(CLEAN, Tally(100, 0.005, 0.0045, 0.0005), "run delay", id="it waited for a CPU"),
        pytest.param(CLEAN, Tally(100, 0.005, 0.0045, 0.0), "lost time", id="it was taken off"),
        pytest.param(CLEAN, Tally(100, 0.005, 0.005, None), None, id="a kernel without run delay"),
        pytest.param(TEAM, Tally(100, 0.005, 0.0025, 0.0025), None, id="threads wait by their nature"),
        pytest.param(TEAM, Tally(0, 0.005, 0.0, 0.005), "run delay", id="a team that came too late for anything"),
    ],
)
def test_a_block_counts_unless_something_disturbed_it(arm: Arm, tally: Tally, cause: str | None) -> None:
    assert block_of(arm, [tally])["disturbed"] == cause


def test_a_round_in_which_a_team_did_nothing_does_not_end_the_report() -> None:
    said = scripts.gil(2)
    said[3][1]["values"]["threads"]["rate"] = 0.0
    found = cores.scaling([scripts.ran(2, {"gil": said})])
    assert found["threads"].serial.value == pytest.approx(1.0, abs=0.05)
