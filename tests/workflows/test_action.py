"""The action for GitHub: every script in it really runs here, as a runner would run it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.workflows import (
    ACTION,
    Runner,
    commit_to_main,
    documents,
    on,
    slower_project,
    steps,
)


@pytest.mark.slow
def test_the_action_installs_the_lab_from_its_own_folder_and_once(installed: Path, tmp_path: Path) -> None:
    program = installed / "multicore-lab" / "venv" / "bin" / "lab"
    before = program.stat().st_mtime_ns
    assert on(installed, tmp_path).step("Install the lab").returncode == 0
    assert program.stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_action_runs_the_lab_and_hands_everything_out(installed: Path, tmp_path: Path) -> None:
    runner = on(installed, tmp_path, experiments="pipe manager", cpus="1", expect="manager.needed=refuted")
    done = runner.step("Run the lab")
    assert done.returncode == 0, done.stderr
    declared = documents(ACTION)[0]["outputs"]
    assert {
        output["value"].removeprefix("${{ steps.run.outputs.").removesuffix(" }}") for output in declared.values()
    } == (set(runner.outputs) - {"results"})
    outputs = runner.outputs
    assert (outputs["exit-code"], outputs["confirmed"], outputs["refuted"], outputs["surprises"]) == ("0", "3", "1", "")
    assert "manager.needed" in runner.summary.read_text(encoding="utf-8")
    assert (
        Path(outputs["report"]).read_text(encoding="utf-8") == runner.summary.read_text(encoding="utf-8") == done.stdout
    )
    assert list(Path(outputs["session"]).glob("*.jsonl"))
    assert Path(outputs["session"]).is_relative_to(outputs["results"])


@pytest.mark.slow
def test_the_action_checks_gates_of_a_project_beside_another_revision(installed: Path, tmp_path: Path) -> None:
    """As a job for a pull request does it: base and head take turns, and the summary has the table and a chart."""
    project = slower_project(tmp_path)
    runner = on(installed, tmp_path, command="check", against="main")
    assert runner.step("Check the inputs").returncode == 0
    done = runner.step("Run the lab", folder=project)
    assert done.returncode == 1, done.stderr
    outputs = runner.outputs
    assert (outputs["met"], outputs["failed"], outputs["open"]) == ("1", "1", "0")
    summary = runner.summary.read_text(encoding="utf-8")
    assert summary.startswith("## multicore-lab: 2 gates: 1 met, 1 failed")
    assert summary.partition("<details>")[0].count("```mermaid") == 1
    assert "sh nap against main" in summary


@pytest.mark.slow
@pytest.mark.measures
def test_the_example_of_the_documentation_runs_on_the_example_project(installed: Path, tmp_path: Path) -> None:
    """The step of docs/ci.md, with the branch main as the base of the pull request."""
    (block,) = (
        text for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(), re.DOTALL)
        if "command: check" in text
    )  # fmt: skip
    (job,) = yaml.safe_load(block)["jobs"].values()
    inputs = {
        name: str(value).replace("origin/${{ github.base_ref }}", "main")
        for name, value in job["steps"][-1]["with"].items()
    }
    project = tmp_path / "project"
    shutil.copytree(ROOT / "docs" / "examples" / "gates", project, ignore=shutil.ignore_patterns("__pycache__"))
    configuration = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(configuration.replace('"local"\n', '"local"\nlevel = "quick"\n'))
    commit_to_main(project)
    runner = on(installed, tmp_path, **inputs)
    assert runner.step("Check the inputs").returncode == 0
    done = runner.step("Run the lab", folder=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (runner.outputs["failed"], int(runner.outputs["met"]) > 0) == ("0", True)


@pytest.mark.slow
@pytest.mark.measures
def test_the_action_runs_a_command_and_measures_a_function(installed: Path, tmp_path: Path) -> None:
    target = 'sh nap && test "$WORDS" = "a b" && exit 3'
    inputs = {
        "command": "exec",
        "target": target,
        "cpus": "1",
        "against": "main",
        "env": "X=\nWORDS=a b",
        "workdir": ".",
    }
    runner = on(installed, tmp_path, **inputs)
    assert runner.step("Check the inputs").returncode == 0
    done = runner.step("Run the lab", folder=slower_project(tmp_path))
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("ended with exit code 3") == 2
    assert "against=main" in runner.summary.read_text(encoding="utf-8")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "work.py").write_text("import time\n\ndef waits():\n    time.sleep(0.001)\n")
    runner = on(installed, tmp_path / "two", command="scale", target="work.py:waits", cpus="1")
    done = runner.step("Run the lab")
    assert done.returncode == 0, done.stderr
    assert (runner.outputs["executor"], runner.outputs["workers"]) == ("thread", "2")


@pytest.mark.slow
def test_a_size_that_the_runner_lacks_is_untestable_and_green(installed: Path, tmp_path: Path) -> None:
    runner = on(installed, tmp_path, experiments="pool", cpus="1024")
    done = runner.step("Run the lab")
    assert done.returncode == 0, done.stderr
    outputs = runner.outputs
    assert int(outputs["untestable"]) > 0
    assert outputs["confirmed"] == outputs["refuted"] == outputs["inconclusive"] == outputs["error"] == "0"
    assert "untestable" in runner.summary.read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_fails_the_step_is_handed_out_first(installed: Path, tmp_path: Path) -> None:
    runner = on(installed, tmp_path, experiments="manager", cpus="1", **{"fail-on": "refuted"})
    done = runner.step("Run the lab")
    assert done.returncode == 1
    assert (runner.outputs["exit-code"], runner.outputs["refuted"]) == ("1", "1")
    assert runner.summary.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_mistake_in_the_inputs_is_told_in_the_labs_own_words(installed: Path, tmp_path: Path) -> None:
    runner = on(installed, tmp_path, experiments="pip")
    done = runner.step("Run the lab")
    assert done.returncode == 2
    assert "there is no experiment 'pip'" in done.stderr
    assert runner.outputs["exit-code"] == "2"
    assert "session" not in runner.outputs


@pytest.mark.slow
def test_an_input_is_never_a_command(installed: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    runner = on(installed, tmp_path, experiments=f"$(touch {evil}) ; touch {evil}", cpus=f"1; touch {evil}")
    assert runner.step("Check the inputs").returncode == 2
    assert runner.step("Run the lab").returncode == 2
    assert not evil.exists()


#: Inputs that are refused: an option, a command, a path out of the folder, or something that is not known.
REFUSED = {
    "experiments": ["--output=/tmp/x", "pool\n--force", "$(id)", "pool;id", "../x", "Pool"],
    "cpus": ["--smt", "1\n--resume", "1;id", "`id`", "-1"],
    "quota": ["--full", "1\n-x", "$((1))"],
    "python": ["-c", "3.13\n--yes", "--python=3.9", "3.9\t3.10"],
    "image": ["--help", "-v", "a b", "python:3.13\nother", "$(id)"],
    "command": ["", "clean", "run --force", "scale\ncheck"],
    "target": ["-s", "--force", "a\nb", "a\tb"],
    "against": ["--yes", "-x", "main\nother", "$(id)"],
    "base": ["--yes", "-x", "a\nb"],
    "engine": ["", "podman", "auto\nlocal", "--image=x", "local "],
    "level": ["", "full", "resume", "force", "quick\n", "quick --smt"],
    "fail-on": ["", "all", "never\nsurprise", "--strict"],
    "expect": ["--strict", "a", "a.b=", "a.b=refuted;id", "$(id)=refuted"],
    "mount": ["--yes", "-x", "a\n-x", "$(id)"],
    "workdir": ["--yes", "a\nb", "$(id)"],
    "env": ["-x", "A B=c", "=x", "A=b\n-x"],
    "artifact-name": ["a\nb", "../x", "-x"],
    "lab-python": ["", "latest", "3.13\n2.7", "--pre", "3.x"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values], ids=repr
)
def test_an_input_that_may_not_be_is_refused_by_its_name(tmp_path: Path, name: str, value: str) -> None:
    done = Runner(tmp_path, **{name: value}).step("Check the inputs")
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"::error::the input {name} is ")
    assert "it may be " in line


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"experiments": "pool gil\nrace-atlas\n"},
        {"experiments": "\n  all\n", "cpus": "1,2,all", "quota": "0.5, 1.5"},
        {"cpus": "ids:3", "python": "3.11,3.13t+gil\n/opt/my python/bin/python3"},
        {"cpus": "0-3,8\n4", "image": "registry.example:5000/a/b@sha256:00", "level": "thorough", "fail-on": "never"},
        {"artifact-name": "", "lab-python": "3.11.7", "engine": "docker"},
        {"artifact-name": "cells-3.13t-q1.5"},
        {"command": "scale", "target": "work.py:parse", "against": "origin/main"},
        {"command": "exec", "target": "pytest -n auto -k 'not slow' | tail -1"},
        {"command": "check", "target": "parse suite", "base": "../base", "expect": "gil.no-speedup@3.13t-cpu2=refuted"},
        {"command": "check", "fail-on": "inconclusive", "cpus": " \n"},
        {
            "command": "exec",
            "target": "make",
            "image": "gcc:14",
            "mount": ".\n/a b:ro",
            "workdir": "/a b",
            "env": "A=b c\nD",
        },
    ],
    ids=repr,
)
def test_what_an_input_may_be_is_taken(tmp_path: Path, inputs: dict[str, str]) -> None:
    done = Runner(tmp_path, **inputs).step("Check the inputs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_input_is_checked() -> None:
    (step,) = (step for step in steps(ACTION) if step["name"] == "Check the inputs")
    assert steps(ACTION)[0] is step
    checked = set(re.findall(r"^(?:check|lines) ([a-z-]+) ", step["run"], re.MULTILINE))
    assert checked == set(documents(ACTION)[0]["inputs"])
    of_some_commands = set(re.findall(r"^used ([a-z-]+) ", step["run"], re.MULTILINE))
    assert checked - of_some_commands == {"command", "artifact-name", "lab-python"}


@pytest.mark.parametrize(
    ("command", "name", "value", "message"),
    [
        ("run", "target", "make", "it may be given for scale, exec or check, and the command is run"),
        ("run", "mount", ".", "it may be given for exec, and the command is run"),
        ("scale", "expect", "gil.no-speedup=refuted", "it may be given for run or check, and the command is scale"),
        ("exec", "level", "quick", "it may be given for run or scale, and the command is exec"),
        ("exec", "python", "3.13", "it may be given for run or scale, and the command is exec"),
        ("exec", "fail-on", "never", "it may be given for run or check, and the command is exec"),
        ("check", "engine", "docker", "it may be given for run, scale or exec, and the command is check"),
        ("check", "fail-on", "never", "it may be surprise or inconclusive for check"),
    ],
)
def test_an_input_that_the_command_would_ignore_is_refused_by_its_name(
    tmp_path: Path, command: str, name: str, value: str, message: str
) -> None:
    done = Runner(tmp_path, **{"command": command, name: value}).step("Check the inputs")
    assert done.returncode == 2
    assert done.stdout.startswith(f"::error::the input {name} is ")
    assert message in done.stdout


def test_every_line_of_an_input_counts(tmp_path: Path) -> None:
    """A program in the place of the lab tells what it was called with."""
    program = tmp_path / "runner temp" / "multicore-lab" / "venv" / "bin" / "lab"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> "$RUNNER_TEMP/words"\n')
    program.chmod(0o755)
    (program.parent / "python").symlink_to(sys.executable)
    runner = Runner(
        tmp_path,
        experiments="pool\n gil  race\n\npipe",
        cpus="1, 2\nall\n",
        quota="0.5\n1.5",
        python="3.11,3.13t\n3.14",
        engine="docker",
        level="quick",
    )
    assert runner.step("Check the inputs").returncode == 0
    assert runner.step("Run the lab").returncode == 0
    words = (tmp_path / "runner temp" / "words").read_text().splitlines()
    assert words[:5] == ["images", "build", "--", "3.11,3.13t", "3.14"]
    assert words[words.index("--", 5) + 1 :] == ["pool", "gil", "race", "pipe"]
    assert {"--cpus=1,2,all", "--quota=0.5,1.5", "--python=3.11,3.13t", "--python=3.14", "--quick"} <= {*words}
    inputs = {"command": "exec", "target": "make a", "image": "gcc:14", "workdir": "/w d", "expect": " "}
    runner = Runner(tmp_path, **inputs, mount=".\n/b c:ro\n", env="X=1 2\nY")
    assert runner.step("Check the inputs").returncode == 0
    assert runner.step("Run the lab").returncode == 0
    words = (tmp_path / "runner temp" / "words").read_text().splitlines()[len(words) :]
    assert words[-2:] == ["--", "make a"]
    assert {"--mount=.", "--mount=/b c:ro", "--env=X=1 2", "--env=Y", "--workdir=/w d", "--shell"} <= {*words}
    assert "--expect" not in " ".join(words)
