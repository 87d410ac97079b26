"""Whether threads take turns for the GIL or for what they share: what decides it, on a Python with a GIL."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lab.cell.claims.claim import Facts
from lab.cell.targets.arms import name_of
from lab.cell.targets.causes import contention, holds_gil
from lab.judging.verdicts import evidence_of
from lab.model.session import Verdict
from tests.support.own_code import BUSY
from tests.support.scripts import cell_of_own_code, observe

THERE, NOT_THERE, OPEN = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("shared", "own", "cores", "gil", "lock"),
    [
        pytest.param(1.0, 2.0, 1.0, NOT_THERE, THERE, id="a lock that threads share"),
        pytest.param(0.7, 1.4, 1.0, THERE, THERE, id="the GIL for a part of the time, and a lock"),
        pytest.param(1.0, 1.0, 1.0, THERE, NOT_THERE, id="the GIL"),
        pytest.param(1.95, 1.95, 1.95, NOT_THERE, NOT_THERE, id="neither"),
        pytest.param(None, 1.0, 1.0, THERE, NOT_THERE, id="the GIL, with state of their own only"),
        pytest.param(1.0, None, 1.0, OPEN, OPEN, id="either, where state was shared only"),
        pytest.param(1.4, None, 1.4, OPEN, OPEN, id="either for a part of the time, where state was shared only"),
        pytest.param(1.95, None, 1.95, NOT_THERE, NOT_THERE, id="neither, where state was shared only"),
        pytest.param(None, 1.0, 1.9, OPEN, OPEN, id="threads that compute on two cores take no turns"),
        pytest.param(None, 1.0, 0.02, OPEN, OPEN, id="a lock around a wait, or C code that waits with the GIL"),
    ],
)
def test_threads_that_take_turns_hold_the_gil_only_if_their_own_state_does_not_help(
    shared: float | None, own: float | None, cores: float, gil: Verdict, lock: Verdict
) -> None:
    order = random.Random(1)

    def block(gain: float, used: float) -> dict[str, Any]:
        return {"rate": 1000 * gain * order.uniform(0.99, 1.01), "cores": used, "disturbed": None, "delay": 0.0}

    known = [(is_own, gain) for is_own, gain in ((False, shared), (True, own)) if gain]
    threads = {
        name_of("thread", 2, is_own): (gain, max(cores, gain) if cores >= 1 else cores) for is_own, gain in known
    }
    speeds = {"1 worker": (1.0, 1.0), **threads, name_of("fork", 2): (1.95, 1.95)}
    rounds = [{name: block(*speed) for name, speed in speeds.items()} for _ in range(12)]
    arms = [[name_of("thread", 2, is_own), "thread", 2, is_own] for is_own, _ in known]
    case = BUSY._replace(setup="make", state="both" if len(known) == 2 else "own" if own else "shared")
    result = cell_of_own_code(
        case, [*arms, [name_of("fork", 2), "fork", 2, False]], rounds, {}, observe("case", case.to_stored())
    )
    facts = Facts(version=(3, 13), gil=True, cpus=2, rate=2.0, host_cpus=2)
    findings = [cause.judge(evidence_of(case.experiment, result), facts) for cause in (holds_gil, contention)]
    assert [finding.verdict for finding in findings] == [gil, lock], findings
