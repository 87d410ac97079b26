"""Sessions: put together, judged, and turned into an exit code."""

from __future__ import annotations

from typing import Any

import pytest

from lab.judging import exit_code
from lab.model.cell import CellResult, Status
from lab.model.fail_on import FailOn, FailurePolicy
from lab.model.session import Verdict
from tests.support import scripts

TWO, LACKING = scripts.cell(2), scripts.cell(4)


def ran(messages: Any, experiment: str = "pipe", **script: Any) -> CellResult:
    return scripts.ran(2, {experiment: messages}, **script)


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
    assert exit_code.exit_code(scripts.session(result)) == lenient
    assert exit_code.exit_code(scripts.session(result), FailurePolicy(strict=True)) == strict


CONFIRMED = ran(scripts.pipe())
REFUTED_AS_EXPECTED = ran([*scripts.pool(2)], "pool")


@pytest.mark.parametrize(
    ("result", "codes"),
    [
        # for surprise, refuted, inconclusive, never
        pytest.param(CONFIRMED, (0, 0, 0, 0), id="confirmed"),
        pytest.param(REFUTED_AS_EXPECTED, (0, 1, 0, 0), id="refuted as expected"),
        pytest.param(ran(NO), (1, 1, 1, 0), id="a surprise"),
        pytest.param(ran(PARTLY), (0, 0, 1, 0), id="inconclusive"),
        pytest.param(UNAVAILABLE, (0, 0, 0, 0), id="untestable"),
        pytest.param(ran(scripts.pipe(), end=scripts.proof((0,))), (3, 3, 3, 3), id="tainted"),
        pytest.param(CellResult(cell=TWO, status=Status.ERROR, reason="no container"), (3, 3, 3, 3), id="not run"),
    ],
)
def test_what_is_a_failure_is_what_was_asked_for(result: CellResult, codes: tuple[int, ...]) -> None:
    session = scripts.session(result, experiments=("pool",) if result is REFUTED_AS_EXPECTED else ("pipe",))
    assert tuple(exit_code.exit_code(session, FailurePolicy(fail_on)) for fail_on in FailOn) == codes
    reasons = [exit_code.exit_reason(session, FailurePolicy(fail_on)) for fail_on in FailOn]
    assert [bool(reason) for reason in reasons] == [bool(code) for code in codes]


def test_the_reason_of_an_exit_code_counts_what_caused_it() -> None:
    kinds = scripts.every_kind()
    assert exit_code.exit_reason(kinds["expected"]) == ""
    assert exit_code.exit_reason(kinds["surprise"]) == "2 surprises (--fail-on surprise)"
    assert exit_code.exit_reason(kinds["error"]) == "1 cell could not be measured as asked"
    assert exit_code.exit_reason(kinds["interrupted"]) == "the run was interrupted"
    strict = exit_code.exit_reason(kinds["noisy"], FailurePolicy(strict=True))
    assert strict.endswith(" inconclusive (--fail-on surprise --strict)")


@pytest.mark.parametrize("fail_on", [FailOn.SURPRISE, FailOn.REFUTED, FailOn.NEVER], ids=str)
@pytest.mark.parametrize("disturbed", ["run delay", "lost time", "throttling"])
def test_a_noisy_machine_never_fails_a_build_by_itself(fail_on: FailOn, disturbed: str) -> None:
    session = scripts.session(ran(scripts.gil(2, disturbed=disturbed), "gil"), experiments=("gil",))
    assert {judgement.verdict for judgement in session.judgements} == {Verdict.INCONCLUSIVE, Verdict.CONFIRMED}
    assert exit_code.exit_code(session, FailurePolicy(fail_on)) == 0


def test_strict_adds_to_what_else_is_a_failure() -> None:
    for result, name in ((ran(PARTLY), "pipe"), (REFUTED_AS_EXPECTED, "pool")):
        assert (
            exit_code.exit_code(
                scripts.session(result, experiments=(name,)), FailurePolicy(FailOn.REFUTED, strict=True)
            )
            == 1
        )


@pytest.mark.parametrize(
    ("result", "policy", "code"),
    [
        # of the pipe's only claim, which is expected to be confirmed
        pytest.param(
            ran(NO), FailurePolicy(expected={"pipe.duplex": "refuted"}), 0, id="a surprise that the user expects"
        ),
        pytest.param(
            ran(NO), FailurePolicy(FailOn.REFUTED, expected={"pipe.duplex": "refuted"}), 0, id="whatever --fail-on"
        ),
        pytest.param(ran(NO), FailurePolicy(expected={"pipe.duplex@cpu2": "refuted"}), 0, id="in this cell"),
        pytest.param(ran(NO), FailurePolicy(expected={"pipe.duplex@cpu4": "refuted"}), 1, id="in another cell"),
        pytest.param(
            ran(NO),
            FailurePolicy(expected={"pipe.duplex": "refuted", "pipe.duplex@cpu2": "confirmed"}),
            1,
            id="a cell first",
        ),
        pytest.param(CONFIRMED, FailurePolicy(expected={"pipe.duplex": "refuted"}), 1, id="not what the user expects"),
        pytest.param(
            CONFIRMED, FailurePolicy(FailOn.NEVER, expected={"pipe.duplex": "refuted"}), 1, id="never, but expected"
        ),
        pytest.param(ran(PARTLY), FailurePolicy(expected={"pipe.duplex": "refuted"}), 0, id="noise decides nothing"),
        pytest.param(
            ran(PARTLY), FailurePolicy(strict=True, expected={"pipe.duplex": "refuted"}), 1, id="noise, with strict"
        ),
        pytest.param(
            ran(PARTLY), FailurePolicy(strict=True, expected={"pipe.duplex": "inconclusive"}), 0, id="noise as expected"
        ),
        pytest.param(UNAVAILABLE, FailurePolicy(strict=True, expected={"pipe.duplex": "refuted"}), 0, id="untestable"),
        pytest.param(CONFIRMED, FailurePolicy(expected={"pipe.duplex": "untestable"}), 1, id="testable after all"),
        pytest.param(ran(NO), FailurePolicy(expected={"pool.waves": "refuted"}), 1, id="another claim"),
    ],
)
def test_of_a_claim_with_a_named_verdict_only_another_one_is_a_failure(
    result: CellResult, policy: FailurePolicy, code: int
) -> None:
    session = scripts.session(result)
    assert exit_code.exit_code(session, policy) == code
    assert bool(exit_code.exit_reason(session, policy)) == bool(code)


def test_the_reason_names_the_claim_and_both_verdicts() -> None:
    policy = FailurePolicy(FailOn.REFUTED, expected={"pool.default-size": "refuted"})
    session = scripts.session(ran(scripts.pool(2), "pool"), experiments=("pool",))
    assert exit_code.exit_reason(session, policy) == (
        "pool.default-size@cpu2 is confirmed, not refuted (--expect), 1 refuted (--fail-on refuted)"
    )
    assert exit_code.unjudged(session, FailurePolicy(expected={"pool.waves@cpu2": "refuted"})) == []
    assert exit_code.unjudged(session, FailurePolicy(expected={"pool.waves@cpu3": "refuted"})) == ["pool.waves@cpu3"]


def test_a_cell_that_failed_weighs_more_than_a_surprise() -> None:
    broken = CellResult(cell=TWO, status=Status.ERROR, reason="no container")
    assert exit_code.exit_code(scripts.session(ran(NO), broken)) == 3


def test_an_interruption_weighs_most() -> None:
    broken = CellResult(cell=TWO, status=Status.ERROR, reason="no container")
    assert exit_code.exit_code(scripts.session(broken, interrupted=True)) == 130


def test_a_session_judges_every_claim_of_its_experiments_in_every_cell() -> None:
    session = scripts.session(ran(scripts.pool(2), "pool"), UNAVAILABLE, experiments=("pool", "pipe"))
    assert len(session.judgements) == 2 * (7 + 1)
    assert [judgement.claim for judgement in session.judgements][::2][-1] == "pipe.duplex"


def test_surprises_are_found_in_the_judgements() -> None:
    session = scripts.session(ran(NO))
    assert [judgement.claim for judgement in session.surprises] == ["pipe.duplex"]


def test_a_claim_that_was_not_run_is_never_a_success() -> None:
    session = scripts.session(scripts.ran(1, {"pipe": scripts.pipe()}), experiments=("pipe", "pool"))
    assert {judgement.verdict.value for judgement in session.judgements} == {"confirmed", "error"}
    assert exit_code.exit_code(session) == 3
    assert exit_code.exit_code(session, FailurePolicy(FailOn.NEVER)) == 3
    assert exit_code.exit_reason(session) == "7 claims could not be judged"
