"""Sawtooth: stops in made-up and real curves, what the claims make of them, and a real quota that makes them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cell.claims.claim import CONFIRMED, INCONCLUSIVE, REFUTED, UNTESTABLE, Evidence, Facts, Finding, Round
from lab.cell.experiments import load
from lab.cell.experiments.sawtooth import (
    NEEDS,
    PERIODS,
    apart,
    apart_name,
    block_of,
    drawn,
    name_of,
    rule,
    span_of,
    stopping_periods,
    stops,
    team_sizes,
)
from lab.cell.measuring.cell_limit import CellLimit
from lab.containers.client import client_for_this_environment
from lab.engines.docker import Docker
from lab.judging import verdicts
from lab.model.cell import Cell, CellResult, Limit
from lab.model.session import Judgement, Verdict
from tests.support import cells

MS = 0.001
HALF = CellLimit(2, 0.5, 0.1)


def facts(rate: float, cpus: int = 2) -> Facts:
    return Facts(version=(3, 13), gil=True, cpus=cpus, rate=rate, host_cpus=cpus)


def sawtooth(go: int, phase: int = 0, periods: int = PERIODS, period: int = 100, units: int = 20) -> list[int]:
    """Progress in each ms under a quota that lets the workers go for so many of a period; begun at a phase of it."""
    whole = ([units] * go + [0] * (period - go)) * (periods + 1)
    return whole[phase : phase + periods * period]


# Curves.


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        pytest.param([5] * 10, [], id="never"),
        pytest.param([5, 0, 0, 0, 5], [], id="three milliseconds are a turn"),
        pytest.param([5, 0, 0, 0, 0, 5], [(1, 5)], id="four are a stop"),
        pytest.param([0, 0, 0, 0, 5, 0, 0, 0, 0, 0], [(0, 4), (5, 10)], id="at both ends"),
        pytest.param([0] * 10, [(0, 10)], id="all the time"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_a_stop_is_a_stretch_without_any_progress(curve: list[int], expected: list[tuple[int, int]]) -> None:
    assert stops(curve, MS) == expected


@pytest.mark.parametrize("go", [5, 25, 50, 75, 94])
@pytest.mark.parametrize("phase", [0, 1, 24, 25, 60, 99])
def test_every_whole_period_of_a_quota_has_a_stop_wherever_the_curve_begins(go: int, phase: int) -> None:
    with_stop, periods = stopping_periods(sawtooth(go, phase), MS, 0.1)
    assert with_stop == periods >= PERIODS - 2


def test_periods_without_a_stop_are_counted_too() -> None:
    steady = [20] * 400
    assert stopping_periods(steady, MS, 0.1) == (0, 4)
    once = sawtooth(50, periods=1) + [20] * 300
    assert stopping_periods(once, MS, 0.1) == (0, 3)


@pytest.mark.parametrize(
    ("period", "seconds"), [(0.1, 0.4), (0.05, 0.4), (1.0, 4.0)], ids=["the usual", "half", "a second"]
)
def test_a_span_shows_the_same_number_of_bins_whatever_the_period(period: float, seconds: float) -> None:
    span = span_of(period)
    assert span.bins == 400
    assert span.bins * span.bin_seconds == pytest.approx(seconds)
    assert span.warm_seconds == period


def test_a_drawn_period_shows_where_it_stood() -> None:
    assert drawn(sawtooth(50, periods=1), 20) == "#" * 13 + " " * 12 or drawn(sawtooth(50, periods=1), 20) == (
        "#" * 12 + ":" + " " * 12
    )
    assert drawn([0] * 100, 0) == " " * 25
    assert drawn([1] * 100, 20) == "." * 25


def test_a_quota_stops_n_workers_by_the_rule_of_the_bandwidth_control() -> None:
    assert rule(2, 0.5) == 0.75
    assert rule(2, 1.5) == 0.25
    assert rule(1, 1.5) == 0
    assert team_sizes(2, 1.5) == [1, 2]
    assert team_sizes(64, 2.5) == [1, 3, 64]


# Blocks.


@pytest.mark.parametrize(
    ("workers", "go", "cores", "stopped_periods", "cause", "cause_apart"),
    [
        pytest.param(2, 25, 0.5, 5, None, None, id="as the rule has it"),
        pytest.param(2, 45, 0.5, 5, None, "run delay", id="half of the CPUs were a neighbour's"),
        pytest.param(2, 100, 0.4, 0, "run delay", "run delay", id="a neighbour left too little to use the quota up"),
        pytest.param(2, 25, 0.5, 0, "lost time", "lost time", id="it stood, but no quota stopped it"),
        pytest.param(2, 100, 1.99, 0, None, None, id="a quota that does not hold"),
        pytest.param(1, 50, 0.5, 5, None, None, id="one worker"),
    ],
)
def test_a_block_counts_when_nothing_but_the_quota_can_have_stopped_it(
    workers: int, go: int, cores: float, stopped_periods: int, cause: str | None, cause_apart: str | None
) -> None:
    block = block_of(workers, sawtooth(go), MS, HALF, cores, stopped_periods)
    assert block["disturbed"] == cause
    assert apart(workers, block)["disturbed"] == cause_apart


def rounds_of(rate: float, go: Sequence[int], stopped_periods: int = 5) -> list[Round]:
    """Rounds in which two workers go for so many ms of each period, and one runs on if the rate allows it."""
    limit, rounds = CellLimit(2, rate, 0.1), []
    for length in go:
        two = block_of(2, sawtooth(length, 30), MS, limit, 2 * length / 100, stopped_periods)
        alone = min(1.0, rate)
        single_block = block_of(1, sawtooth(round(100 * alone)), MS, limit, alone, stopped_periods if rate < 1 else 0)
        rounds.append(
            {
                name_of(2): two,
                apart_name(2): apart(2, two),
                name_of(1): single_block,
                apart_name(1): apart(1, single_block),
            }
        )
    return rounds


def judged(claim: str, rounds: Sequence[Round], where: Facts) -> Finding:
    (match,) = [candidate for candidate in load("sawtooth").claims if candidate.id == f"sawtooth.{claim}"]
    limit = {"rate": where.rate, "period_seconds": 0.1, "workers": [1, 2]}
    return match.judge(Evidence([("limit", limit)], [("round", values) for values in rounds]), where)


@pytest.mark.parametrize(
    ("claim", "rate", "go", "verdict"),
    [
        pytest.param("stop-and-go", 1.5, [75, 74, 76] * 3, CONFIRMED, id="stops"),
        pytest.param("stop-and-go", 0.5, [100] * 9, REFUTED, id="a quota that does not stop"),
        pytest.param("by-the-rule", 1.5, [75, 74, 76] * 3, CONFIRMED, id="as long as the rule says"),
        pytest.param("by-the-rule", 0.5, [25, 28, 30] * 3, CONFIRMED, id="by a slice shorter"),
        pytest.param("by-the-rule", 0.5, [75, 74, 76] * 3, REFUTED, id="much shorter stops"),
        pytest.param("one-runs-on", 1.5, [75] * 9, CONFIRMED, id="one worker"),
        pytest.param("stop-and-go", 1.5, [75] * 4, INCONCLUSIVE, id="too few rounds"),
    ],
)
def test_claims_follow_the_curves(claim: str, rate: float, go: list[int], verdict: str) -> None:
    finding = judged(claim, rounds_of(rate, go), facts(rate))
    assert finding.verdict == verdict, finding.reason


def test_a_neighbour_that_takes_the_cpus_decides_nothing() -> None:
    rounds = rounds_of(1.5, [75] * 9)
    for blocks in rounds:
        blocks[name_of(2)] = block_of(2, [10] * 400, MS, CellLimit(2, 1.5, 0.1), 1.0, 0)
    assert judged("stop-and-go", rounds, facts(1.5)).verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("claim", "where", "reason"),
    [
        *(pytest.param(claim, facts(2.0), NEEDS, id=f"{claim}, no quota") for claim in ("stop-and-go", "one-runs-on")),
        pytest.param("one-runs-on", facts(0.5), "one worker needs more than a quota of 0.5 CPUs", id="half a CPU"),
        pytest.param(
            "stop-and-go",
            facts(1.9),
            "stops of 5.0 ms are as short as the scheduler's turns; take a smaller quota",
            id="short stops",
        ),
    ],
)
def test_where_no_stop_can_be_seen_nothing_is_judged(claim: str, where: Facts, reason: str) -> None:
    finding = judged(claim, rounds_of(where.rate, [75] * 9), where)
    assert (finding.verdict, finding.reason) == (UNTESTABLE, reason)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(2.0, [UNTESTABLE] * 3, id="no quota"),
        pytest.param(1.5, [CONFIRMED] * 3, id="1.5"),
        pytest.param(1.0, [CONFIRMED, None, CONFIRMED], id="one CPU exactly"),
        pytest.param(0.5, [CONFIRMED, UNTESTABLE, CONFIRMED], id="half a CPU"),
        pytest.param(1.9, [None, CONFIRMED, None], id="nearly two"),
    ],
)
def test_what_is_expected_follows_from_the_rate(rate: float, expected: list[str | None]) -> None:
    assert [claim.expected(facts(rate)) for claim in load("sawtooth").claims] == expected


def test_without_a_quota_it_measures_nothing_and_says_so(tmp_path: Path) -> None:
    ran = cells.run(cells.job(["sawtooth"]), tmp_path)
    assert ran.data("finish")["outcome"] == "ok"
    if not ran.data("start")["proof"]["quotas"]:
        assert "no quota" in ran.data("event")["text"]
        assert {judgement.verdict for judgement in ran.judgements("sawtooth", cells.CPUS)} == {Verdict.UNTESTABLE}


# A real quota.

needs_two_cpus = pytest.mark.skipif(len(cells.CPUS) < 2, reason="needs two CPUs")


@pytest.fixture
def limited(image: str) -> Iterator[Any]:
    """Runs an experiment in a container of two CPUs under a quota, or under none."""
    engine = Docker(client_for_this_environment(), image, f"test-{uuid.uuid4().hex[:8]}")

    def run(experiment: str, quota_cpus: float | None) -> CellResult:
        cell = Cell(id="cpu2", limit=Limit(cpus=2, quota_cpus=quota_cpus), size=2, cpus=cells.CPUS[:2])
        engine._containers.await_removals()  # the container of an earlier try has the same name
        return cells.run_on(engine, cells.order(cell, experiment, session=engine._session, seconds=6, width=0.05))

    yield run
    engine.close()


#: Times that a real quota is tried: beside busy neighbours the first may show too little.
TRIES = 4


@pytest.mark.engine
@pytest.mark.measures
@needs_two_cpus
def test_half_a_cpu_stops_and_lets_go_in_every_period(limited: Any) -> None:
    """Two workers use half a CPU up also where neighbours take most of the rest."""
    reasons: list[str] = []
    while len(reasons) < TRIES:
        judgement = stop_and_go(limited("sawtooth", 0.5), 0.5)
        if judgement.verdict is Verdict.CONFIRMED:
            return
        reasons.append(judgement.reason)
    raise AssertionError(f"it was never confirmed: {reasons}")


@pytest.mark.engine
@pytest.mark.measures
@needs_two_cpus
def test_a_quota_of_more_than_a_cpu_is_judged_without_a_wrong_verdict(limited: Any) -> None:
    """A busy neighbour keeps two workers from ever using that up: then nothing is decided, and rightly so."""
    stop_and_go(limited("sawtooth", 1.5), 1.5)


def stop_and_go(result: CellResult, quota_cpus: float) -> Judgement:
    """The judgement that workers stop and go under this quota, in a result in which nothing speaks against it."""
    judged = {
        judgement.claim.partition(".")[2]: judgement
        for judgement in verdicts.judge_claims([load("sawtooth")], [result])
    }
    assert judged["stop-and-go"].verdict in (Verdict.CONFIRMED, Verdict.INCONCLUSIVE), judged["stop-and-go"].reason
    assert judged["by-the-rule"].verdict in (Verdict.CONFIRMED, Verdict.INCONCLUSIVE), judged["by-the-rule"].reason
    rounds = [record.data["values"] for record in result.records if record.kind == "sample"]
    blocks = [values[name_of(2)] for values in rounds if name_of(2) in values and "cores" in values[name_of(2)]]
    assert blocks
    # A machine that others load may never let it use the quota up. Where it did, it was stopped.
    used_up = [block for block in blocks if block["cores"] >= 0.97 * quota_cpus and block["disturbed"] is None]
    assert all(block["with_stop"] >= block["periods"] - 1 and block["stopped_periods"] for block in used_up)
    return judged["stop-and-go"]


@pytest.mark.engine
@needs_two_cpus
def test_without_a_quota_nothing_is_stopped(limited: Any) -> None:
    result = limited("sawtooth", None)
    assert {judgement.verdict for judgement in verdicts.judge_claims([load("sawtooth")], [result])} == {
        Verdict.UNTESTABLE
    }
    assert result.proof["quotas"] == []


@pytest.mark.engine
@pytest.mark.measures
@needs_two_cpus
def test_under_a_real_quota_pools_are_judged_without_a_wrong_verdict(limited: Any) -> None:
    surprises: list[set[str]] = []
    while len(surprises) < 2 and (not surprises or surprises[-1]):
        result = limited("oversubscription", 0.5)
        judged = verdicts.judge_claims([load("oversubscription")], [result])
        surprises.append({f"{judgement.claim}: {judgement.reason}" for judgement in judged if judgement.surprise})
    # One interval of twenty misses, so that one of these claims may be wrong once: twice it is no chance.
    assert surprises[-1] == set(), surprises
    rounds = [record.data["values"] for record in result.records if record.kind == "sample"]
    assert rounds
    assert max(values["CPU-bound, 4"]["throttled"] for values in rounds if "CPU-bound, 4" in values) > 0
