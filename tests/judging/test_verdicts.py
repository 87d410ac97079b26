"""Verdicts: claims held against evidence, and what is said where there is none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lab.cell.claims.claim import CONFIRMED, REFUTED, Claim, Evidence, Experiment, Facts, Finding, always, holds
from lab.cell.experiments import load
from lab.judging import verdicts
from lab.model.cell import Cell, CellResult, Limit, Status
from lab.model.session import Verdict
from tests.support import scripts

TWO = Cell(id="cpu2", limit=Limit(cpus=2, is_all=True), size=2, cpus=(0, 1))
LACKING = Cell(id="cpu4", limit=Limit(cpus=4), size=4, reason="needs 4 CPUs, this machine has 2")


def claim(judge: Any = None, expected: str | None = CONFIRMED, least_cpus: int = 1) -> Claim:
    predicate = judge or holds("answered", "all yes", "all no")
    return Claim("pipe.claim", "pipes work", predicate, lambda facts: expected, least_cpus)


def judged(claim: Claim, result: CellResult) -> tuple[Verdict, str, Verdict | None, bool]:
    judgement = verdicts.judge_claim("pipe", claim, result)
    assert (judgement.claim, judgement.statement, judgement.cell) == (claim.id, claim.statement, result.cell.id)
    return judgement.verdict, judgement.reason, judgement.expected, judgement.surprise


def ran(messages: Any = None, **script: Any) -> CellResult:
    """The two-CPU cell after an experiment named pipe that said this."""
    return scripts.result(TWO, scripts.stream("cpu2", (0, 1), {"pipe": messages or scripts.pipe()}, **script))


def test_evidence_decides() -> None:
    assert judged(claim(), ran()) == (Verdict.CONFIRMED, "all yes", Verdict.CONFIRMED, False)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([True, True], Verdict.CONFIRMED),
        ([False, False], Verdict.REFUTED),
        ([True, False], Verdict.INCONCLUSIVE),
        ([None], Verdict.INCONCLUSIVE),
    ],
    ids=["all yes", "all no", "mixed", "none"],
)
def test_yes_or_no_evidence_is_decided_by_unanimity(values: list[object], verdict: Verdict) -> None:
    assert judged(claim(), ran([scripts.observe("answered", value) for value in values]))[0] is verdict


@pytest.mark.parametrize(
    ("verdict", "expected", "surprise"),
    [
        pytest.param(CONFIRMED, CONFIRMED, False, id="as expected"),
        pytest.param(REFUTED, REFUTED, False, id="a refutation that was expected"),
        pytest.param(REFUTED, CONFIRMED, True, id="refuted against expectation"),
        pytest.param(CONFIRMED, REFUTED, True, id="confirmed against expectation"),
        pytest.param(REFUTED, None, False, id="nothing was expected"),
        pytest.param("inconclusive", CONFIRMED, False, id="undecided is no surprise"),
        pytest.param("untestable", CONFIRMED, False, id="untestable is no surprise"),
        pytest.param(CONFIRMED, "untestable", True, id="decided what was held to be untestable"),
    ],
)
def test_a_surprise_is_a_decisive_verdict_that_differs_from_the_expected_one(
    verdict: str, expected: str | None, surprise: bool
) -> None:
    assert judged(claim(lambda evidence, facts: Finding(verdict, "because"), expected), ran())[3] is surprise


def test_a_cell_that_this_machine_lacks_is_untestable_with_the_reason() -> None:
    result = CellResult(cell=LACKING, status=Status.UNAVAILABLE, reason=LACKING.reason)
    assert judged(claim(), result) == (
        Verdict.UNTESTABLE,
        "needs 4 CPUs, this machine has 2",
        Verdict.UNTESTABLE,
        False,
    )


def test_a_claim_that_needs_more_cpus_than_the_cell_has_is_untestable_even_if_evidence_says_yes() -> None:
    assert judged(claim(least_cpus=3), ran())[:2] == (Verdict.UNTESTABLE, "needs 3 CPUs, this cell has 2")


def test_an_experiment_that_failed_gives_an_error_although_it_said_something() -> None:
    result = ran(failed={"pipe": "exited with status 3"})
    assert judged(claim(), result)[:2] == (Verdict.ERROR, "the experiment exited with status 3")


def test_an_experiment_that_never_ran_gives_an_error() -> None:
    result = scripts.result(TWO, scripts.stream("cpu2", (0, 1), {}))
    assert judged(claim(), result)[:2] == (Verdict.ERROR, "it was not run")


def test_a_cell_that_did_not_run_gives_its_reason() -> None:
    result = CellResult(cell=TWO, status=Status.PLANNED, reason="interrupted before it ran")
    assert judged(claim(), result)[:2] == (Verdict.ERROR, "interrupted before it ran")


def test_in_a_tainted_cell_nothing_is_decided() -> None:
    result = ran(end=scripts.proof((0,)))
    assert result.status is Status.TAINTED
    verdict, reason, _, surprise = judged(claim(), result)
    assert verdict is Verdict.INCONCLUSIVE
    assert reason.startswith("the limit was not real: affinity changed")
    assert not surprise


def test_evidence_that_is_missing_is_an_error_not_a_crash() -> None:
    def judge(evidence: Any, facts: Facts) -> Finding:
        return Finding(CONFIRMED, str(evidence.last("nothing of that name")))

    verdict, reason = judged(claim(judge), ran())[:2]
    assert verdict is Verdict.ERROR
    assert "nothing of that name" in reason


def test_a_predicate_that_fails_costs_its_own_verdict_only() -> None:
    def judge(evidence: Any, facts: Facts) -> Finding:
        raise TypeError("'>' not supported between 'str' and 'int'")

    verdict, reason = judged(claim(judge), ran())[:2]
    assert verdict is Verdict.ERROR
    assert "not supported" in reason


def test_every_claim_is_judged_in_every_cell_in_order() -> None:
    first = Experiment("pipe", "", "", "", lambda recorder: None, (claim(), claim()._replace(id="pipe.other")))
    unavailable = CellResult(cell=LACKING, status=Status.UNAVAILABLE, reason=LACKING.reason)
    judgements = verdicts.judge_claims((first,), (ran(), unavailable))
    assert [(judgement.claim, judgement.cell) for judgement in judgements] == [
        ("pipe.claim", "cpu2"),
        ("pipe.claim", "cpu4"),
        ("pipe.other", "cpu2"),
        ("pipe.other", "cpu4"),
    ]


def test_the_facts_of_a_cell_come_from_its_own_start_record() -> None:
    facts = verdicts.facts_of(ran(python=scripts.python((3, 14, 2), gil=False), host_cpus=8))
    assert facts == Facts(version=(3, 14), gil=False, cpus=2, rate=2.0, host_cpus=8)


def with_proof(**entries: object) -> CellResult:
    """The two-CPU cell whose proof at the start has these entries; those that are ``None`` are missing."""
    result = ran(host_cpus=8)
    start, *others = result.records
    changed = {**start.data["proof"], **entries}
    known = {name: value for name, value in changed.items() if value is not None}
    first = start._replace(data={**start.data, "proof": known})
    return dataclasses.replace(result, records=(first, *others))


@pytest.mark.parametrize(
    ("isolated", "expected"),
    [("1-3,6", (1,)), ("0-7", (0, 1)), ("2-7", ()), ("", ())],
    ids=["one of them", "all of them", "others", "none"],
)
def test_the_facts_carry_what_the_cells_cores_are_and_which_of_its_own_cpus_are_isolated(
    isolated: str, expected: tuple[int, ...]
) -> None:
    facts = verdicts.facts_of(with_proof(siblings=[[0, 1]], kinds=2, isolated=isolated))
    assert (facts.siblings, facts.kinds, facts.isolated) == (((0, 1),), 2, expected)


def test_a_proof_of_an_older_session_knows_nothing_of_its_cores_and_is_judged_all_the_same() -> None:
    older = with_proof(siblings=None, kinds=None, isolated=None)
    assert not {"siblings", "kinds", "isolated"} & {*older.proof}
    facts = verdicts.facts_of(older)
    assert (facts.siblings, facts.kinds, facts.isolated) == ((), 1, ())
    assert judged(claim(), older)[0] is Verdict.CONFIRMED


def test_a_parallel_claim_names_the_siblings_that_the_proof_has() -> None:
    cell = with_proof(siblings=[[0, 1]])
    result = scripts.result(TWO, scripts.stream("cpu2", (0, 1), {"gil": scripts.gil(2)}))
    result = dataclasses.replace(result, records=(cell.records[0], *result.records[1:]))
    (claim,) = [claim for claim in load("gil").claims if claim.id == "gil.no-speedup"]
    judgement = verdicts.judge_claim("gil", claim, result)
    assert judgement.verdict is Verdict.CONFIRMED
    assert judgement.reason.endswith("CPUs 0, 1 are siblings on one core (SMT)")


#: The expected column of the claims' table: (claim, version, with the GIL, CPUs of the cell, verdict). The host has 2.
EXPECTED = [
    ("process.concurrent", (3, 13), True, 1, "confirmed"),
    ("process.own-pid", (3, 14), True, 2, "confirmed"),
    ("process.join-waits", (3, 9), True, 2, "confirmed"),
    ("pool.default-size", (3, 9), True, 1, "refuted"),
    ("pool.default-size", (3, 11), True, 1, "refuted"),
    ("pool.default-size", (3, 12), True, 2, "confirmed"),
    ("pool.default-size", (3, 13), True, 1, "confirmed"),
    ("pool.default-size", (3, 15), True, 2, "confirmed"),
    ("pool.explicit-size", (3, 13), True, 1, "confirmed"),
    ("pool.waves", (3, 13), True, 1, "confirmed"),
    ("pool.close-refuses", (3, 13), True, 1, "confirmed"),
    ("pool.join-waits", (3, 13), True, 1, "confirmed"),
    ("pool.errors-surface", (3, 13), True, 1, "refuted"),
    ("queue.delivers", (3, 13), True, 1, "confirmed"),
    ("queue.lock-excludes", (3, 13), True, 1, "confirmed"),
    ("queue.reader-needs-terminate", (3, 13), True, 1, "confirmed"),
    ("pipe.duplex", (3, 13), True, 1, "confirmed"),
    ("manager.plain-queue-fails", (3, 13), True, 1, "confirmed"),
    ("manager.queue-works", (3, 13), True, 1, "confirmed"),
    ("manager.needed", (3, 14), True, 1, "refuted"),
    ("threads.current", (3, 13), True, 1, "confirmed"),
    ("threads.main", (3, 13), True, 1, "confirmed"),
    ("threads.low-level", (3, 13), True, 1, "confirmed"),
    ("race.unlocked-loses", (3, 9), True, 1, "confirmed"),
    ("race.unlocked-loses", (3, 13), True, 2, "confirmed"),
    ("race.lock-keeps", (3, 13), True, 1, "confirmed"),
    ("gil.one-core", (3, 13), True, 2, "confirmed"),
    ("gil.one-core", (3, 13), False, 2, "refuted"),
    ("gil.no-speedup", (3, 13), True, 2, "confirmed"),
    ("gil.no-speedup", (3, 14), False, 2, "refuted"),
    ("gil.processes-scale", (3, 13), True, 2, "confirmed"),
    ("gil.always-one-core", (3, 13), True, 2, "refuted"),
    ("gil.waiting-overlaps", (3, 13), True, 1, "confirmed"),
    ("switching.hundred-bytecodes", (3, 13), True, 2, "refuted"),
    ("switching.interval", (3, 13), True, 2, "confirmed"),
    ("switching.interval", (3, 13), False, 2, "untestable"),
]


@pytest.mark.parametrize(("name", "version", "gil", "cpus", "verdict"), EXPECTED)
def test_the_expected_verdict_is_the_one_in_the_table_of_claims(
    name: str, version: tuple[int, int], gil: bool, cpus: int, verdict: str
) -> None:
    facts = Facts(version=version, gil=gil, cpus=cpus, rate=float(cpus), host_cpus=2)
    (claim,) = [claim for claim in load(name.partition(".")[0]).claims if claim.id == name]
    assert claim.expected(facts) == verdict


@pytest.mark.parametrize("version", [(3, 9), (3, 13), (3, 15)], ids=str)
def test_pool_is_expected_to_ignore_a_quota_in_every_version(version: tuple[int, int]) -> None:
    facts = Facts(version=version, gil=True, cpus=2, rate=1.5, host_cpus=2)
    (claim,) = [claim for claim in load("pool").claims if claim.id == "pool.default-size"]
    assert claim.expected(facts) == REFUTED


@pytest.mark.parametrize(
    ("version", "workers", "source"),
    [((3, 11), 2, "the host's CPUs"), ((3, 13), 2, "the CPUs in the affinity mask"), ((3, 13), 3, "something else")],
    ids=str,
)
def test_what_pool_counts_is_said_by_version_where_the_numbers_are_the_same(
    version: tuple[int, int], workers: int, source: str
) -> None:
    facts = Facts(version=version, gil=True, cpus=2, rate=0.5, host_cpus=2)
    (claim,) = [claim for claim in load("pool").claims if claim.id == "pool.default-size"]
    finding = claim.judge(Evidence([("default workers", workers)], []), facts)
    assert finding.reason == f"Pool() started {workers} for 0.5 CPUs: this Python counts {source}"


@pytest.mark.parametrize("name", ["gil.one-core", "gil.no-speedup", "gil.processes-scale", "gil.always-one-core"])
def test_parallel_speed_is_untestable_on_one_cpu_whatever_was_measured(name: str) -> None:
    cell = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,))
    result = scripts.result(cell, scripts.stream("cpu1", (0,), {"gil": scripts.gil(1)}))
    (claim,) = [claim for claim in load("gil").claims if claim.id == name]
    judgement = verdicts.judge_claim("gil", claim, result)
    assert (judgement.verdict, judgement.reason) == (Verdict.UNTESTABLE, "needs 2 CPUs, this cell has 1")


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        pytest.param({"threads": 1.0}, Verdict.CONFIRMED, id="threads gain nothing"),
        pytest.param({"threads": 1.9}, Verdict.REFUTED, id="threads gain a core"),
        pytest.param({"threads": 1.25}, Verdict.INCONCLUSIVE, id="the interval reaches over the tolerance"),
        pytest.param({"threads": 1.0, "delivered": 1.1}, Verdict.INCONCLUSIVE, id="the machine gave one core only"),
        pytest.param({"threads": 1.0, "disturbed": "run delay"}, Verdict.INCONCLUSIVE, id="all rounds disturbed"),
    ],
)
def test_threads_are_held_against_what_the_machine_delivered(script: dict[str, Any], verdict: Verdict) -> None:
    result = scripts.result(TWO, scripts.stream("cpu2", (0, 1), {"gil": scripts.gil(2, **script)}))
    (claim,) = [claim for claim in load("gil").claims if claim.id == "gil.no-speedup"]
    assert verdicts.judge_claim("gil", claim, result).verdict is verdict


def test_an_expectation_may_be_the_same_for_every_cell() -> None:
    facts = Facts(version=(3, 13), gil=True, cpus=1, rate=1.0, host_cpus=2)
    assert always(REFUTED)(facts) == REFUTED


@pytest.mark.parametrize(("rate", "verdict"), [(2.0, Verdict.CONFIRMED), (1.5, Verdict.UNTESTABLE)])
def test_a_claim_about_parallel_speed_is_not_tested_under_a_quota_that_stops_and_goes(
    rate: float, verdict: Verdict
) -> None:
    claim = Claim("a.b", "it is quick", holds("x", "yes", "no"), always(CONFIRMED), least_cpus=2)
    result = scripts.ran(2, {"a": [scripts.observe("x", True)]})
    level = {"quota_cpus": rate, "period_us": 1e5, "throttled_periods": 0, "folder": "/"}
    start = result.records[0]
    proof = {**start.data["proof"], "quotas": [level]}
    limited = dataclasses.replace(
        result, records=(start._replace(data={**start.data, "proof": proof}), *result.records[1:])
    )
    judgement = verdicts.judge_claim("a", claim, limited)
    assert (judgement.verdict, judgement.surprise) == (verdict, False)
