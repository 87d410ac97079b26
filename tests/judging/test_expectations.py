"""What is expected of claims: on which builds, under which limits, and how ``lab explain`` says it."""

from __future__ import annotations

import pytest

from lab.cell import experiments
from lab.cell.claims.claim import CONFIRMED, REFUTED, UNTESTABLE, Claim, Facts, holds
from lab.judging import expectations, verdicts
from lab.model.session import Verdict
from tests.support import scripts
from tests.support.terminal import Lab

CLAIMS = {claim.id: claim for name in experiments.names() for claim in experiments.load(name).claims}


def verdicts_by_build(name: str) -> dict[str, tuple[str, ...]]:
    return {expectation.builds: expectation.verdicts for expectation in expectations.expectations_of(CLAIMS[name])}


def claim(expected: dict[bool, str], least_cpus: int = 1) -> Claim:
    return Claim("x.y", "it is so", holds("it", "yes", "no"), lambda facts: expected[facts.gil], least_cpus)


def test_builds_that_agree_share_a_row() -> None:
    assert verdicts_by_build("pool.default-size") == {
        "3.9 to 3.12": (REFUTED,) * 4,
        "3.13 to 3.15, 3.13t to 3.15t": (CONFIRMED, CONFIRMED, CONFIRMED, REFUTED),
    }
    assert verdicts_by_build("race.plain-loses") == {
        "3.9, 3.13t to 3.15t": (CONFIRMED,) * 4,
        "3.10 to 3.15": (REFUTED,) * 4,
    }
    assert verdicts_by_build("process.own-pid") == {"every Python": (CONFIRMED,) * 4}


def test_what_no_cell_can_tell_is_untestable_whatever_is_expected_elsewhere() -> None:
    parallel = claim({True: CONFIRMED, False: REFUTED}, least_cpus=2)
    assert [expectation.verdicts for expectation in expectations.expectations_of(parallel)] == [
        (UNTESTABLE, CONFIRMED, CONFIRMED, UNTESTABLE),
        (UNTESTABLE, REFUTED, REFUTED, UNTESTABLE),
    ]


@pytest.mark.parametrize("gil", [True, False], ids=["with the GIL", "without"])
@pytest.mark.parametrize("size", [1, 2])
def test_the_page_expects_what_a_session_does(size: int, gil: bool) -> None:
    names = ("pool", "gil", "switching")
    evidence = {"pool": scripts.pool(size), "gil": scripts.gil(size), "switching": scripts.switching()}
    session = scripts.session(scripts.ran(size, evidence, python=scripts.python(gil=gil)), experiments=names)
    facts = verdicts.facts_of(session.results[0])
    for expectation in session.judgements:
        assert expectation.expected == Verdict(str(verdicts.expected_verdict(CLAIMS[expectation.claim], facts)))


def test_nothing_expected_is_not_known() -> None:
    silent = Claim("x.y", "it is so", holds("it", "yes", "no"), lambda facts: None)
    assert {expectation.verdicts for expectation in expectations.expectations_of(silent)} == {
        (expectations.UNKNOWN,) * 4
    }


def test_the_host_is_larger_than_every_limit() -> None:
    assert max(cpus for cpus, _ in expectations.LIMITS) < expectations.HOST_CPUS
    assert verdicts.expected_verdict(claim({True: CONFIRMED}), Facts((3, 13), True, 1, 1.0, 8)) == CONFIRMED


def test_explain_shows_the_expectations_and_their_source(lab: Lab) -> None:
    code, out, _ = lab("explain", "pool.default-size")
    assert code == 0
    assert "3.9 to 3.12 " in out
    assert "3.13 to 3.15, 3.13t to 3.15t" in out
    assert "https://docs.python.org/3.15/library/multiprocessing.html#module-multiprocessing.pool\n" in out
    assert all(len(line) <= 80 or "https://" in line for line in out.splitlines())


def test_one_expectation_for_all_is_one_line(lab: Lab) -> None:
    assert "\n  confirmed on every Python\n  source: measured on" in lab("explain", "pipe.duplex")[1]


def test_the_page_has_every_claim_once(lab: Lab) -> None:
    code, out, _ = lab("explain", "--all")
    assert code == 0
    assert all(out.count(f"| `{name}`: ") == 1 for name in CLAIMS)
    rows = {line.count("|") for line in out.splitlines() if line.startswith("|")}
    assert rows == {len(expectations.LIMITS) + 4}


@pytest.mark.parametrize("words", [(), ("pool", "--all")], ids=["nothing", "both"])
def test_explain_wants_a_name_or_all(lab: Lab, words: tuple[str, ...]) -> None:
    assert lab("explain", *words)[0] == 2


def test_of_another_implementation_nothing_is_expected_but_what_no_python_can_show() -> None:
    pypy = Facts((3, 11), True, 1, 1.0, 8, implementation="PyPy")
    assert verdicts.expected_verdict(claim({True: CONFIRMED}), pypy) is None
    assert verdicts.expected_verdict(claim({True: CONFIRMED}, least_cpus=2), pypy) == UNTESTABLE
