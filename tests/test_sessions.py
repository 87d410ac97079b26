"""Sessions: put together, judged, and turned into an exit code."""

from __future__ import annotations

from typing import Any

import pytest

from lab import sessions
from lab.model import CellResult, Status
from tests import scripts

TWO, LACKING = scripts.cell(2), scripts.cell(4)


def ran(said: Any, experiment: str = "pipe", **script: Any) -> CellResult:
    return scripts.ran(2, {experiment: said}, **script)


NO = [scripts.observe("answered", False)]
PARTLY = [scripts.observe("answered", True), scripts.observe("answered", False)]
UNAVAILABLE = CellResult(cell=LACKING, status=Status.UNAVAILABLE, reason=LACKING.reason)


@pytest.mark.parametrize(
    ("result", "lenient", "strict"),
    [
        pytest.param(ran(scripts.pipe()), 0, 0, id="as expected"),
        pytest.param(UNAVAILABLE, 0, 0, id="a cell this machine lacks"),
        pytest.param(ran(NO), 1, 1, id="a surprise"),
        pytest.param(ran(PARTLY), 0, 1, id="inconclusive"),
        pytest.param(ran(scripts.pipe(), failed={"pipe": "exited with status 1"}), 3, 3, id="an experiment failed"),
        pytest.param(ran(scripts.pipe(), end=scripts.proof((0,))), 3, 3, id="tainted"),
        pytest.param(CellResult(cell=TWO, status=Status.ERROR, reason="no container"), 3, 3, id="not run"),
    ],
)
def test_the_exit_code_says_how_it_went(result: CellResult, lenient: int, strict: int) -> None:
    assert sessions.exit_code(scripts.session(result), strict=False) == lenient
    assert sessions.exit_code(scripts.session(result), strict=True) == strict


def test_a_cell_that_failed_weighs_more_than_a_surprise() -> None:
    broken = CellResult(cell=TWO, status=Status.ERROR, reason="no container")
    assert sessions.exit_code(scripts.session(ran(NO), broken), strict=False) == 3


def test_an_interruption_weighs_most() -> None:
    broken = CellResult(cell=TWO, status=Status.ERROR, reason="no container")
    assert sessions.exit_code(scripts.session(broken, interrupted=True), strict=False) == 130


def test_a_session_judges_every_claim_of_its_experiments_in_every_cell() -> None:
    found = scripts.session(ran(scripts.pool(2), "pool"), UNAVAILABLE, experiments=("pool", "pipe"))
    assert len(found.judgements) == 2 * (6 + 1)
    assert [one.claim for one in found.judgements][::2][-1] == "pipe.duplex"


def test_surprises_are_found_in_the_judgements() -> None:
    found = scripts.session(ran(NO))
    assert [one.claim for one in found.surprises] == ["pipe.duplex"]
