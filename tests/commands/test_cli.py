"""The command line itself: help, the list, readers that end early, odd terminals, and a missing SDK."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab import commands
from lab.cell.experiments import usual
from lab.cli import parser
from tests.support.terminal import Lab


def _commands() -> list[str]:
    """Every command that the parser knows."""
    (chosen,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return list(chosen.choices)


COMMANDS = _commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_an_example(lab: Lab, name: str) -> None:
    code, out, _ = lab(name, "--help")
    assert code == 0
    assert "example" in out
    assert f"  lab {name}" in out


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_stays_within_80_columns(lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = lab(*filter(None, [name]), "--help")[1]
    choices = re.compile(r" *\[?--\S+ \{\S+\}\S*")  # argparse never breaks these
    assert [line for line in out.splitlines() if len(line) > 80 and not choices.fullmatch(line)] == []


def test_the_list_stays_within_80_columns(lab: Lab) -> None:
    assert max(map(len, lab("list")[1].splitlines())) <= 80


def test_the_help_names_every_command_and_how_to_start(lab: Lab) -> None:
    code, out, _ = lab("--help")
    assert code == 0
    assert "lab run" in out
    assert all(name in out for name in COMMANDS)
    assert len(COMMANDS) == len(list(Path(commands.__path__[0]).glob("[a-z]*.py")))


def test_the_version_is_printed(lab: Lab) -> None:
    assert lab("--version")[1].startswith("multicore-lab ")


def test_the_list_marks_the_experiments_that_only_run_when_asked_for(lab: Lab) -> None:
    code, out, _ = lab("list")
    assert code == 0
    marked = {line.partition(" ")[0] for line in out.splitlines() if " (extra): " in line}
    assert {"oversubscription", "sawtooth", "executors"} < marked
    assert marked.isdisjoint(usual())
    assert "lab run all" in out


def test_all_is_no_experiment_to_explain(lab: Lab) -> None:
    code, _, err = lab("explain", "all")
    assert code == 2
    assert "there is no experiment 'all'" in err


LAB = [sys.executable, "-m", "lab"]


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("explain", "gil"), ("run", "pipe", "--cpus", "1", "--engine", "local", "--format", "json")],
    ids=["list", "explain", "run"],
)
@pytest.mark.slow
def test_a_reader_that_ends_early_is_told_in_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*LAB, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"XDG_STATE_HOME": str(tmp_path)}
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        complaint = process.stderr.read().decode()
    assert process.returncode == 3
    assert "Traceback" not in complaint
    last = complaint.splitlines()[-1]
    assert last.startswith("lab: standard output was closed before everything was printed")
    assert ("session kept in" in last) is (arguments[0] == "run")


@pytest.mark.slow
def test_results_are_printed_also_where_nobody_reads_the_progress(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*LAB, "run", "pipe", "--cpus", "1", "--engine", "local", "--output", tmp_path],
        stdout=subprocess.PIPE,
        stderr=write_end,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    os.close(write_end)
    assert done.returncode == 0
    assert b"confirmed" in done.stdout


@pytest.mark.slow
def test_a_terminal_that_cannot_show_every_character_gets_the_report_all_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [*LAB, "run", "threads", "--cpus", "1", "--engine", "local", "--output", tmp_path],
        capture_output=True,
        check=False,
        timeout=60,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert b" verdicts on " in done.stdout


#: How the SDK can be missing: not there at all, or hidden by an empty namespace package (a folder named docker/).
MISSING = {
    "not installed": "sys.modules['docker'] = None",
    "hidden by a folder": "import types; sys.modules['docker'] = types.ModuleType('docker')",
}


@pytest.mark.parametrize("how", MISSING)
def test_without_the_docker_sdk_the_message_says_so_plainly(how: str) -> None:
    code = f"import sys; {MISSING[how]}; sys.argv = ['lab', 'run', 'pipe', '--engine', 'docker']; "
    done = subprocess.run(
        [sys.executable, "-c", code + "from lab.__main__ import run; run()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("lab: the Docker SDK is not installed")
    assert "pip install docker" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("how", MISSING)
@pytest.mark.slow
def test_without_the_docker_sdk_auto_takes_the_local_engine(how: str, tmp_path: Path) -> None:
    code = (
        f"import sys; {MISSING[how]}; sys.argv = ['lab', 'run', 'pipe', '--cpus', '1', '--output', {str(tmp_path)!r}]; "
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "from lab.__main__ import run; run()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("engine: local (docker: the Docker SDK is not installed")
