"""Programs as the command line names them: their parameters, their turns, their shares of the runs."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.cell.programs.program import Program
from lab.errors import UsageError
from lab.model.cell import Cell, Limit
from lab.model.room import Mount, Room
from lab.planning.programs import (
    Workload,
    check_runs,
    compared,
    parse_codes,
    parse_memory,
    parse_parameters,
    with_parameters,
    workload_from_stored,
)

PROGRAM = Program(label="it", words=("make", "-j{n}"))
CELLS = [Cell(id=f"cpu{size}", limit=Limit(cpus=size), size=size, cpus=tuple(range(size))) for size in (1, 2, 4)]


def test_every_limit_has_a_cell_in_every_turn_and_no_limit_always_comes_first() -> None:
    cells = Workload(programs=(PROGRAM,)).cells(CELLS, seed=1)
    assert [cell.turn for cell in cells] == sorted([1, 2, 3, 4, 5] * 3)
    assert Counter(cell.id.partition(".")[0] for cell in cells) == {"cpu1": 5, "cpu2": 5, "cpu4": 5}
    assert len({cell.id for cell in cells}) == 15
    assert len({cells[place].limit for place in range(0, 15, 3)}) > 1


def test_a_cell_that_the_machine_lacks_stays_as_it_is() -> None:
    lacking = Cell(id="cpu8", limit=Limit(cpus=8), size=8, reason="needs 8 CPUs")
    assert Workload(programs=(PROGRAM,)).cells([*CELLS, lacking], seed=1)[-1] == lacking


@pytest.mark.parametrize("runs", [1, 3, 5, 7, 10, 101])
def test_the_turns_share_the_runs(runs: int) -> None:
    workload = Workload(programs=(PROGRAM,), runs=runs)
    shares = [workload.in_turn(turn)[0].most_runs for turn in range(1, workload.turns + 1)]
    assert sum(share or 0 for share in shares) == runs
    assert min(share or 0 for share in shares) >= 1


def test_without_a_number_a_turn_has_runs_and_seconds() -> None:
    (program,) = Workload(programs=(PROGRAM,)).in_turn(1)
    assert (program.least_runs, program.most_runs, program.seconds) == (2, None, 0.6)


def test_a_workload_comes_back_from_its_session() -> None:
    room = Room(mounts=(Mount("/data", True),), network="net", entrypoint="")
    workload = Workload(programs=(PROGRAM,), runs=3, room=room)
    assert workload_from_stored(workload.to_stored()) == workload


def test_each_combination_of_parameters_is_a_program() -> None:
    program = PROGRAM._replace(prepare="clean {n} {x}", words=("make", "-j{n}", "{other}"))
    programs = with_parameters(program, parse_parameters([["n", "1,2"], ["x", "a,b"]]))
    assert [each.label for each in programs] == ["it, n=1, x=a", "it, n=1, x=b", "it, n=2, x=a", "it, n=2, x=b"]
    assert programs[2].words == ("make", "-j2", "{other}")
    assert programs[2].prepare == "clean 2 a"


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([["n n", "1"]], "is no name"),
        ([["n", "1,1"]], "has the value '1' twice"),
        ([["n", "1"], ["n", "2"]], "names n twice"),
        ([["m", "1"]], "the command has no {m}"),
    ],
)
def test_a_wrong_parameter_is_refused(lists: list[list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_parameters(PROGRAM, parse_parameters(lists))


@pytest.mark.parametrize(("text", "codes"), [(None, ()), ("all", None), ("1", (1,)), ("1, 3", (1, 3))])
def test_exit_codes_that_are_no_failure(text: str | None, codes: tuple[int, ...] | None) -> None:
    assert parse_codes(text) == codes


@pytest.mark.parametrize("text", ["", "x", "256", "1,,2"])
def test_what_is_no_exit_code_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no list of exit codes"):
        parse_codes(text)


@pytest.mark.parametrize(("runs", "warmup", "deadline"), [(0, 0, 1.0), (1, -1, 1.0), (1, 0, 0.0), (1, 0, float("inf"))])
def test_numbers_that_cannot_be_used_are_refused(runs: int, warmup: int, deadline: float) -> None:
    with pytest.raises(UsageError, match="give a"):
        check_runs(runs, warmup, deadline)


def test_another_version_takes_turns_and_neither_always_comes_first() -> None:
    programs = with_parameters(PROGRAM, {"n": ["1", "2"]})
    both = compared(programs, "/other", "main")
    assert [(program.label, program.folder) for program in both] == [
        ("it, n=1", ""),
        ("it, n=1, against=main", "/other"),
        ("it, n=2", ""),
        ("it, n=2, against=main", "/other"),
    ]
    workload = Workload(programs=both)
    assert workload.turns == 10
    first, second = (workload.in_turn(turn) for turn in (1, 2))
    assert [program.label for program in first] == [program.label for program in second][::-1]
    with pytest.raises(UsageError, match="give the parameter a new name"):
        compared(with_parameters(PROGRAM._replace(words=("{against}",)), {"against": ["1"]}), "/other", "main")


@pytest.mark.parametrize(("text", "size"), [("100MB", 10**8), ("1.5 GiB", 3 * 2**29), ("6MiB", 6 * 2**20)])
def test_a_size_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["100", "0 MB", "5MB", "1 TB", "much"])
def test_what_is_no_size_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="at least 6 MiB"):
        parse_memory(text)
