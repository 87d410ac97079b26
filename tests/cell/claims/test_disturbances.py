"""What the machine delivered, and what made it less: through the gil experiment's real claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from lab.cell.claims.claim import INCONCLUSIVE, REFUTED, Facts, Finding, Round
from lab.cell.claims.measured import CAPACITY, LEAST_CAPACITY, MOST_INFLATION, causes_of, inflation
from lab.cell.experiments.gil import CROWD
from tests.support.gil_rounds import PARALLEL, PINNED, PLAIN, changed, delivered, gil, gil_rounds


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


def test_a_machine_that_gives_its_cpus_for_moments_only_does_not_make_threads_use_one_core() -> None:
    where = PLAIN._replace(gil=False)
    rounds = gil_rounds(threads=1.9)
    assert gil("gil.one-core", rounds, where).verdict == REFUTED
    # A quota that nothing in the cell shows stops the long blocks, and lets short ones through.
    capped = changed(rounds, ["100 threads"], cores=1.0)
    finding = gil("gil.one-core", capped, where)
    assert finding.verdict == INCONCLUSIVE
    assert "hidden quota" in finding.reason


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
    estimate = inflation(rounds)
    assert estimate
    return (
        f"a CPU second did {estimate.value:.2f} times less work with all CPUs busy (CPU-second inflation: siblings or a"
        " neighbour share the cores)"
    )


@pytest.mark.parametrize("factor", [1.0, 1.25, 1.8])
def test_inflation_is_how_much_less_a_cpu_second_does_with_all_cpus_busy(factor: float) -> None:
    estimate = inflation(shared(factor))
    assert estimate
    assert estimate.value == pytest.approx(factor, rel=0.02)


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
    estimate = inflation(rounds)
    assert estimate
    assert estimate.high < MOST_INFLATION
    assert causes_of(rounds, PLAIN) == []


def test_inflation_counts_only_when_its_whole_interval_is_beyond_the_bound() -> None:
    rounds = shared(1.01 * MOST_INFLATION)
    estimate = inflation(rounds)
    assert estimate
    assert estimate.low < MOST_INFLATION < estimate.value
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
MOVES_NOTHING = (
    "CPUs 0, 1 are isolated (isolcpus, or a CPU set that is not balanced): the scheduler moves nothing to them"
)


@pytest.mark.parametrize("name", [name for name in PARALLEL if name != PINNED])
def test_on_isolated_cpus_nothing_is_told_of_workers_that_the_scheduler_places(name: str) -> None:
    finding = gil(name, gil_rounds(), ISOLATED)
    assert (finding.verdict, finding.reason) == (INCONCLUSIVE, f"nothing can be told; {MOVES_NOTHING}")


def test_one_isolated_cpu_is_enough_to_tell_nothing() -> None:
    finding = gil("gil.processes-scale", gil_rounds(), PLAIN._replace(isolated=(1,)))
    assert finding.verdict == INCONCLUSIVE
    assert "CPU 1 is isolated (isolcpus, or a CPU set that is not balanced)" in finding.reason


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
