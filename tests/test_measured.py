"""Claims that rest on a number: from rounds to an estimate, from its interval to a verdict, and what is said of why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from lab.experiments import load
from lab.experiments._claims import CONFIRMED, INCONCLUSIVE, REFUTED, Evidence, Facts, Figure, Finding, Round, Tolerance
from lab.experiments._measured import (
    CAPACITY,
    DELIVERED,
    LEAST_CAPACITY,
    MOST_INFLATION,
    Measured,
    causes_of,
    claim,
    decided,
    enough,
    inflation,
    judge,
    narrow,
    of,
    over,
)
from lab.experiments.gil import CROWD
from lab.stats import Estimate
from tests import scripts

#: A cell with two cores to itself.
PLAIN = Facts(version=(3, 13), gil=True, cpus=2, rate=2.0, host_cpus=2, start_method="fork")

#: How much faster ``new`` was than ``old``.
GAIN = Measured(("new", "old"), over("new", "old"), "it was %.2f times as fast")
LITTLE = Tolerance(None, 1.25, "a quarter")

#: How long ``new`` took.
DURATION = Measured(("new",), of("new", "seconds"), "it took %.1f ms", unit="s")

#: The gil claims that compare several CPUs, and what each says of the rounds of :func:`scripts.gil` as they are.
PARALLEL = {
    "gil.one-core": CONFIRMED,
    "gil.no-speedup": CONFIRMED,
    "gil.processes-scale": CONFIRMED,
    "gil.always-one-core": REFUTED,
}
PINNED = "gil.always-one-core"


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


def gil_rounds(**script: Any) -> list[Round]:
    """Rounds of the gil experiment with two CPUs."""
    return [data["values"] for kind, data in scripts.gil(2, **script) if kind == "sample"]


def changed(rounds: Sequence[Round], arms: Iterable[str], **entries: object) -> list[Round]:
    """The same rounds with other entries in the blocks of these arms."""
    wanted = set(arms)
    return [
        {name: {**block, **entries} if name in wanted else block for name, block in blocks.items()} for blocks in rounds
    ]


def delivered(rounds: Sequence[Round]) -> str:
    """The CPUs that the machine gave in these rounds, as a reason has them."""
    found = CAPACITY.estimate(rounds)
    assert found
    return f"{found.value:.2f}"


def gil(name: str, rounds: Sequence[Round], where: Facts = PLAIN) -> Finding:
    """What the gil experiment's real claim of that name says of these rounds."""
    (real,) = [one for one in load("gil").claims if one.id == name]
    return real.judge(Evidence([], [("round", blocks) for blocks in rounds]), where)


# From rounds to numbers.


def test_every_round_that_counts_gives_one_value_in_order() -> None:
    rounds = [*gains([3, 1]), *gains([9], "lost time"), *gains([2]), {"old": made(1.0)}]
    assert GAIN.values(rounds) == [3, 1, 2]


def test_a_disturbed_arm_that_a_number_does_not_rest_on_costs_no_round() -> None:
    rounds = [{**blocks, "other": made(1.0, "run delay")} for blocks in gains([1, 2])]
    assert GAIN.values(rounds) == [1, 2]


@pytest.mark.parametrize(("count", "known"), [(0, False), (4, False), (5, True)], ids=["none", "four", "five"])
def test_an_estimate_takes_five_values(count: int, known: bool) -> None:
    found = GAIN.estimate(gains([1.5] * count))
    assert (found == Estimate(1.5, 1.5, 1.5, count)) if known else (found is None)


def test_rounds_are_counted_only_where_all_arms_took_part() -> None:
    rounds = [*gains([1, 2, 3]), *gains([4, 5], "run delay"), {"old": made(1.0)}, {"new": made(1.0, "lost time")}]
    assert GAIN.counts(rounds) == (3, 2)
    assert GAIN.counts([]) == (0, 0)


def test_the_ceiling_is_the_median_over_the_rounds_in_which_it_counts_itself() -> None:
    capped = GAIN._replace(ceiling=(("top",), of("top", "rate")))
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
    capped = GAIN._replace(ceiling=(("old",), of("old", "rate")))
    assert found_in(gains([1.0] * 9), capped).ceiling == 100


def test_seconds_are_told_in_milliseconds_and_kept_in_seconds() -> None:
    rounds = [{"new": made(1.0, seconds=0.0052)}] * 6
    finding = found_in(rounds, DURATION, Tolerance(None, 0.01, ""))
    assert (finding.verdict, finding.reason) == (CONFIRMED, "it took 5.2 ms")
    assert (finding.value, finding.low, finding.high, finding.unit) == (0.0052, 0.0052, 0.0052, "s")


def test_a_claim_is_made_with_its_tolerance_and_judged_by_it() -> None:
    one = claim("gain.little", "it gains little", GAIN, LITTLE, lambda facts: CONFIRMED, least_cpus=2)
    assert (one.id, one.statement, one.tolerance, one.least_cpus) == ("gain.little", "it gains little", LITTLE, 2)
    assert one.expected(PLAIN) == CONFIRMED
    assert one.judge(Evidence([], [("round", blocks) for blocks in gains([2.0] * 9)]), PLAIN).verdict == REFUTED


def test_rounds_sampled_under_another_name_are_not_evidence() -> None:
    evidence = Evidence([], [("warm-up", blocks) for blocks in gains([1.0] * 9)])
    assert judge(GAIN, LITTLE)(evidence, PLAIN).reason == "too few undisturbed rounds of 0 (none was taken)"


# What the machine delivered, and what made it less: through the gil experiment's real claims.


@pytest.mark.parametrize("name", PARALLEL)
def test_on_a_quiet_machine_each_parallel_claim_is_decided_beside_what_was_delivered(name: str) -> None:
    rounds = gil_rounds()
    finding = gil(name, rounds)
    assert finding.verdict == PARALLEL[name]
    assert finding.reason.endswith(f"; the machine delivered {delivered(rounds)} CPUs")
    assert float(delivered(rounds)) == pytest.approx(2, rel=0.02)
    assert finding.ceiling == pytest.approx(1 if name == "gil.processes-scale" else 2, rel=0.02)


@pytest.mark.parametrize("name", PARALLEL)
@pytest.mark.parametrize("capacity", [1.0, 1.3], ids=["one CPU", "a little more"])
def test_where_the_machine_gave_little_more_than_one_cpu_nothing_is_decided(name: str, capacity: float) -> None:
    rounds = gil_rounds(delivered=capacity)
    finding = gil(name, rounds)
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason == f"the machine delivered only {delivered(rounds)} of 2 CPUs"
    assert float(delivered(rounds)) == pytest.approx(capacity, rel=0.02)
    assert finding.value is not None  # what was measured is shown all the same


def test_where_the_capacity_may_have_been_too_low_nothing_is_decided() -> None:
    rounds = gil_rounds(delivered=LEAST_CAPACITY + 0.01)
    for number, blocks in enumerate(rounds):
        blocks["probe"]["rate"] *= 0.9 if number % 2 else 1.1
    capacity = CAPACITY.estimate(rounds)
    assert capacity
    assert capacity.low < LEAST_CAPACITY < capacity.value
    assert gil("gil.no-speedup", rounds).verdict == INCONCLUSIVE


@pytest.mark.parametrize("cause", ["lost time", "run delay", "throttling"])
@pytest.mark.parametrize(
    ("name", "arms"),
    [
        pytest.param("gil.one-core", ["probe"], id="the probe"),
        pytest.param("gil.one-core", ["one process"], id="one process"),
        pytest.param("gil.always-one-core", ["probe", "one process"], id="both"),
    ],
)
def test_where_nobody_knows_what_was_delivered_nothing_is_decided(name: str, arms: list[str], cause: str) -> None:
    finding = gil(name, changed(gil_rounds(), arms, disturbed=cause))
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason == f"what the machine delivered is not known ({cause})"
    assert finding.ceiling is None
    assert finding.rejected == 0  # its own rounds were fine


def test_where_the_probe_never_ran_nothing_is_decided() -> None:
    rounds = [{name: block for name, block in blocks.items() if name != "probe"} for blocks in gil_rounds()]
    finding = gil("gil.no-speedup", rounds)
    assert (finding.verdict, finding.reason) == (
        INCONCLUSIVE,
        "what the machine delivered is not known (too little time)",
    )


@pytest.mark.parametrize("cause", ["lost time", "run delay", "throttling"])
@pytest.mark.parametrize("name", PARALLEL)
def test_rounds_that_were_all_disturbed_decide_nothing_and_name_the_cause(name: str, cause: str) -> None:
    finding = gil(name, gil_rounds(disturbed=cause))
    assert finding == Finding(INCONCLUSIVE, f"too few undisturbed rounds of 12 ({cause})", accepted=0, rejected=12)


@pytest.mark.parametrize("cause", ["lost time", "run delay", "throttling"])
@pytest.mark.parametrize("name", PARALLEL)
def test_some_disturbed_rounds_are_left_out_and_the_others_decide(name: str, cause: str) -> None:
    quiet = gil_rounds()
    wild = changed(gil_rounds(threads=9.0), [CROWD.name, *quiet[0]], rate=1e9, cores=99.0, disturbed=cause)
    finding = gil(name, [*wild, *quiet])
    assert finding.verdict == PARALLEL[name]
    assert (finding.accepted, finding.rejected) == (12, 12)
    assert finding._replace(rejected=0) == gil(name, quiet)
    assert cause not in finding.reason


@pytest.mark.parametrize("cause", ["lost time", "run delay", "throttling"])
def test_what_disturbed_an_undecided_claim_is_named(cause: str) -> None:
    finding = gil("gil.no-speedup", [*gil_rounds(threads=1.25), *gil_rounds(disturbed=cause)])
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason.endswith(f"; the interval reaches over the tolerance; disturbed by {cause}")


def shared(factor: float) -> list[Round]:
    """Rounds in which both CPUs were busy all the time, and each CPU second did this many times less work."""
    return changed(gil_rounds(delivered=2 / factor), ["probe"], cores=2.0)


def inflated(rounds: Sequence[Round]) -> str:
    """The clause that names the inflation in these rounds."""
    found = inflation(rounds)
    assert found
    return (
        f"a CPU second did {found.value:.2f} times less work with all CPUs busy (CPU-second inflation: siblings or a"
        " neighbour share the cores)"
    )


@pytest.mark.parametrize("factor", [1.0, 1.25, 1.8])
def test_inflation_is_how_much_less_a_cpu_second_does_with_all_cpus_busy(factor: float) -> None:
    found = inflation(shared(factor))
    assert found
    assert found.value == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("name", PARALLEL)
def test_inflation_that_leaves_less_than_two_cpus_decides_nothing_and_is_named(name: str) -> None:
    rounds = shared(1.8)
    finding = gil(name, rounds)
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason == f"the machine delivered only {delivered(rounds)} of 2 CPUs; {inflated(rounds)}"


@pytest.mark.parametrize("name", PARALLEL)
def test_inflation_that_leaves_enough_is_named_beside_the_verdict(name: str) -> None:
    rounds = shared(1.25)
    finding = gil(name, rounds)
    assert finding.verdict == PARALLEL[name]
    assert finding.reason.endswith(f"; the machine delivered {delivered(rounds)} CPUs; {inflated(rounds)}")


def test_cpu_seconds_that_were_not_given_are_no_inflation() -> None:
    rounds = gil_rounds(delivered=1.2)  # as few CPU seconds as work
    found = inflation(rounds)
    assert found
    assert found.high < MOST_INFLATION
    assert causes_of(rounds, PLAIN) == []


def test_inflation_counts_only_when_its_whole_interval_is_beyond_the_bound() -> None:
    rounds = shared(1.01 * MOST_INFLATION)
    found = inflation(rounds)
    assert found
    assert found.low < MOST_INFLATION < found.value
    assert causes_of(rounds, PLAIN) == []


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param([], id="no round"),
        pytest.param(changed(shared(1.8), ["probe"], disturbed="run delay"), id="all disturbed"),
        pytest.param(shared(1.8)[:4], id="four rounds"),
    ],
)
def test_inflation_is_not_known_from_too_few_rounds(rounds: list[Round]) -> None:
    assert inflation(rounds) is None
    assert causes_of(rounds, PLAIN) == []


def test_a_block_without_a_cpu_second_breaks_nothing() -> None:
    assert inflation(changed(gil_rounds(), ["one process", "probe"], cores=0.0)) is not None


#: What is known of a cell beforehand, and how it is named.
KNOWN: Mapping[str, tuple[Facts, str]] = {
    "siblings": (PLAIN._replace(siblings=((0, 1),)), "CPUs 0, 1 are siblings on one core (SMT)"),
    "two pairs of siblings": (
        PLAIN._replace(cpus=4, siblings=((0, 2), (1, 3))),
        "CPUs 0, 2 are siblings on one core (SMT); CPUs 1, 3 are siblings on one core (SMT)",
    ),
    "hybrid": (PLAIN._replace(kinds=2), "its cores are of 2 kinds (hybrid)"),
}


@pytest.mark.parametrize("name", PARALLEL)
@pytest.mark.parametrize("kind", KNOWN)
def test_siblings_and_kinds_of_cores_are_named_beside_the_verdict(name: str, kind: str) -> None:
    where, clause = KNOWN[kind]
    rounds = gil_rounds()
    finding = gil(name, rounds, where)
    assert finding.verdict == PARALLEL[name]
    assert finding.reason.endswith(f"; the machine delivered {delivered(rounds)} CPUs; {clause}")


@pytest.mark.parametrize("kind", KNOWN)
def test_siblings_and_kinds_of_cores_are_named_where_nothing_is_decided(kind: str) -> None:
    where, clause = KNOWN[kind]
    few = gil_rounds(delivered=1.1)
    little = gil("gil.no-speedup", few, where)
    nothing = gil("gil.no-speedup", gil_rounds(disturbed="throttling"), where)
    across = gil("gil.no-speedup", gil_rounds(threads=1.25), where)
    assert little.verdict == nothing.verdict == across.verdict == INCONCLUSIVE
    assert little.reason == f"the machine delivered only {delivered(few)} of {where.cpus} CPUs; {clause}"
    assert nothing.reason == f"too few undisturbed rounds of 12 (throttling); {clause}"
    assert across.reason.endswith(f"; the interval reaches over the tolerance; {clause}")


ISOLATED = PLAIN._replace(isolated=(0, 1))
MOVES_NOTHING = "CPUs 0, 1 are isolated (isolcpus): the scheduler moves nothing to them"


@pytest.mark.parametrize("name", [name for name in PARALLEL if name != PINNED])
def test_on_isolated_cpus_nothing_is_told_of_workers_that_the_scheduler_places(name: str) -> None:
    finding = gil(name, gil_rounds(), ISOLATED)
    assert (finding.verdict, finding.reason) == (INCONCLUSIVE, f"nothing can be told; {MOVES_NOTHING}")


def test_one_isolated_cpu_is_enough_to_tell_nothing() -> None:
    finding = gil("gil.processes-scale", gil_rounds(), PLAIN._replace(isolated=(1,)))
    assert finding.verdict == INCONCLUSIVE
    assert "CPU 1 is isolated (isolcpus)" in finding.reason


def test_on_isolated_cpus_pinned_workers_are_judged_all_the_same() -> None:
    rounds = gil_rounds()
    finding = gil(PINNED, rounds, ISOLATED)
    assert finding.verdict == PARALLEL[PINNED]
    assert finding.reason.endswith(f"; the machine delivered {delivered(rounds)} CPUs; {MOVES_NOTHING}")


def test_pinned_workers_on_isolated_cpus_still_need_a_machine_that_delivers() -> None:
    rounds = gil_rounds(delivered=1.1)
    finding = gil(PINNED, rounds, ISOLATED)
    assert finding.verdict == INCONCLUSIVE
    assert finding.reason == f"the machine delivered only {delivered(rounds)} of 2 CPUs; {MOVES_NOTHING}"


def test_every_cause_is_named_what_was_measured_before_what_was_known() -> None:
    where = PLAIN._replace(siblings=((0, 1),), kinds=2, isolated=(0, 1))
    rounds = shared(1.8)
    reason = gil("gil.no-speedup", rounds, where).reason
    siblings, hybrid = KNOWN["siblings"][1], KNOWN["hybrid"][1]
    assert reason == f"nothing can be told; {inflated(rounds)}; {siblings}; {hybrid}; {MOVES_NOTHING}"


def test_a_claim_about_one_cpu_at_a_time_is_judged_whatever_the_cores_are() -> None:
    where = PLAIN._replace(siblings=((0, 1),), kinds=2, isolated=(0, 1))
    finding = found_in(gains([1.0] * 9), where=where)
    assert (finding.verdict, finding.reason) == (CONFIRMED, "it was 1.00 times as fast")


# When to stop.


@pytest.mark.parametrize(
    ("found", "width", "expected"),
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
    found: Estimate | None, width: float, expected: bool
) -> None:
    assert narrow(found, width) is expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(Estimate(1.0, 0.9, 1.1, 9), True, id="inside"),
        pytest.param(Estimate(2.0, 1.9, 2.1, 9), True, id="outside"),
        pytest.param(Estimate(1.2, 1.1, 1.3, 9), False, id="across"),
        pytest.param(None, False, id="not known"),
    ],
)
def test_decided_is_wholly_inside_or_wholly_outside(found: Estimate | None, expected: bool) -> None:
    assert decided(found, LITTLE) is expected


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
    measured = Measured((CROWD.name,), of(CROWD.name, "cores"), "", parallel=parallel)
    rounds = changed(gil_rounds(), ["probe"], disturbed=disturbed)
    assert enough(rounds, 10, [(measured, LITTLE)], EVER) is stops
    assert enough(rounds, 10, [(measured, LITTLE)], BY_NOW)
