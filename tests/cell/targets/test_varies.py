"""Whether calls differ: what decides it where the times of calls and their CPU times are known."""

from __future__ import annotations

import pytest

from lab.cell.claims.claim import Facts
from lab.cell.targets.causes.varies import judge
from lab.cell.targets.trial import UNKNOWN_SPREAD
from lab.judging.verdicts import evidence_of
from lab.model.session import Verdict
from tests.support.own_code import BUSY
from tests.support.scripts import cell_of_own_code


@pytest.mark.parametrize(
    ("slow", "spread", "idle", "verdict"),
    [
        pytest.param(9.0, 8.0, 0.0, Verdict.CONFIRMED, id="it takes longer, and computes more"),
        pytest.param(1.1, 1.2, 0.0, Verdict.REFUTED, id="neither"),
        pytest.param(9.0, 1.2, 0.0, Verdict.INCONCLUSIVE, id="a neighbour made calls longer"),
        pytest.param(1.1, 8.0, 0.0, Verdict.INCONCLUSIVE, id="a neighbour made a few calls dearer"),
        pytest.param(9.0, 1.2, 0.9, Verdict.CONFIRMED, id="it waits longer, which takes no CPU time"),
        pytest.param(9.0, UNKNOWN_SPREAD, 0.0, Verdict.CONFIRMED, id="too few calls to tell of CPU time"),
        pytest.param(1.1, UNKNOWN_SPREAD, 0.0, Verdict.REFUTED, id="too few calls, and alike"),
    ],
)
def test_what_takes_longer_has_to_compute_more_unless_it_waits(
    slow: float, spread: float, idle: float, verdict: Verdict
) -> None:
    facts = Facts(version=(3, 13), gil=True, cpus=1, rate=1.0, host_cpus=2)
    calls = {"p50": 0.001, "p95": 0.001 * slow, "p99": 0.001 * slow}
    block = {"rate": 1000.0, "cores": 1.0, "disturbed": None, "delay": 0.0, "calls": calls}
    result = cell_of_own_code(BUSY, [], [{"1 worker": block}] * 8, {"spread": spread, "idle": idle})
    assert judge(evidence_of(BUSY.experiment, result), facts).verdict == verdict
