"""Oversubscription: which pools are run, what their blocks hold, and what the claims make of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lab.cell.claims.claim import CONFIRMED, INCONCLUSIVE, REFUTED, Evidence, Facts, Finding, Round
from lab.cell.claims.quantiles import histogram, quantile_in, quantile_times
from lab.cell.experiments import load
from lab.cell.experiments.oversubscription import best_of, expect_own_choice, expect_tail, figures
from lab.cell.measuring import pools as _pools
from lab.cell.measuring.memory import memory_of
from lab.cell.measuring.pools import (
    COMPUTING,
    WAITING,
    Did,
    Plan,
    Pools,
    Window,
    compute,
    disturbance,
    name_of,
    plan_of,
    wait,
)
from tests.support import cells

#: What computing on two CPUs looks like: workers -> tasks a second, seconds that most tasks and the slowest take.
TWO_CPUS = {
    1: (330.0, 0.003, 0.0031),
    2: (660.0, 0.003, 0.004),
    4: (655.0, 0.006, 0.012),
    8: (660.0, 0.012, 0.03),
    16: (650.0, 0.024, 0.06),
}
PLAN = plan_of(2.0, 2)


def facts(
    cpus: int = 2,
    rate: float | None = None,
    version: tuple[int, int] = (3, 13),
    host_cpus: int = 2,
    told_cpus: int | None = None,
) -> Facts:
    return Facts(
        version=version,
        gil=True,
        cpus=cpus,
        rate=float(cpus) if rate is None else rate,
        host_cpus=host_cpus,
        told_cpus=told_cpus,
    )


def rounds_of(
    computing: Mapping[int, tuple[float, float, float]] = TWO_CPUS, count: int = 8, disturbed: str | None = None
) -> list[Round]:
    """Rounds of both payloads, each a little off the last, small pools other than large ones; waiting gains from every
    worker."""
    rounds: list[Round] = []
    for number in range(count):
        wobble = 1 + 0.02 * ((number * 7) % 5 - 2)
        rounds.append(
            {
                name_of(COMPUTING, workers): {
                    "rate": rate * (wobble if workers <= 2 else 2 - wobble),
                    "times": histogram([most * wobble] * 95 + [slowest * wobble] * 5),
                    "memory": 2.0 * workers,
                    "disturbed": disturbed,
                }
                for workers, (rate, most, slowest) in computing.items()
            }
        )
        rounds.append(
            {
                name_of(WAITING, workers): {
                    "rate": 95 * workers * wobble,
                    "times": histogram([0.0102] * 10),
                    "memory": 2.0 * workers,
                    "disturbed": disturbed,
                }
                for workers in computing
            }
        )
    return rounds


def judged(claim: str, rounds: Sequence[Round], plan: Plan = PLAN, where: Facts | None = None) -> Finding:
    (match,) = [
        candidate for candidate in load("oversubscription").claims if candidate.id == f"oversubscription.{claim}"
    ]
    evidence = Evidence([("plan", plan._asdict())], [("round", values) for values in rounds])
    return match.judge(evidence, where or facts())


# Which pools.


@pytest.mark.parametrize(
    ("rate", "default", "counts", "fitting", "beyond"),
    [
        pytest.param(2.0, 2, (1, 2, 4, 8, 16), 2, (4, 8, 16), id="two CPUs"),
        pytest.param(1.0, 1, (1, 2, 4, 8), 1, (2, 4, 8), id="one CPU"),
        pytest.param(1.5, 2, (1, 2, 3, 6, 12), 2, (3, 6, 12), id="a quota of 1.5"),
        pytest.param(0.5, 2, (1, 2, 4), 1, (2, 4), id="half a CPU"),
        pytest.param(0.1, 1, (1, 2), 1, (2,), id="so little that eight times as many are one"),
        pytest.param(2.4, 64, (1, 3, 5, 10, 20, 64), 3, (5, 10, 20), id="a quota on a large host"),
        pytest.param(2.0, 3, (1, 2, 3, 4, 8, 16), 2, (4, 8, 16), id="Pool()'s own number is no multiple"),
    ],
)
def test_the_pools_are_multiples_of_the_rate_and_the_one_that_pool_takes(
    rate: float, default: int, counts: tuple[int, ...], fitting: int, beyond: tuple[int, ...]
) -> None:
    assert plan_of(rate, default) == Plan(counts, fitting, beyond, default)


# Times in histograms.


def test_a_quantile_of_a_histogram_is_that_of_the_times_within_a_bin() -> None:
    times = [0.001 * number for number in range(1, 101)]
    for share in (0.5, 0.95, 0.99):
        assert quantile_in([histogram(times)], share) == pytest.approx(share / 10, rel=0.03)


def test_a_quantile_is_of_all_rounds_together() -> None:
    rounds = [{"arm": {"times": histogram([0.001] * 10), "disturbed": None}} for _ in range(9)]
    rounds.append({"arm": {"times": histogram([1.0] * 10), "disturbed": None}})
    quantile = quantile_times("arm", 0.95).estimate(rounds)
    assert quantile is not None
    assert quantile.value == pytest.approx(1.0, rel=0.03)  # no single round has such a tail but the last
    assert quantile.low == pytest.approx(0.001, rel=0.03)


def test_without_times_there_is_no_quantile() -> None:
    with pytest.raises(ValueError, match="no times"):
        quantile_in([[]], 0.5)


# Claims.


def test_on_two_quiet_cpus_every_claim_is_confirmed() -> None:
    for claim in load("oversubscription").claims:
        name = claim.id.partition(".")[2]
        finding = judged(name, rounds_of())
        assert (finding.verdict, claim.expected(facts())) == (CONFIRMED, CONFIRMED), f"{name}: {finding.reason}"


@pytest.mark.parametrize(
    ("claim", "changed", "verdict"),
    [
        pytest.param("more-than-cpus-no-gain", {2: (330.0, 0.003, 0.004)}, REFUTED, id="twice as many do more"),
        pytest.param("tail-grows", {16: (650.0, 0.003, 0.004)}, REFUTED, id="the tail stays"),
        pytest.param(
            "pool-default-is-best",
            {1: (655.0, 0.003, 0.0031), 2: (660.0, 0.003, 0.006)},
            REFUTED,
            id="one does as much, without the tail",
        ),
        pytest.param("pool-default-is-best", {4: (990.0, 0.003, 0.03)}, REFUTED, id="four do more"),
        pytest.param("pool-default-is-best", {4: (760.0, 0.006, 0.012)}, INCONCLUSIVE, id="four may do more"),
    ],
)
def test_claims_follow_the_numbers(claim: str, changed: Mapping[int, tuple[float, float, float]], verdict: str) -> None:
    finding = judged(claim, rounds_of({**TWO_CPUS, **changed}))
    assert finding.verdict == verdict, finding.reason


@pytest.mark.parametrize("claim", load("oversubscription").claims, ids=lambda claim: claim.id)
@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(rounds_of(disturbed="run delay"), id="all disturbed"),
        pytest.param(rounds_of(count=4), id="four"),
        pytest.param([], id="none"),
    ],
)
def test_too_few_rounds_decide_nothing(claim: Any, rounds: list[Round]) -> None:
    finding = judged(claim.id.partition(".")[2], rounds)
    assert finding.verdict == INCONCLUSIVE
    assert "too few undisturbed rounds" in finding.reason


def test_what_pools_own_choice_costs_is_told() -> None:
    plan = plan_of(0.5, 2)
    rounds = rounds_of({1: (165.0, 0.003, 0.053), 2: (165.0, 0.003, 0.078), 4: (165.0, 0.006, 0.1)})
    finding = judged("pool-default-is-best", rounds, plan, facts(rate=0.5))
    assert finding.verdict == REFUTED
    assert finding.value == pytest.approx(78 / 53, rel=0.06)
    assert finding.reason.startswith("Pool() started 2 workers; 1 did 1.00 times as many tasks, and with Pool()'s the")
    rows = {
        figure.what: figure.found
        for figure in figures(Evidence([("plan", plan._asdict())], [("round", r) for r in rounds]))
    }
    best, cost = rows["best for CPU-bound tasks"], rows["p99, CPU-bound, Pool()'s 2 beside 1"]
    assert best is not None
    assert cost is not None
    assert (best.value, best.low, best.high) == (1, 1, 1)
    assert cost.value == pytest.approx(78 / 53, rel=0.06)


def test_the_best_number_is_the_smallest_that_does_as_much_as_any() -> None:
    computing, waiting = (best_of(rounds_of(), payload, PLAN) for payload in (COMPUTING, WAITING))
    assert computing is not None
    assert waiting is not None
    assert (computing.value, waiting.value) == (2, 16)
    assert best_of(rounds_of(count=4), COMPUTING, PLAN) is None


@pytest.mark.parametrize(
    ("where", "own", "tail"),
    [
        pytest.param(facts(), CONFIRMED, CONFIRMED, id="3.13, its own CPUs"),
        pytest.param(facts(cpus=2, host_cpus=64), CONFIRMED, CONFIRMED, id="3.13 on a large host"),
        pytest.param(facts(cpus=2, host_cpus=64, version=(3, 12)), REFUTED, CONFIRMED, id="3.12 on a large host"),
        pytest.param(facts(told_cpus=8), REFUTED, CONFIRMED, id="told of more"),
        pytest.param(facts(cpus=8, rate=8.0, told_cpus=2), REFUTED, CONFIRMED, id="told of fewer"),
        pytest.param(facts(rate=1.5), CONFIRMED, CONFIRMED, id="two workers for 1.5"),
        pytest.param(facts(rate=1.1), None, None, id="two workers for 1.1"),
        pytest.param(facts(rate=0.5), REFUTED, None, id="two workers for 0.5"),
        pytest.param(facts(cpus=4, rate=2.5), None, CONFIRMED, id="four workers for 2.5"),
        pytest.param(facts(cpus=64, rate=1.5), REFUTED, CONFIRMED, id="64 workers for 1.5"),
    ],
)
def test_what_is_expected_follows_from_pools_number_and_the_rate(
    where: Facts, own: str | None, tail: str | None
) -> None:
    assert (expect_own_choice(where), expect_tail(where)) == (own, tail)


# Blocks.


@pytest.mark.parametrize(
    ("block", "most", "cause"),
    [
        pytest.param({"cores": 1.8}, 2.0, None, id="the parent had the rest"),
        pytest.param({"cores": 1.1}, 2.0, "run delay", id="a neighbour had nearly half"),
        pytest.param({"cores": 1.5, "throttled": 0.0}, 2.0, "run delay", id="under a quota a quarter"),
        pytest.param({"cores": 0.39, "throttled": 1.0}, 0.5, None, id="the quota ran out"),
        pytest.param(
            {"cores": 0.39, "throttled": 0.5}, 0.5, "run delay", id="the quota ran out in half of the periods"
        ),
        pytest.param({"cores": 0.98, "throttled": 0.0}, 1.0, None, id="one worker, less than the quota"),
    ],
)
def test_a_block_counts_when_its_workers_had_what_they_may(
    block: Mapping[str, float], most: float, cause: str | None
) -> None:
    assert disturbance(block, most) == cause


def test_a_task_counts_by_the_share_that_falls_into_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    assert compute(20, Window(now - 1, now - 0.5)) is None
    assert wait(0.001, Window(now - 1, now - 0.5)) is None
    whole = compute(20, Window(now - 1, now + 600))
    assert whole is not None
    assert whole.share == 1
    assert whole.seconds >= 0.9 * whole.cpu_seconds > 0

    monkeypatch.setattr(_pools, "time", Clock())
    assert wait(4, Window(3, 600)) == Did(0.25, 4, 0)
    assert wait(4, Window(0, 6)) == Did(0.5, 4, 0)  # it begins at 4


class Clock:
    """A clock that goes on while somebody sleeps, and stands else."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.measures
def test_a_real_pool_does_what_its_block_says() -> None:
    with Pools([1, 3]) as pools:
        for workers in (1, 3):
            block = pools.block(workers, slow_task, 0.02, 1)
            # Each worker can do fifty a second of tasks that sleep for 20 ms, and end the one that it was in.
            assert 0 < block["rate"] <= 51 * workers * 1.01
            assert block["tasks"] >= 1
            assert quantile_in([block["times"]], 0.5) >= 0.019
            assert block["memory"] > 0.1 * workers


def slow_task(span: Window) -> Did | None:
    return wait(0.02, span)


def test_the_memory_of_a_process_that_has_gone_is_none() -> None:
    assert memory_of(2**22 + 1) == 0


@pytest.mark.measures
def test_it_runs_in_a_cell(tmp_path: Any) -> None:
    ran = cells.run(cells.job(["oversubscription"], seconds=0.5, deadline_seconds=60), tmp_path)
    assert ran.data("finish")["outcome"] == "ok", ran.data("finish")["reason"]
    assert ran.reader.faults == []
    (plan,) = [record.data["value"] for record in ran.records if record.kind == "observation"]
    assert plan["default"] in plan["counts"]
    rounds = [record.data["values"] for record in ran.records if record.kind == "sample"]
    names = {name for values in rounds for name in values}
    assert {name_of(payload, workers) for payload in (COMPUTING, WAITING) for workers in plan["counts"]} <= names
    for name in names:  # on a busy machine a short block may be over before its workers have had their turn
        assert any(values[name]["rate"] > 0 for values in rounds if name in values), name
