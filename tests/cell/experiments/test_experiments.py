"""The experiments' predicates: what evidence confirms, refutes or decides nothing, and what is expected where."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cell.claims import cpython
from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Evidence,
    Facts,
    Finding,
    Round,
    decide,
    disturbances,
    estimate_or_none,
    holds,
    undisturbed,
)
from lab.cell.claims.estimates import estimate
from lab.cell.claims.recorder import here
from lab.cell.experiments import in_order, load, names, pool, race, usual
from lab.cell.measuring import contention, overlap
from lab.errors import UsageError
from lab.planning.request import chosen_experiments


def facts(version: tuple[int, int] = (3, 13), *, gil: bool = True, cpus: int = 2, rate: float | None = None) -> Facts:
    """A cell with these CPUs on a host with four."""
    return Facts(
        version=version,
        gil=gil,
        cpus=cpus,
        rate=float(cpus) if rate is None else rate,
        host_cpus=4,
    )


def claim(name: str) -> Claim:
    (match,) = [candidate for candidate in load(name.partition(".")[0]).claims if candidate.id == name]
    return match


def judged(
    name: str, observed: Mapping[str, object] | Sequence[tuple[str, object]], where: Facts | None = None
) -> Finding:
    """What the claim's predicate says of these observations."""
    pairs = list(observed.items()) if isinstance(observed, Mapping) else list(observed)
    return claim(name).judge(Evidence(pairs, []), where or facts())


def test_the_tutorials_order_comes_first_and_holds_every_experiment() -> None:
    assert sorted(in_order()) == names()
    assert in_order()[:3] == ["process", "pool", "queue"]


def test_extra_experiments_do_not_run_unless_they_are_asked_for() -> None:
    assert usual() == [name for name in in_order() if not load(name).extra]
    assert "gil" in usual()
    assert "sawtooth" not in usual()
    assert chosen_experiments([]) == tuple(usual())
    assert chosen_experiments(["all"]) == chosen_experiments(["pool", "all"]) == tuple(in_order())
    assert chosen_experiments(["sawtooth", "pool", "pool"]) == ("pool", "sawtooth")
    with pytest.raises(UsageError, match="no experiment 'nonsense'"):
        chosen_experiments(["all", "nonsense"])


@pytest.mark.parametrize(
    ("values", "verdict", "reason"),
    [
        pytest.param([True], CONFIRMED, "yes", id="yes"),
        pytest.param([True, True], CONFIRMED, "yes", id="always yes"),
        pytest.param([False], REFUTED, "no", id="no"),
        pytest.param([True, False], INCONCLUSIVE, "1 of 2 tries said yes", id="sometimes"),
        pytest.param([None], INCONCLUSIVE, "no try could tell", id="nobody knows"),
        pytest.param([None, False], REFUTED, "no", id="one try could not tell"),
    ],
)
def test_yes_or_no_observations(values: list[bool | None], verdict: str, reason: str) -> None:
    evidence = Evidence([("it", value) for value in values], [])
    assert holds("it", "yes", "no")(evidence, facts())[:2] == (verdict, reason)


def test_evidence_that_is_missing_is_an_error_and_not_a_verdict() -> None:
    evidence = Evidence([("is", 1), ("is", 2)], [("round", {})])
    for look in (evidence.last, lambda name: holds(name, "yes", "no")(evidence, facts())):
        with pytest.raises(LookupError, match=r"looked for 'it'; observed: 'is', 'round'"):
            look("it")


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, CONFIRMED), (2.0, REFUTED), (1.5, INCONCLUSIVE)], ids=["inside", "outside", "across"]
)
def test_a_tolerance_decides_only_when_the_interval_is_wholly_on_one_side(value: float, verdict: str) -> None:
    values = [value + wobble for wobble in (-0.2, -0.1, 0.0, 0.1, 0.2, -0.2, -0.1, 0.1, 0.2)]
    assert decide(estimate(values), None, 1.5) == verdict


def test_a_few_values_have_no_interval() -> None:
    assert estimate_or_none([1.0] * 4) is None
    assert estimate_or_none([1.0] * 5) is not None


def test_rounds_in_which_an_arm_was_disturbed_do_not_count() -> None:
    def blocks(**arms: str | None) -> Round:
        return {arm: {"disturbed": cause} for arm, cause in arms.items()}

    rounds = [
        blocks(a=None, b=None),
        blocks(a="run delay", b="lost time"),
        blocks(a=None, b="lost time"),
        blocks(a=None),
    ]
    assert undisturbed(rounds, "a", "b") == rounds[:1]
    assert undisturbed(rounds, "a") == [rounds[0], rounds[2], rounds[3]]
    assert disturbances(rounds, "a", "b") == ["lost time", "run delay"]


def test_the_voice_names_a_cpu_that_this_process_may_use() -> None:
    assert here()["cpu"] in os.sched_getaffinity(0)
    assert here()["thread"] == "MainThread"


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        pytest.param([(0, 1)], 1, id="alone"),
        pytest.param([(0, 2), (1, 3)], 2, id="overlapping"),
        pytest.param([(0, 1), (1, 2)], 1, id="one ends as the other begins"),
        pytest.param([(0, 9), (1, 2), (3, 4), (3.5, 5)], 3, id="within another"),
    ],
)
def test_most_at_once_counts_spans_with_a_common_moment(spans: list[tuple[float, float]], most: int) -> None:
    assert overlap.most_at_once(spans) == most


def test_a_try_in_which_only_two_of_three_children_overlapped_decides_nothing() -> None:
    assert judged("process.concurrent", {"all at once": None}).verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("own", "parent", "verdict"),
    [(True, True, CONFIRMED), (False, True, REFUTED), (True, False, REFUTED)],
    ids=["own pid, right parent", "shared pid", "wrong parent"],
)
def test_pids(own: bool, parent: bool, verdict: str) -> None:
    assert judged("process.own-pid", {"own pid": own, "knows its parent": parent}).verdict == verdict


@pytest.mark.parametrize(
    ("version", "cpus", "rate", "workers", "verdict"),
    [
        pytest.param((3, 12), 2, 2.0, 4, REFUTED, id="3.12 counts the host's CPUs"),
        pytest.param((3, 12), 4, 4.0, 4, CONFIRMED, id="3.12, which has them all"),
        pytest.param((3, 13), 2, 2.0, 2, CONFIRMED, id="3.13 counts its own"),
        pytest.param((3, 13), 2, 1.5, 2, REFUTED, id="3.13 does not see a quota"),
        pytest.param((3, 13), 2, 2.0, 2, CONFIRMED, id="3.13 with a quota as large"),
        pytest.param((3, 9), 4, 0.5, 4, REFUTED, id="3.9 with half a CPU"),
    ],
)
def test_pools_default_size_is_judged_against_the_rate_and_expected_by_version(
    version: tuple[int, int], cpus: int, rate: float, workers: int, verdict: str
) -> None:
    where = facts(version, cpus=cpus, rate=rate)
    finding = judged("pool.default-size", {"default workers": workers}, where)
    assert finding.verdict == verdict == pool.expect_default_size(where)
    assert f"started {workers} for {rate:g} CPU" in finding.reason


@pytest.mark.parametrize(
    ("most", "worked", "verdict"),
    [(3, 3, CONFIRMED), (2, 3, CONFIRMED), (4, 3, REFUTED), (3, 2, INCONCLUSIVE)],
    ids=["full", "never full", "too many at once", "one idle"],
)
def test_waves(most: int, worked: int, verdict: str) -> None:
    assert judged("pool.waves", {"most tasks at once": most, "workers that worked": worked}).verdict == verdict


@pytest.mark.parametrize(
    ("without", "inside", "verdict"),
    [(False, True, CONFIRMED), (False, False, REFUTED), (True, True, INCONCLUSIVE)],
    ids=["alone", "not alone", "never met anyway"],
)
def test_a_lock_is_judged_only_where_processes_meet_without_it(without: bool, inside: bool, verdict: str) -> None:
    assert judged("queue.lock-excludes", {"alone without a lock": without, "alone inside": inside}).verdict == verdict


@pytest.mark.parametrize(
    ("outlived", "terminated", "verdict"),
    [(True, True, CONFIRMED), (False, True, REFUTED), (True, False, REFUTED)],
    ids=["both", "ended by itself", "outlived terminate"],
)
def test_the_endless_reader(outlived: bool, terminated: bool, verdict: str) -> None:
    seen = {"outlived the writer": outlived, "terminated": terminated, "sentinel ended it": True}
    assert judged("queue.reader-needs-terminate", seen).verdict == verdict


@pytest.mark.parametrize(
    ("worked", "verdict"),
    [([True, True], REFUTED), ([True, False], REFUTED), ([False, False], CONFIRMED), ([], INCONCLUSIVE)],
    ids=["everywhere", "somewhere", "nowhere", "not tried"],
)
def test_whether_a_manager_is_needed(worked: list[bool], verdict: str) -> None:
    observed = [pair for outcome in worked for pair in (("inherited worked", outcome), ("start method tried", "fork"))]
    assert judged("manager.needed", observed).verdict == verdict


def updates(lost: int = 0, hand_overs: int = 200) -> dict[str, Any]:
    return {"made": 1000, "lost": lost, "hand_overs": hand_overs, "shares": [lost / 1000] * 6}


@pytest.mark.parametrize(
    ("plain", "between", "verdict"),
    [
        pytest.param(updates(), updates(100), CONFIRMED, id="only the longer statement"),
        pytest.param(updates(1), updates(), CONFIRMED, id="only the plain one"),
        pytest.param(updates(), updates(), INCONCLUSIVE, id="nothing lost in many hand-overs"),
        pytest.param(updates(), updates(0, 99), INCONCLUSIVE, id="nothing lost in few hand-overs"),
    ],
)
def test_losing_updates(plain: dict[str, Any], between: dict[str, Any], verdict: str) -> None:
    assert judged("race.unlocked-loses", {"n += 1": plain, "read; call; write": between}).verdict == verdict


@pytest.mark.parametrize(
    ("seen", "plain", "locked"),
    [
        (updates(7), CONFIRMED, REFUTED),
        (updates(), REFUTED, CONFIRMED),
        (updates(0, 99), INCONCLUSIVE, INCONCLUSIVE),
    ],
    ids=["lost", "kept", "too few hand-overs"],
)
def test_a_loss_confirms_the_race_and_refutes_the_lock(seen: dict[str, Any], plain: str, locked: str) -> None:
    assert judged("race.plain-loses", {"n += 1": seen}).verdict == plain
    assert judged("race.lock-keeps", {"with lock: n += 1": seen}).verdict == locked


def test_without_a_gil_a_loss_that_was_not_seen_is_not_refuted() -> None:
    where = facts((3, 13), gil=False)
    assert judged("race.plain-loses", {"n += 1": updates()}, where).verdict == INCONCLUSIVE
    assert judged("race.plain-loses", {"n += 1": updates(1)}, where).verdict == CONFIRMED
    assert judged("race.lock-keeps", {"with lock: n += 1": updates()}, where).verdict == CONFIRMED


@pytest.mark.parametrize(
    ("run", "unasked", "verdict"),
    [((9, 0, 99), False, False), ((9, 5, 99), False, False), ((9, 0, 100), False, True), ((9, 5, 3), True, True)],
)
def test_how_long_a_race_is_run(run: tuple[int, int, int], unasked: bool, verdict: bool) -> None:
    assert race.enough([run], unasked) is verdict


def test_threads_that_run_one_after_the_other_have_handed_nothing_over(monkeypatch: pytest.MonkeyPatch) -> None:
    both, now = threading.Barrier(2), [0.0]
    monkeypatch.setattr(contention, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def update(number: int) -> int:
        both.wait()  # each of them once
        now[0] = 1.0
        return 1

    assert contention.contend_for(update, 0.1, 0.005) == (2, 0)


def test_zero_among_many_hand_overs_bounds_the_rate() -> None:
    finding = judged("race.plain-loses", {"n += 1": updates(0, 300)})
    assert finding.low == 0
    assert finding.high == pytest.approx(0.01)
    assert "below 0.01 each" in finding.reason


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (facts((3, 9)), CONFIRMED),
        (facts((3, 10)), REFUTED),
        (facts((3, 14), gil=False), CONFIRMED),
        (facts((3, 14), gil=False, cpus=1), CONFIRMED),
    ],
    ids=["3.9", "3.10", "free-threaded", "free-threaded on one CPU"],
)
def test_where_a_plain_increment_is_expected_to_lose(where: Facts, expected: str | None) -> None:
    assert cpython.expect_plain_update_loses(where) == expected


@pytest.mark.parametrize(
    ("inside", "verdict"), [(False, REFUTED), (True, CONFIRMED)], ids=["a thread's name", "MainThread"]
)
def test_the_name_after_a_fork_from_a_thread(inside: bool, verdict: str) -> None:
    seen = {"forked name": "x", "forked in MainThread": inside}
    assert judged("threads.main-after-fork", seen).verdict == verdict
