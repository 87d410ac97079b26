"""Progress: plain lines, or one that changes in place on a terminal; never among the results."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import reports
from lab.model.cell import Cell, CellResult, Limit, Record, Status
from lab.running import progress
from lab.running.early_verdicts import EarlyVerdicts
from tests.support import scripts

CELL = scripts.cell(2)


def record(kind: str, **data: Any) -> Record:
    return Record(session="s", cell="cpu2", seq=0, kind=kind, time=0.0, data=data)


def finish(name: str, outcome: str = "ok", reason: str | None = None) -> Record:
    return record("finish", experiment=name, outcome=outcome, reason=reason)


def test_there_is_a_line_for_each_experiment_and_one_for_the_end_of_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Plain({"pipe": 1, "gil": 1}, 10) as live:
        live.cell_begins(CELL)
        live.record(record("start"))
        live.record(record("begin", experiment="pipe"))
        live.record(record("event", experiment="pipe"))
        live.record(finish("pipe"))
        live.record(record("begin", experiment="gil"))
        live.record(finish("gil", "failed", "was killed by SIGSEGV"))
        live.cell_ends(CellResult(cell=CELL, status=Status.ERROR, reason="gil was killed by SIGSEGV", wall_seconds=3))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "2 CPUs (0-1): pipe (about 2.6 s left)",
        "2 CPUs (0-1): gil (about 2.5 s left)",
        "2 CPUs (0-1): gil was killed by SIGSEGV",
        "2 CPUs (0-1): error: gil was killed by SIGSEGV in 3.0 s",
    ]


def test_the_time_left_counts_every_cell_and_never_falls_below_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    live = progress.Plain({"gil": 2}, 10)
    live.cell_begins(CELL)
    for _ in range(3):
        live.record(record("begin", experiment="gil"))
        live.record(finish("gil"))
    left = re.findall(r"about (.*) left", capsys.readouterr().err)
    assert left == ["5.0 s", "2.5 s", "1.0 s"]


def test_the_time_left_is_that_of_each_function_in_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    name = "scale:work.py:f"
    live = progress.Plain({name: 2}, 4.0, {name: {"cpu1": 20.0, "cpu2": 240.0}})
    assert progress.cost([name], 4.0, {name: {"cpu1": 20.0, "cpu2": 240.0}}) == 240.0
    live.record(record("begin", experiment=name))
    live.record(finish(name))
    live.record(record("begin", experiment=name))
    assert re.findall(r"about (.*) left", capsys.readouterr().err) == ["4 min 20 s", "20.0 s"]


def test_a_record_of_an_experiment_that_was_not_asked_for_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    live = progress.Plain({"pipe": 1}, 10)
    live.cell_begins(CELL)
    live.record(record("begin", experiment="nosuch"))
    live.record(finish("nosuch"))
    assert "nosuch" in capsys.readouterr().err


@pytest.mark.parametrize("height", [3, 6, 40])
def test_the_verdicts_leave_room_for_the_line_that_moves(monkeypatch: pytest.MonkeyPatch, height: int) -> None:
    monkeypatch.setenv("LINES", str(height))
    result = scripts.ran(2, scripts.everything(2))
    live = progress.Live(dict.fromkeys(result.by_experiment, 1), 1, EarlyVerdicts(result.by_experiment))
    live.cell_begins(result.cell)
    for each in result.records:
        live.record(each)
    live.cell_ends(result)
    shown = "\n".join(str(part) for part in live._picture().renderables[:-1])
    assert shown.count("\n") + bool(shown) == min(4, height - 3)
    assert shown.endswith("refuted") is (height > 3)


def test_each_cell_that_was_measured_has_a_row_in_the_tables_as_soon_as_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINES", "60")
    session = scripts.every_kind()["expected"]
    first, second, lacking = session.results
    names = dict.fromkeys(first.by_experiment, 2)
    live = progress.Live(names, 1, EarlyVerdicts(names), tables=reports.so_far)

    def shown() -> str:
        return "\n".join(str(part) for part in live._picture().renderables[:-1])

    live.cell_begins(first.cell)
    for each in first.records:
        live.record(each)
    assert "workers of Pool()" not in shown()
    live.cell_ends(first)
    assert re.findall(r"^(\d CPUs?.*?)  ", shown(), re.M) == ["1 CPU", "1 CPU"]
    live.cell_ends(lacking)
    live.cell_ends(second)
    lines = shown().splitlines()
    at_end = reports.render(session, "screen", 80).splitlines()
    rows = [line for line in lines if re.match(r"\d CPU.*\d$", line)]
    assert len(rows) == 4
    assert [line for line in at_end if line in rows] == rows


def test_the_tables_have_the_last_cells_only() -> None:
    shown: list[list[str]] = []

    def tables(results: Sequence[CellResult], _: int) -> list[str]:
        shown.append([result.cell.id for result in results])
        return []

    live = progress.Live({}, 1, tables=tables)
    cells = [scripts.cell(size, 30) for size in range(1, 31)]
    for cell in cells:
        live.cell_ends(CellResult(cell=cell, status=Status.MEASURED, reason=None))
    assert [len(ids) for ids in shown] == [*range(1, progress._MOST_ROWS + 1), *[progress._MOST_ROWS] * 10]
    assert shown[-1] == [cell.id for cell in cells[-progress._MOST_ROWS :]]


@pytest.mark.parametrize("kind", sorted(scripts.every_kind()))
def test_any_cell_can_be_shown_as_it_ends(kind: str) -> None:
    live = progress.Live({}, 1, EarlyVerdicts(()), tables=reports.so_far)
    for result in scripts.every_kind()[kind].results:
        live.cell_ends(result)


def test_elsewhere_than_on_a_terminal_progress_is_plain() -> None:
    assert type(progress.for_this_terminal({"pipe": 1}, 1)) is progress.Plain


def on_a_terminal(
    *arguments: str, environment: dict[str, str] | None = None, results: bool = False
) -> tuple[int, str, str]:
    """Run ``lab`` with its standard error on a terminal, and with ``results`` standard output too.

    Returns (exit code, standard output, the screen).
    """
    ours, terminal = pty.openpty()
    got: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(ours, 4096):
                got.append(piece)
        except OSError:
            return  # the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        stdout=terminal if results else subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **(environment or {})},
    )
    os.close(terminal)
    reader.join()
    os.close(ours)
    return done.returncode, done.stdout or "", b"".join(got).decode()


def test_the_time_left_also_falls_while_one_experiment_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    live = progress.Live({"gil": 1, "switching": 1}, 9.0)
    assert live.__rich__() == ""
    live.begins("1 CPU", "gil", "")
    before = live.__rich__()
    now += 2
    assert (before, live.__rich__()) == ("about 3.0 s left", "about 1.0 s left")
    now += 400
    assert live.__rich__() == "about 1.0 s left"


@pytest.mark.slow
def test_on_a_terminal_one_line_changes_in_place_and_is_gone_at_the_end(tmp_path: Path) -> None:
    code, out, screen = on_a_terminal("run", "process", "--engine", "local", "--cpus", "1", "--output", str(tmp_path))
    assert code == 0
    assert "\x1b" not in out, "no animation among the results"
    assert "process" in screen
    assert "left" in screen
    assert "\x1b[2K" in screen, "the line is taken away again"
    assert "session kept in" in screen
    assert "measured in" not in re.sub(r"cells? measured in", "", screen)
    assert "confirmed" not in screen, "verdicts go where the results go"


@pytest.mark.slow
def test_where_the_results_go_to_the_terminal_verdicts_stand_above_the_line_and_are_gone_at_the_end(
    tmp_path: Path,
) -> None:
    code, _, screen = on_a_terminal(
        "run",
        *("process", "pipe", "--engine", "local", "--cpus", "1", "--output", str(tmp_path)),
        environment={"COLUMNS": "44", "LINES": "12", "NO_COLOR": "1"},
        results=True,
    )
    assert code == 0
    live, _, report = screen.rpartition("\x1b[2K")
    assert live.index("1 CPU (0), so far\r\n  process  3 confirmed") < live.index("  pipe     1 confirmed")
    assert re.search(r"1 CPU \(0\)\s*\r\n  process  3 confirmed", live), "the cell has ended"
    assert "\x1b[3" not in live
    assert "so far" not in report
    assert "4 verdicts" in report


@pytest.mark.slow
def test_a_terminal_that_cannot_move_its_cursor_gets_no_animation(tmp_path: Path) -> None:
    words = ("run", "pipe", "--engine", "local", "--cpus", "1", "--output", str(tmp_path))
    code, _, screen = on_a_terminal(*words, environment={"TERM": "dumb"}, results=True)
    assert code == 0
    assert "\x1b" not in screen
    assert screen.count("  pipe  1 confirmed\r\n") == 1, "when its cell has ended"
    assert "so far" not in screen


@pytest.mark.parametrize("kind", [progress.Plain, progress.Live])
def test_both_kinds_tell_why_an_experiment_failed_whatever_the_reason_says(
    kind: type[progress.Plain], capsys: pytest.CaptureFixture[str]
) -> None:
    with kind({"pipe": 1}, 1) as live:
        live.cell_begins(CELL)
        live.record(record("begin", experiment="pipe"))
        live.record(finish("pipe", "failed", "hung (about 3 s left)"))
    assert "2 CPUs (0-1): pipe hung (about 3 s left)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [progress.Plain, progress.Live])
def test_both_kinds_tell_of_a_cell_that_was_not_measured(
    kind: type[progress.Plain], capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,))
    with kind({"pipe": 1}, 1) as live:
        live.cell_begins(cell)
        live.record(record("begin", experiment="pipe"))
        live.cell_ends(CellResult(cell=cell, status=Status.ERROR, reason="no [bold]room[/bold] for it", wall_seconds=1))
    assert "1 CPU (0): error: no [bold]room[/bold] for it in 1.0 s" in capsys.readouterr().err
