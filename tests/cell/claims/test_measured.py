"""Claims that rest on a number: from rounds to an estimate, from its interval to a verdict, and what is said of why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from lab.cell.claims.claim import CONFIRMED, INCONCLUSIVE, REFUTED, Evidence, Facts, Figure, Finding, Round, Tolerance
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import (
    CAPACITY,
    DELIVERED,
    Measured,
    claim,
    decided,
    enough,
    judge,
    narrow,
    over,
    value_of,
)
from lab.cell.experiments.gil import CROWD
from tests.support.gil_rounds import PLAIN, changed, gil_rounds

#: How much faster ``new`` was than ``old``.
GAIN = Measured(("new", "old"), over("new", "old"), lambda times: f"it was {times:.2f} times as fast")
LITTLE = Tolerance(None, 1.25, "a quarter")

#: How long ``new`` took.
DURATION = Measured(("new",), value_of("new", "seconds"), lambda seconds: f"it took {1e3 * seconds:.1f} ms", unit="s")


def made(rate: float, disturbed: str | None = None, **more: float) -> dict[str, Any]:
    """A block."""
    return {"rate": rate, "cores": 1.0, "disturbed": disturbed, **more}


def gains(values: Iterable[float], disturbed: str | None = None) -> list[Round]:
    """Rounds in which ``new`` was this many times as fast as ``old``; ``disturbed`` is what befell ``new``."""
    return [{"old": made(100.0), "new": made(100 * value, disturbed)} for value in values]


def found_in(
    rounds: Sequence[Round], measured: Measured = GAIN, tolerance: Tolerance = LITTLE, where: Facts = PLAIN
) -> Finding:
    """What a claim resting on this number says of these rounds."""
    return judge(measured, tolerance)(Evidence([], [("round", blocks) for blocks in rounds]), where)


# From rounds to numbers.


def test_every_round_that_counts_gives_one_value_in_order() -> None:
    rounds = [*gains([3, 1]), *gains([9], "lost time"), *gains([2]), {"old": made(1.0)}]
    assert GAIN.values(rounds) == [3, 1, 2]


def test_a_disturbed_arm_that_a_number_does_not_rest_on_costs_no_round() -> None:
    rounds = [{**blocks, "other": made(1.0, "run delay")} for blocks in gains([1, 2])]
    assert GAIN.values(rounds) == [1, 2]


@pytest.mark.parametrize(("count", "known"), [(0, False), (4, False), (5, True)], ids=["none", "four", "five"])
def test_an_estimate_takes_five_values(count: int, known: bool) -> None:
    estimate = GAIN.estimate(gains([1.5] * count))
    assert (estimate == Estimate(1.5, 1.5, 1.5, count)) if known else (estimate is None)


def test_rounds_are_counted_only_where_all_arms_took_part() -> None:
    rounds = [*gains([1, 2, 3]), *gains([4, 5], "run delay"), {"old": made(1.0)}, {"new": made(1.0, "lost time")}]
    assert GAIN.counts(rounds) == (3, 2)
    assert GAIN.counts([]) == (0, 0)


def test_the_ceiling_is_the_median_over_the_rounds_in_which_it_counts_itself() -> None:
    capped = GAIN._replace(ceiling=(("top",), value_of("top", "rate")))
    rounds = [
        {**blocks, "top": made(top, disturbed)}
        for blocks, top, disturbed in zip(
            gains([1] * 4, "lost time"), (5.0, 7.0, 9.0, 99.0), (None, None, None, "run delay"), strict=True
        )
    ]
    assert capped.values(rounds) == []
    assert capped.highest(rounds) == 7


@pytest.mark.parametrize(
    ("measured", "rounds"),
    [
        pytest.param(GAIN, gains([1] * 9), id="it has none"),
        pytest.param(GAIN._replace(ceiling=DELIVERED), gains([1] * 9), id="not measured"),
        pytest.param(CAPACITY._replace(ceiling=DELIVERED), gil_rounds(disturbed="lost time"), id="always disturbed"),
        pytest.param(CAPACITY._replace(ceiling=DELIVERED), [], id="no round"),
    ],
)
def test_without_a_round_to_take_it_from_there_is_no_ceiling(measured: Measured, rounds: list[Round]) -> None:
    assert measured.highest(rounds) is None


def test_a_row_of_a_table_has_the_estimate_the_unit_and_the_rounds() -> None:
    rounds = [{"new": made(1.0, seconds=0.002)}] * 6 + [{"new": made(1.0, "run delay", seconds=0.9)}]
    assert DURATION.figure("once", rounds) == Figure("once", Estimate(0.002, 0.002, 0.002, 6), "s", 6, 1)
    assert DURATION.figure("once", rounds[:4]).found is None


# From numbers to verdicts.


@pytest.mark.parametrize(
    ("value", "tolerance", "verdict"),
    [
        pytest.param(1.0, LITTLE, CONFIRMED, id="inside"),
        pytest.param(1.9, LITTLE, REFUTED, id="above"),
        pytest.param(0.2, Tolerance(0.5, 1.5, ""), REFUTED, id="below"),
        pytest.param(1.25, LITTLE, INCONCLUSIVE, id="across the upper bound"),
        pytest.param(0.5, Tolerance(0.5, 1.5, ""), INCONCLUSIVE, id="across the lower bound"),
    ],
)
def test_the_interval_decides(value: float, tolerance: Tolerance, verdict: str) -> None:
    finding = found_in(gains([value - 0.05, value, value + 0.05] * 4), tolerance=tolerance)
    assert finding.verdict == verdict
    assert finding.reason.startswith(f"it was {value:.2f} times as fast")
    assert finding.value == pytest.approx(value)
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low <= value <= finding.high
    assert (finding.accepted, finding.rejected, finding.unit, finding.ceiling) == (12, 0, "", None)


def test_a_decided_number_is_stated_and_nothing_else() -> None:
    assert found_in(gains([1.0] * 9)).reason == "it was 1.00 times as fast"


def test_an_interval_over_the_tolerance_says_so_and_names_what_disturbed_it_the_most_frequent_first() -> None:
    rounds = [*gains([1.0, 1.25, 1.5] * 4), *gains([1.0], "lost time"), *gains([1.0, 1.0], "run delay")]
    finding = found_in(rounds)
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason == (
        "it was 1.25 times as fast; the interval reaches over the tolerance; disturbed by run delay; disturbed by lost"
        " time"
    )
    assert (finding.accepted, finding.rejected) == (12, 3)


def test_an_interval_over_the_tolerance_in_quiet_rounds_blames_nobody() -> None:
    reason = found_in(gains([1.0, 1.25, 1.5] * 4)).reason
    assert reason == "it was 1.25 times as fast; the interval reaches over the tolerance"


@pytest.mark.parametrize(
    ("rounds", "reason", "counts"),
    [
        pytest.param([], "too few undisturbed rounds of 0 (none was taken)", (0, 0), id="none"),
        pytest.param(gains([1.0] * 4), "too few undisturbed rounds of 4 (too little time)", (4, 0), id="four"),
        pytest.param(
            [*gains([1.0] * 4), *gains([1.0] * 3, "throttling")],
            "too few undisturbed rounds of 7 (throttling)",
            (4, 3),
            id="four of seven",
        ),
        pytest.param(
            [*gains([1.0] * 3, "run delay"), *gains([1.0] * 4, "lost time")],
            "too few undisturbed rounds of 7 (lost time, run delay)",
            (0, 7),
            id="none of seven, for two causes",
        ),
        pytest.param(
            [{"old": made(1.0)}] * 9, "too few undisturbed rounds of 0 (too little time)", (0, 0), id="another arm's"
        ),
    ],
)
def test_too_few_rounds_decide_nothing_and_say_why(rounds: list[Round], reason: str, counts: tuple[int, int]) -> None:
    finding = found_in(rounds)
    assert finding == Finding(INCONCLUSIVE, reason, accepted=counts[0], rejected=counts[1])


def test_the_finding_has_the_ceiling() -> None:
    capped = GAIN._replace(ceiling=(("old",), value_of("old", "rate")))
    assert found_in(gains([1.0] * 9), capped).ceiling == 100


def test_seconds_are_told_in_milliseconds_and_kept_in_seconds() -> None:
    rounds = [{"new": made(1.0, seconds=0.0052)}] * 6
    finding = found_in(rounds, DURATION, Tolerance(None, 0.01, ""))
    assert (finding.verdict, finding.reason) == (CONFIRMED, "it took 5.2 ms")
    assert (finding.value, finding.low, finding.high, finding.unit) == (0.0052, 0.0052, 0.0052, "s")


def test_a_claim_is_made_with_its_tolerance_and_judged_by_it() -> None:
    gain_claim = claim("gain.little", "it gains little", GAIN, LITTLE, lambda facts: CONFIRMED, least_cpus=2)
    assert (gain_claim.id, gain_claim.statement, gain_claim.tolerance, gain_claim.least_cpus) == (
        "gain.little",
        "it gains little",
        LITTLE,
        2,
    )
    assert gain_claim.expected(PLAIN) == CONFIRMED
    assert gain_claim.judge(Evidence([], [("round", blocks) for blocks in gains([2.0] * 9)]), PLAIN).verdict == REFUTED


def test_rounds_sampled_under_another_name_are_not_evidence() -> None:
    evidence = Evidence([], [("warm-up", blocks) for blocks in gains([1.0] * 9)])
    assert judge(GAIN, LITTLE)(evidence, PLAIN).reason == "too few undisturbed rounds of 0 (none was taken)"


def test_a_claim_about_one_cpu_at_a_time_is_judged_whatever_the_cores_are() -> None:
    where = PLAIN._replace(siblings=((0, 1),), kinds=2, isolated=(0, 1))
    finding = found_in(gains([1.0] * 9), where=where)
    assert (finding.verdict, finding.reason) == (CONFIRMED, "it was 1.00 times as fast")


# When to stop.


@pytest.mark.parametrize(
    ("estimate", "width", "expected"),
    [
        pytest.param(Estimate(2.0, 1.9, 2.1, 9), 0.06, True, id="narrower"),
        pytest.param(Estimate(2.0, 1.5, 2.5, 9), 0.25, True, id="just as wide"),
        pytest.param(Estimate(2.0, 1.9, 2.1, 9), 0.04, False, id="wider"),
        pytest.param(Estimate(2.0, 2.0, 2.2, 9), 0.06, True, id="to one side only"),
        pytest.param(Estimate(2.0, 2.0, 2.0, 9), 0.001, True, id="without width"),
        pytest.param(Estimate(2.0, -math.inf, math.inf, 1), 0.5, False, id="without bounds"),
        pytest.param(None, 0.5, False, id="not known"),
    ],
)
def test_an_interval_is_narrow_by_its_half_width_as_a_share(
    estimate: Estimate | None, width: float, expected: bool
) -> None:
    assert narrow(estimate, width) is expected


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        pytest.param(Estimate(1.0, 0.9, 1.1, 9), True, id="inside"),
        pytest.param(Estimate(2.0, 1.9, 2.1, 9), True, id="outside"),
        pytest.param(Estimate(1.2, 1.1, 1.3, 9), False, id="across"),
        pytest.param(None, False, id="not known"),
    ],
)
def test_decided_is_wholly_inside_or_wholly_outside(estimate: Estimate | None, expected: bool) -> None:
    assert decided(estimate, LITTLE) is expected


EVER, BY_NOW = math.inf, 0.0


@pytest.mark.parametrize(
    ("values", "until", "stops"),
    [
        pytest.param([1.0] * 9, EVER, False, id="decided, too few rounds"),
        pytest.param([1.0] * 9, BY_NOW, False, id="decided and time is up, too few rounds"),
        pytest.param([1.25] * 9, BY_NOW, False, id="time is up, too few rounds"),
        pytest.param([1.0] * 10, EVER, True, id="decided"),
        pytest.param([2.0] * 10, EVER, True, id="decided the other way"),
        pytest.param([1.0, 1.25, 1.5] * 4, EVER, False, id="undecided"),
        pytest.param([1.0, 1.25, 1.5] * 4, BY_NOW, True, id="undecided and time is up"),
    ],
)
def test_it_is_enough_after_the_fewest_rounds_when_decided_or_when_time_is_up(
    values: list[float], until: float, stops: bool
) -> None:
    assert enough(gains(values), 10, [(GAIN, LITTLE)], until) is stops


def test_it_is_enough_only_when_every_claim_is_decided() -> None:
    rounds = gains([1.0] * 10)
    closer = (GAIN, Tolerance(None, 0.9, ""))
    unknown = (DURATION._replace(arms=("never",)), LITTLE)
    assert enough(rounds, 10, [(GAIN, LITTLE), closer], EVER)
    assert not enough(rounds, 10, [(GAIN, LITTLE), unknown], EVER)
    assert enough(rounds, 10, [(GAIN, LITTLE), unknown], BY_NOW)


def test_rounds_that_were_disturbed_count_among_the_fewest_but_decide_nothing() -> None:
    rounds = gains([1.0] * 10, "lost time")
    assert not enough(rounds, 10, [(GAIN, LITTLE)], EVER)
    assert enough(rounds, 10, [(GAIN, LITTLE)], BY_NOW)


@pytest.mark.parametrize(
    ("disturbed", "parallel", "stops"),
    [
        pytest.param(None, True, True, id="known"),
        pytest.param("run delay", True, False, id="not known"),
        pytest.param("run delay", False, True, id="not known and not needed"),
    ],
)
def test_it_is_not_enough_while_a_parallel_claim_waits_for_the_capacity(
    disturbed: str | None, parallel: bool, stops: bool
) -> None:
    measured = Measured((CROWD.name,), value_of(CROWD.name, "cores"), parallel=parallel)
    rounds = changed(gil_rounds(), ["probe"], disturbed=disturbed)
    assert enough(rounds, 10, [(measured, LITTLE)], EVER) is stops
    assert enough(rounds, 10, [(measured, LITTLE)], BY_NOW)
