"""What the scripts that print figures conclude from their numbers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import (
    cpython_scaling,
    exec_peers,
    growth,
    peer_output,
    peer_timers,
    peer_tools,
    peers,
    questions,
    real_targets,
    size,
)
from benchmarks.cpython_scaling import Turn
from benchmarks.passes import in_turn, until_measured
from benchmarks.peer_project import Arm, Project
from benchmarks.questions import PROCESSES, SAME, SLOWER, THREADS, WAITING, Answer, Says
from lab import reports
from lab.cell.claims.estimates import Estimate
from lab.model.session import Session
from tests.support import own_code


def scaling(**speed_ups: float | None) -> Any:
    """A result in which threads and processes have these speed-ups, each known to 1 %."""
    names = {"threads": "2 threads", "processes": "2 processes (fork)"}
    return SimpleNamespace(
        rows=[
            SimpleNamespace(workers=names[key], speed_up=value and Estimate(value, 0.99 * value, 1.01 * value, 9))
            for key, value in speed_ups.items()
        ]
    )


@pytest.mark.parametrize(
    ("printed", "counted", "result", "reason"),
    [
        (1.9, 1.9, scaling(threads=1.92, processes=1.93), ""),
        (1.6, 1.9, scaling(threads=1.92, processes=1.93), "the slowest sets the pace"),
        (0.6, 0.61, scaling(threads=0.6, processes=1.9), "threads contend: processes do 1.90"),
        (1.2, 1.3, scaling(threads=1.92, processes=1.93), "not explained"),
        (1.2, 1.3, scaling(threads=None, processes=1.93), "not decided: too few undisturbed rounds"),
    ],
)
def test_a_difference_from_cpythons_benchmark_is_explained(
    printed: float, counted: float, result: Any, reason: str
) -> None:
    row = cpython_scaling.Row("f", [Turn(printed, printed, counted)] * 15, result)
    assert cpython_scaling.why(row) == reason


@pytest.mark.parametrize(
    ("name", "where", "threads", "agreement"),
    [
        ("orjson.loads", "local:3.11", 1.0, "yes"),
        ("orjson.loads", "local:3.11", 1.9, "no"),
        ("orjson.loads", "local:3.11", 1.25, "?"),
        ("orjson.loads", "local:3.11", None, "?"),
        ("numpy.sort", "local:3.11", 1.9, "yes"),
        ("numpy.sort", "docker:3.13t", 1.0, "no"),
    ],
)
def test_a_statement_is_contradicted_only_by_a_whole_interval(
    name: str, where: str, threads: float | None, agreement: str
) -> None:
    (statement,) = [each for each in real_targets.STATEMENTS if each.name == name]
    assert real_targets.Row(statement, where, scaling(threads=threads)).agreement == agreement


def test_only_what_has_no_number_is_measured_again() -> None:
    values = {"a": iter([1]), "b": iter([0, 0, 2])}
    assert until_measured(values, lambda key: next(values[key]), lambda value: not value, minutes=1) == [1, 2]


def test_nothing_is_measured_again_when_the_minutes_are_over() -> None:
    values = {"a": iter([0])}
    assert until_measured(values, lambda key: next(values[key]), lambda value: not value, minutes=0) == [0]


def test_each_round_begins_with_the_next() -> None:
    assert [list(in_turn("abc", number)) for number in range(4)] == [
        list(order) for order in ("abc", "bca", "cab", "abc")
    ]


@pytest.mark.parametrize(
    ("costs", "exponent"),
    [
        ([5, 5 + 9 * 3, 5 + 99 * 3, 5 + 999 * 3], 1.0),
        ([5, 5 + 81 * 3, 5 + 99**2 * 3, 5 + 999**2 * 3], 2.0),
        ([5, 5.1, 5 + 99, 5 + 999], 1.0),
        ([5, 5, 5, 5 + 999], None),
        ([5, 5, 5, 5], None),
    ],
    ids=["as the work", "its square", "a size that costs hardly more", "only one size costs more", "nothing"],
)
def test_the_exponent_says_how_a_cost_grows(costs: list[float], exponent: float | None) -> None:
    assert growth.exponent((1, 10, 100, 1000), costs) == (exponent and pytest.approx(exponent, abs=0.01))


def test_the_memory_of_a_process_is_not_that_of_the_one_that_measures_it() -> None:
    held = bytearray(100_000_000)
    assert growth.cost(["-S", "-c", "pass"]).memory < 40_000_000
    assert held


def test_a_cost_that_grows_faster_than_the_work_is_named() -> None:
    linear, square = ([growth.Cost(wall=1, cpu=n**power, memory=1e6) for n in (1, 10, 100)] for power in (1, 2))
    text, faster = size.table((1, 10, 100), {"read": linear, "packed": square}, "cells")
    assert faster == ["packed: CPU time"]
    assert "| 10 cells " in text
    assert "1.00 s (100.00 s), 1 MB | 1.00 " in text


@pytest.mark.parametrize(
    ("question", "says", "mark"),
    [
        (WAITING, Says.YES, "right"),
        (WAITING, Says.NO, "wrong"),
        (PROCESSES, Says.UNDECIDED, "undecided"),
        (THREADS, Says.NO, "right"),
        (THREADS, Says.UNDECIDED, "undecided"),
        (SLOWER, Says.UNDECIDED, "undecided"),
        (SLOWER, Says.FASTER, "wrong"),
        (SAME, Says.UNDECIDED, "right"),
        (SAME, Says.FASTER, "wrong"),
    ],
)
def test_an_answer_is_marked_by_the_truth(question: questions.Question, says: Says, mark: str) -> None:
    assert question.mark(says) == mark


def test_a_tool_with_a_range_decides_only_when_all_of_it_is_on_one_side() -> None:
    says = [questions.at_least(1.8, *ends) for ends in ((1.9, 2.0), (1.7, 1.9), (1.5, 1.7), (1.8, 1.8))]
    assert says == [Says.YES, Says.UNDECIDED, Says.NO, Says.YES]
    assert [questions.is_slower(ratio) for ratio in (1.05, 1.02, 0.98, 0.9)] == [
        Says.YES,
        Says.NO,
        Says.NO,
        Says.FASTER,
    ]


def test_the_table_of_a_question_has_spread_marks_and_time() -> None:
    answers = [Answer(value=value, says=Says.YES, seconds=2.0) for value in (1.9, 2.0, 2.1)]
    lacking = Answer(value=None, says=Says.UNDECIDED, seconds=4.0)
    assert questions.row(WAITING, "x", answers) == ("x", "2.000", "5.0%", "1.900 to 2.100", "3", "0", "0", "2.0 s")
    assert questions.row(WAITING, "x", [lacking]) == ("x", "-", "-", "-", "0", "1", "0", "4.0 s")
    given = {question: {"pyperf": answers if question is WAITING else []} for question in questions.QUESTIONS}
    text = peers.report([tool for tool in peer_tools.TOOLS if tool.name == "pyperf"], given)
    assert "20 processes of 3 values" in text
    assert "| pyperf | 1           | 3       | 0           | 0       | 2.0 s" in text


def test_an_answer_that_rests_on_what_was_delivered_stands_beside_that_of_the_times_alone() -> None:
    answers = [Answer(value=1.5, says=Says.YES, seconds=2.0, delivered=1.5, alone=Says.NO)]
    given = {question: {"lab scale": answers if question is PROCESSES else []} for question in questions.QUESTIONS}
    text = peers.report([tool for tool in peer_tools.TOOLS if tool.name == "lab scale"], given)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert [row[:-1] for row in rows if row and row[0].startswith("lab scale") and row[-1] == "2.0 s"][-2:] == [
        ["lab scale", "1", "1", "0", "0"],
        ["lab scale, by times alone", "1", "0", "0", "1"],
    ]


def test_how_much_processes_reached_is_of_what_was_delivered_in_the_same_run() -> None:
    """A machine that gives less in one run than in another one makes the speed-up scatter, and not this figure."""
    answers = [
        Answer(value=1.485, says=Says.YES, seconds=2.0, delivered=1.5, alone=Says.NO),
        Answer(value=2.02, says=Says.YES, seconds=2.0, delivered=2.0, alone=Says.YES),
    ]
    given = {question: {"lab scale": answers if question is PROCESSES else []} for question in questions.QUESTIONS}
    (line,) = [line for line in peers.report([], given).splitlines() if "the machine delivered" in line]
    assert line == (
        "lab scale: the machine delivered 1.75 times the work of one process. Of that, the processes reached 100.0%"
        " (deviation 1.4%, 99.0% to 101.0%)."
    )


#: What the tools printed on a machine: hyperfine 1.15, runexec 3.35, pyperf 2.11, pytest-benchmark 5.3 and the lab.
HYPERFINE = {
    "results": [
        {"command": "a", "user": 0.0008, "system": 0.0007, "times": [0.0517, 0.0552, 0.0520]},
        {"command": "b", "user": 0.0007, "system": 0.0005, "times": [0.0614, 0.0614, 0.0614]},
    ]
}
RUNEXEC = """starttime=2026-11-29T12:43:42.157350+00:00
returnvalue=0
walltime=0.12519394600531086s
cputime=0.001977893s
cputime-cpu1=0.001977893s
memory=262144B
blkio-read=0B
"""
COMPARE_TO = {
    "Mean +- std dev: [c] 2.14 ms +- 0.08 ms -> [d] 4.40 ms +- 0.92 ms: 2.06x slower\n": Says.YES,
    "Mean +- std dev: [d] 4.40 ms +- 0.92 ms -> [c] 2.14 ms +- 0.08 ms: 2.06x faster\n": Says.FASTER,
    "Benchmark hidden because not significant (1): loops one\n": Says.UNDECIDED,
}


def test_what_other_tools_print_is_read() -> None:
    assert [[run.wall for run in runs] for runs in exec_peers.of_hyperfine(HYPERFINE)] == [
        [0.0517, 0.0552, 0.0520],
        [0.0614] * 3,
    ]
    assert exec_peers.of_runexec(RUNEXEC) == exec_peers.Said(wall=0.12519394600531086, cpu=0.001977893, memory=262144)
    assert {text: peer_output.of_compare_to(text) for text in COMPARE_TO} == COMPARE_TO
    runs = [{"metadata": {}, "warmups": [[2, 0.002]]}, {"values": [0.0022, 0.0021], "warmups": [[2, 0.0021]]}]
    pyperf = {"benchmarks": [{"runs": runs}], "metadata": {"name": "one"}, "version": "1.0"}
    assert peer_output.of_pyperf(pyperf) == {"one": [0.0022, 0.0021]}
    rounds = {"params": {"workers": "threads", "name": "waits", "times": 1}, "stats": {"data": [0.002, 0.003]}}
    assert peer_output.of_pytest({"benchmarks": [rounds]}) == {"threads": [0.002, 0.003]}


def document(session: Session) -> Any:
    """What ``--format json`` prints of a session."""
    return json.loads(reports.render(session, "json"))


def test_the_lab_decides_by_its_interval_and_processes_by_what_was_delivered() -> None:
    holds = document(own_code.one_case({("thread", 2): 1.0, ("fork", 2): 1.5}, delivered=1.52))
    answer = peer_output.of_lab(holds, "processes", PROCESSES, 1.0)
    assert answer.says is Says.YES
    assert answer.alone is Says.NO
    assert answer.delivered == pytest.approx(1.52, rel=0.02)
    assert peer_output.of_lab(holds, "threads", THREADS, 1.0).says is Says.NO
    unknown = document(own_code.one_case(disturbed="run delay"))
    assert peer_output.of_lab(unknown, "threads", THREADS, 1.0).says is Says.UNDECIDED


@pytest.mark.parametrize(
    ("other", "rounds", "says"),
    [(0.95, 8, Says.YES), (1.0, 8, Says.UNDECIDED), (1.05, 8, Says.FASTER), (0.95, 2, Says.UNDECIDED)],
)
def test_the_lab_decides_which_version_is_slower(other: float, rounds: int, says: Says) -> None:
    session = own_code.two_environments(["1 worker", "2 threads"], other, rounds)
    assert peer_output.of_lab_against(document(session), 1.0).says is says


def test_a_number_that_the_lab_does_not_print_is_an_error_and_not_undecided() -> None:
    with pytest.raises(LookupError, match="has no 'other / this' of '1 worker'"):
        peer_output.of_lab_against(document(own_code.one_case()), 1.0)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project that the tools measure, with its files."""
    written = Project(folder=tmp_path, cpus=(0, 1), is_quick=True, level="quick", cpython=None)
    written.write()
    return written


def test_a_script_times_each_arm_once_in_the_order_asked_for(project: Project) -> None:
    arms = [Arm("same", "one", "waits"), Arm("this", "threads", "waits"), Arm("this", "one", "waits")]
    times = peer_timers.ONE_SHOT(project, arms)
    assert [len(values) for values in times] == [1, 1, 1]
    assert min(value for values in times for value in values) >= 0.24


@pytest.mark.parametrize("workers", ["one", "threads", "processes"])
def test_a_command_fails_if_one_of_its_programs_fails(project: Project, workers: str) -> None:
    command = peer_timers.command(project, Arm("this", workers, "waits"))
    assert subprocess.run(command, check=False).returncode == 0
    marker = project.folder / "first"
    fails_once = f"import os, sys\ntry: os.mkdir({str(marker)!r})\nexcept FileExistsError: sys.exit(0)\nsys.exit(3)"
    (project.folder / "this" / "program.py").write_text(fails_once)
    assert subprocess.run(command, check=False).returncode == 3


@pytest.mark.parametrize(
    ("script", "words", "says"),
    [
        (peers, ["--tool", "pyprof"], "invalid choice: 'pyprof'"),
        (peers, ["--cpython", "missing.py"], "there is no file missing.py"),
        (size, ["machine", "sesion"], "there is no part 'sesion'; there are plan, machine, session"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_measured(
    script: Any, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["script", *words])
    monkeypatch.setattr("sys._is_gil_enabled", lambda: True, raising=False)
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert says in capsys.readouterr().err
