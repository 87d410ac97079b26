"""Which cells are planned, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.planning import cells as planner
from lab.planning.request import Request, chosen_experiments
from lab.text import names
from tests.support import scripts
from tests.support.machines import simulated


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1,2,4,all", (1, 2, 4, "all")),
        ("all", ("all",)),
        (" 2 , ALL ", (2, "all")),
        ("8,1", (8, 1)),
    ],
)
def test_sizes_are_read_in_the_order_given(text: str, sizes: tuple[int | str, ...]) -> None:
    assert planner.parse_sizes(text) == sizes


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("", "''", id="empty"),
        pytest.param(" ", "' '", id="blank"),
        pytest.param("1,,2", "'1,,2'", id="a hole"),
        pytest.param("1,", "'1,'", id="a comma too many"),
        pytest.param("0", "not 0", id="zero"),
        pytest.param("-1", "not -1", id="negative"),
        pytest.param("two", "'two'", id="a word"),
        pytest.param("1.5", "'1.5'", id="a fraction"),
        pytest.param("1_0", "'1_0'", id="digits with an underscore"),
        pytest.param("+2", "'+2'", id="a sign"),
        pytest.param("0-3,all", "'0-3,all'", id="a range, and all"),
        pytest.param("3-1", "'3-1'", id="a range that runs backwards"),
        pytest.param("ids:", "''", id="no ids"),
        pytest.param("ids:x", "'x'", id="ids that are none"),
        pytest.param("0-9999999", "'0-9999999'", id="more ids than any machine has"),
        pytest.param("2,2", "2 twice", id="twice"),
        pytest.param("2,02", "02 twice", id="twice, written otherwise"),
        pytest.param("all,all", "all twice", id="all twice"),
        pytest.param("9" * 5000, "'99999", id="a number with thousands of digits"),
    ],
)
def test_bad_sizes_get_one_line_with_the_value_and_what_to_give_instead(text: str, seen: str) -> None:
    with pytest.raises(UsageError) as caught:
        planner.parse_sizes(text)
    message = str(caught.value)
    assert seen in message
    assert "--cpus" in message
    assert "give" in message or "name each size once" in message
    assert "\n" not in message
    assert len(message) < 200
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("0-3,8", (0, 1, 2, 3, 8)),
        ("8, 0-1", (0, 1, 8)),
        ("0,2", (0, 2)),
        ("5-5", (5,)),
        ("ids:3", (3,)),
        ("IDS:1,2,4", (1, 2, 4)),
        ("ids:0", (0,)),
    ],
)
def test_a_range_a_zero_among_others_or_the_word_makes_it_a_list_of_ids(text: str, ids: tuple[int, ...]) -> None:
    assert planner.parse_sizes(text) == (ids,)


def test_explicit_ids_are_one_cell_that_says_what_they_are() -> None:
    topology = replace(simulated(4, threads=2), isolated=(3,), offline=(9,), allowed=(0, 1, 2, 3, 4, 5))
    (cell,) = planner.plan(planner.parse_sizes("0,3-4"), topology)
    assert (cell.id, cell.label, cell.size, cell.cpus) == ("cpu3", "3", 3, (0, 3, 4))
    assert cell.notes == (
        "SMT siblings share a core: CPUs 0,4",
        "shares a core with CPU 7, which is not ours",
        "isolated from the scheduler (isolcpus, or a CPU set that is not balanced): CPUs 3; it moves nothing to them",
    )


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ("0-1,9", "CPU 9 is off line"),
        ("8,0,99", "CPUs 8,99 are not on this machine"),
        ("6-7", "CPUs 6-7 are outside this process"),
    ],
)
def test_ids_that_cannot_be_used_are_refused(ids: str, reason: str) -> None:
    topology = replace(simulated(4, threads=2), offline=(9,), allowed=(0, 1, 2, 3, 4, 5))
    with pytest.raises(UsageError, match=rf"--cpus .*: {reason}.*; choose from 0-5"):
        planner.plan(planner.parse_sizes(ids), topology)


def test_cells_are_planned_on_distinct_cores_and_all_means_what_we_may_use_without_isolated_cpus() -> None:
    topology = replace(simulated(4, threads=2), isolated=(3, 7))
    cells = planner.plan((2, 6, "all", 9), topology)
    assert [(cell.label, cell.cpus) for cell in cells] == [("2", (0, 1)), ("6 = all", (0, 1, 2, 4, 5, 6)), ("9", ())]
    assert planner.plan((2,), topology, smt=True)[0].cpus == (0, 4)
    assert cells[2].reason == "needs 9 CPUs, this machine has 8"
    limited = planner.plan((3,), replace(topology, allowed=(0, 1)))
    assert limited[0].reason == "needs 3 CPUs, only 2 of this machine's 8 may be used"


def test_sizes_that_come_to_the_same_are_one_cell() -> None:
    cells = planner.plan((1, 2, 4, "all"), (0, 1))
    assert [(cell.id, cell.label, cell.cpus) for cell in cells] == [
        ("cpu1", "1", (0,)),
        ("cpu2", "2 = all", (0, 1)),
        ("cpu4", "4", ()),
    ]
    assert [cell.available for cell in cells] == [True, True, False]
    assert cells[-1].reason == "needs 4 CPUs, this machine has 2"


def test_all_alone_is_labelled_with_its_number() -> None:
    assert [cell.label for cell in planner.plan(("all",), range(6))] == ["6 = all"]


def test_a_size_that_happens_to_be_all_is_not_called_so_unless_all_was_asked_for() -> None:
    assert [cell.label for cell in planner.plan((2,), (0, 1))] == ["2"]


def test_ids_with_gaps_are_taken_as_they_are() -> None:
    cells = planner.plan((1, 2, "all"), (7, 2, 5))
    assert [cell.cpus for cell in cells] == [(2,), (2, 5), (2, 5, 7)]
    assert names.full_words(cells[1]) == "2 CPUs (2,5)"


def test_a_cell_that_is_not_there_is_described_without_ids() -> None:
    (cell,) = planner.plan((4,), (0,))
    assert names.full_words(cell) == "4 CPUs"


def test_in_a_quick_run_only_the_largest_cells_of_each_build_run_everything() -> None:
    planned = planner.across(planner.plan((1, 2, 4), (0, 1)), ("3.13", "3.14"))
    cells = planner.narrowed(planned, ("pool",))
    assert {cell.id: cell.experiments for cell in cells if cell.available} == {
        planned[0].id: ("pool",),
        planned[1].id: ("pool",),
        planned[2].id: (),
        planned[3].id: (),
    }
    alone = planner.plan((1,), (0, 1))
    assert planner.narrowed(alone, ("pool",)) == alone


@pytest.mark.parametrize(
    ("level", "named", "in_small_cells"),
    [("quick", (), ("pool",)), ("default", (), ()), ("quick", ("gil", "pool"), ())],
)
def test_small_cells_have_less_to_run_only_where_it_is_quick_and_no_experiment_is_named(
    level: str, named: tuple[str, ...], in_small_cells: tuple[str, ...]
) -> None:
    request = Request(experiments=chosen_experiments(named), seconds=1.0, width=0.1, level=level, cpus="1,2")
    small, large = request.cells(scripts.machine(2))
    assert (small.experiments, large.experiments) == (in_small_cells, ())
    assert request.experiments_in(small) == (in_small_cells or request.experiments)
    assert request.experiments_in(large) == request.experiments


@given(
    st.lists(st.one_of(st.integers(1, 40), st.just("all")), min_size=1, unique=True),
    st.sets(st.integers(0, 200), min_size=1, max_size=32),
)
def test_every_size_becomes_exactly_one_cell_with_that_many_cpus_of_the_machine(
    sizes: list[int | str], cpus: set[int]
) -> None:
    cells = planner.plan(sizes, tuple(cpus))
    wanted = {len(cpus) if size == "all" else int(size) for size in sizes}
    assert [cell.size for cell in cells] == sorted(wanted)
    assert len({cell.id for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.available == (cell.size <= len(cpus))
        assert len(cell.cpus) == (cell.size if cell.available else 0)
        assert set(cell.cpus) <= cpus
