"""CI for others and for ourselves: pinned, without needless rights, and every script in it really runs here."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import cli, reports
from lab.cli import parser
from lab.planning.request import LEVELS
from tests.support.paths import ROOT
from tests.support.programs import PATH, program

ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITLAB = ROOT / ".gitlab" / "multicore-lab.yml"

every_file = pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


@cache
def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    workflow_jobs: dict[str, dict[str, Any]] = documents(path)[0]["jobs"]
    return workflow_jobs


def steps(path: Path) -> list[dict[str, Any]]:
    """Every step of a workflow or an action."""
    if path == ACTION:
        return list(documents(path)[0]["runs"]["steps"])
    return [step for job in jobs(path).values() for step in job["steps"]]


@every_file
def test_every_foreign_action_is_pinned_by_a_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(path)) > 0
    for action, comment in used:
        if action != "./":
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} does not say its version"


def test_an_action_has_the_same_pin_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ACTION, *WORKFLOWS))
    pins = set(re.findall(r"(actions/[a-z-]+)@(\S+ # \S+)", text))
    assert len(pins) == len({name for name, _ in pins})


@every_workflow
def test_nothing_is_allowed_but_what_a_job_says_it_needs(path: Path) -> None:
    assert documents(path)[0]["permissions"] == {}
    for job in jobs(path).values():
        assert set(job["permissions"].values()) <= {"read"}
        assert 0 < job["timeout-minutes"] <= 60


@every_workflow
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_file
def test_no_script_has_an_expression_pasted_into_it(path: Path) -> None:
    assert [step for step in steps(path) if "run" in step]
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


@every_workflow
def test_a_job_that_runs_on_an_engine_says_that_this_is_ci(path: Path) -> None:
    """There the tests that need an engine fail without one; they are never skipped."""
    for name, job in jobs(path).items():
        words = yaml.safe_dump(job["steps"])
        if "pytest -m engine" in words or "engine: docker" in words:
            assert job["env"]["CI"] == "true", name


def test_an_engine_job_there_is() -> None:
    runs = {step.get("run") for step in jobs(ROOT / ".github/workflows/ci.yml")["engine"]["steps"]}
    assert "pytest -m engine --ignore tests/engines/test_podman.py" in runs


def test_the_tests_run_on_the_oldest_python_that_the_project_takes() -> None:
    oldest = ".".join(map(str, cli._ORCHESTRATOR))
    assert oldest in jobs(ROOT / ".github/workflows/ci.yml")["tests"]["strategy"]["matrix"]["python"]


# ---- the lab's commands in them

#: What the variables in them may hold.
VALUES = {
    "$LAB_ENGINE": "local",
    "$LAB_CPUS": "1,2",
    "$LAB_FAIL_ON": "never",
    "$LAB_BUILDS": "3.11,3.13t",
    "$LAB_EXPERIMENTS": "pool",
    "${level:-}": "--quick",
    "$@": "--expect=gil.no-speedup=refuted",
    "${builds[@]}": "3.13t",
}


def subcommands() -> dict[str, argparse.ArgumentParser]:
    (subparsers,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(subparsers.choices)


def lacking(words: list[str]) -> set[str]:
    """What a command needs that this lab does not have: the command, options, the format."""
    known = subcommands()
    if words[0].startswith("-"):
        return set()
    if words[0] not in known:
        return {words[0]}
    options = set(known[words[0]]._option_string_actions)
    flags = {word for word in words[1:] if word.startswith("--") and word != "--"}
    formats = {after for word, after in itertools.pairwise(words) if word == "--format"}
    return (flags - options) | (formats - set(reports.format_names()))


def commands(script: str) -> Iterator[list[str]]:
    """The words after ``lab`` of each command in a script, without what only the shell knows."""
    for line in re.sub(r"\\\n", " ", script).splitlines():
        match = re.search(r"(?:^|[;&|\"/ ])lab\"? (?=[a-z-])(.*)", line)
        if match and not line.strip().startswith("#"):
            text = re.split(r" (?:>|>>|\||\|\||&&|#) ?", match[1])[0]
            words = [word for word in shlex.split(text) if not re.fullmatch(r"\$\{(options|experiments)\[@\]\}", word)]
            yield [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]


def scripts() -> list[str]:
    shell = [step["run"] for path in (ACTION, *WORKFLOWS) for step in steps(path) if "run" in step]
    gitlab = [line for job in documents(GITLAB)[1].values() for line in job.get("script", ())]
    readme = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.DOTALL)
    return shell + gitlab + readme


COMMANDS = [words for script in scripts() for words in commands(script)]


def test_there_are_commands_to_check() -> None:
    assert {"run", "merge", "images", "doctor"} <= {words[0] for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_the_lab_is_one(words: list[str]) -> None:
    assert lacking(words) == set()
    if words != ["--version"]:
        parser().parse_args([VALUES.get(word, word) for word in words])


def test_every_option_that_the_action_may_pass_is_one() -> None:
    (step,) = (step for step in steps(ACTION) if step["name"] == "Run the lab")
    passed = set(re.findall(r"options\+?=\(.*\)", step["run"]))
    options = {word for words in passed for word in re.findall(r"--[a-z][a-z-]*", words)}
    assert {"--engine", "--cpus", "--quota", "--image", "--python", "--fail-on"} <= options
    only = {
        "run": {"--fail-on", "--expect"},
        "exec": {"--session", "--shell", "--mount", "--workdir", "--env"},
        "check": {"--base", "--strict", "--expect"},
    }
    of_others = {option for options_ in only.values() for option in options_} | {"--against", "--format"}
    assert lacking(["run", *sorted(options - of_others), *only["run"]]) == set()
    assert lacking(["scale", *sorted(options - of_others), "--against"]) == set()
    without = {"--python", "--output"}
    assert lacking(["exec", *sorted(options - of_others - without), "--against", *only["exec"]]) == set()
    assert lacking(["check", "--format", "summary", "--output", "--against", *only["check"]]) == set()
    *levels, last = LEVELS
    assert documents(ACTION)[0]["inputs"]["level"]["description"] == f"{', '.join(levels)} or {last}."


# ---- the action, run as a runner would

EXPRESSION = re.compile(r"\$\{\{ (inputs|steps)\.([\w.-]+) \}\}")


class Runner:
    """Runs the action's scripts with bash, as GitHub's runner does, and keeps their outputs."""

    def __init__(self, folder: Path, **inputs: str) -> None:
        declared = documents(ACTION)[0]["inputs"]
        assert set(inputs) <= set(declared)
        self.inputs: dict[str, str] = {
            name: inputs.get(name, declaration["default"]) for name, declaration in declared.items()
        }
        self.summary = folder / "summary.md"
        self.output = folder / "output"
        self.outputs: dict[str, str] = {}
        self.env = {
            **os.environ,
            "RUNNER_TEMP": str(folder / "runner temp"),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_ACTION_PATH": str(ROOT),
            # What the lab needs is installed here already; what the action installs is the lab itself.
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that it is switched off
        }
        for file in (self.summary, self.output):
            file.touch()

    def value(self, text: str) -> str:
        """What the runner makes of an expression: an input, or the Python that a step before has set up."""

        def one(match: re.Match[str]) -> str:
            if match[1] == "inputs":
                return self.inputs[match[2]]
            assert match[2] == "python.outputs.python-path"
            return sys.executable

        filled = EXPRESSION.sub(one, text)
        assert "${{" not in filled
        return filled

    def step(self, name: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the step of that name in a folder; ``None``: in an empty one."""
        (step,) = (step for step in steps(ACTION) if step["name"] == name)
        env = self.env | {key: self.value(text) for key, text in step.get("env", {}).items()}
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            words, env=env, cwd=folder or self.output.parent, capture_output=True, text=True, check=False
        )
        for line in self.output.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            self.outputs[key] = value
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runner's temporary folder in which the action has installed the lab."""
    folder = tmp_path_factory.mktemp("installed")
    runner = Runner(folder)
    done = runner.step("Install the lab")
    assert done.returncode == 0, done.stderr
    return Path(runner.env["RUNNER_TEMP"])


def on(installed: Path, folder: Path, **inputs: str) -> Runner:
    """A runner for another use of the action in the same job: the lab is there."""
    command = inputs.get("command", "run")
    usual = {"engine": "local"} if command != "check" else {}
    if command in ("run", "scale"):
        usual["level"] = "quick"
    runner = Runner(folder, **usual, **inputs)
    runner.env["RUNNER_TEMP"] = str(installed)
    return runner


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


def commit_to_main(project: Path) -> None:
    """Make a folder a repository, with all of its files in the branch main."""
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "as it was"]):
        subprocess.run(["git", *settings, *words], cwd=project, check=True)


def slower_project(folder: Path) -> Path:
    """A repository with gates on a command, which takes twice as long as on its branch main."""
    project = folder / "project"
    project.mkdir()
    (project / "multicore-lab.toml").write_text(
        "engine = 'local'\n[targets.nap]\nexec = ['sh', 'nap']\nruns = 10\ncpus = 1\n"
        "gates.regression = {max = '30%'}\ngates.time = {max = '5 s'}\n"
    )
    (project / "nap").write_text("sleep 0.03\n")
    (project / "nap.py").write_text("import time\n\n\ndef nap():\n    time.sleep(0.001)\n")
    commit_to_main(project)
    (project / "nap").write_text("sleep 0.06\n")
    return project


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


# ---- GitLab


def test_gitlabs_inputs_are_all_used_and_all_declared() -> None:
    header, _ = documents(GITLAB)
    used = set(re.findall(r"\$\[\[ inputs\.([a-z-]+) \]\]", GITLAB.read_text(encoding="utf-8").partition("\n---\n")[2]))
    assert used == set(header["spec"]["inputs"])


def test_gitlabs_choices_are_the_labs() -> None:
    inputs = documents(GITLAB)[0]["spec"]["inputs"]
    options = subcommands()["run"]._option_string_actions
    assert set(inputs["engine"]["options"]) == set(options["--engine"].choices or ())
    assert {f"--{level}" for level in inputs["level"]["options"] if level != "default"} <= set(options)
    assert set(inputs["fail-on"]["options"]) == set(options["--fail-on"].choices or ())


def gitlab_variables(**inputs: str) -> dict[str, str]:
    """The variables of every job of the template, with these inputs."""
    header, jobs = documents(GITLAB)
    given = {name: inputs.get(name, entry.get("default", "")) for name, entry in header["spec"]["inputs"].items()}
    assert set(inputs) <= set(given)
    return {
        name: re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda match: given[match[1]], text)
        for name, text in jobs[".multicore-lab"]["variables"].items()
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"command": "run", "experiments": "pool", "fail-on": "never", "expect": "gil.no-speedup=refuted"}, ""),
        ({"command": "exec", "target": 'make "all"', "cpus": "1,2", "against": "origin/main"}, ""),
        ({"command": "check", "fail-on": "inconclusive", "expect": "gil.no-speedup=refuted"}, ""),
        ({"command": "run", "target": "make"}, "the input target may be given for scale or exec"),
        ({"command": "run", "cpus": "1"}, "the input cpus may be given for scale or exec"),
        ({"command": "check", "engine": "docker"}, "the input engine may be given for run or scale or exec"),
        ({"command": "exec", "level": "quick"}, "the input level may be given for run or scale"),
        ({"command": "scale", "expect": "a.b=refuted"}, "the input expect may be given for run or check"),
        ({"command": "check", "fail-on": "never"}, "the input fail-on may be surprise or inconclusive for check"),
    ],
    ids=repr,
)
def test_gitlabs_jobs_refuse_an_input_that_the_command_would_ignore(inputs: dict[str, str], words: str) -> None:
    script = documents(GITLAB)[1][".multicore-lab"]["before_script"][0]
    env = {**os.environ, **gitlab_variables(**inputs)}
    done = subprocess.run(["sh", "-ec", script], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr, bool(done.stderr)) == (2 if words else 0, True, bool(words))


def gitlab_job(
    name: str, installed: Path, tmp_path: Path, folder: Path, **variables: str
) -> tuple[dict[str, Any], Any]:
    """A job of the template, and how its scripts ended in this folder, with the lab as installed."""
    jobs = documents(GITLAB)[1]
    job = jobs[name]
    lines = jobs[job["extends"]]["before_script"]
    env = {
        **on(installed, tmp_path).env,
        **gitlab_variables(),
        "PATH": f"{installed}/multicore-lab/venv/bin:{os.environ['PATH']}",
        **variables,
    }
    # The lines between the first and the last one install the lab, which is there.
    script = [lines[0], lines[-1], *job["script"]]
    words = ["bash", "-eo", "pipefail", "-c", "\n".join(script)]
    return job, subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_gitlabs_job_runs_the_lab_and_leaves_what_it_promises(installed: Path, tmp_path: Path) -> None:
    variables = {
        "LAB_LEVEL": "quick", "LAB_CPUS": "1024", "LAB_EXPERIMENTS": "pipe pool", "LAB_EXPECT": "pipe.duplex=confirmed"
    }  # fmt: skip
    job, done = gitlab_job("multicore-lab", installed, tmp_path, tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / job["artifacts"]["reports"]["junit"]).read_text(encoding="utf-8").startswith("<?xml")
    for folder in job["artifacts"]["paths"]:
        assert list((tmp_path / folder).glob("*/session.json"))


def in_a_merge_request(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A project whose branch takes longer than its target branch, and the variables of the merge request."""
    project = slower_project(tmp_path)
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "main"], cwd=project, check=True)
    return project, {"LAB_AGAINST": "", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}


@pytest.mark.slow
@pytest.mark.parametrize(("command", "target"), [("scale", "nap.py:nap"), ("exec", "sh nap")])
def test_gitlabs_job_measures_a_function_or_a_command_beside_the_target_branch(
    command: str, target: str, installed: Path, tmp_path: Path
) -> None:
    project, request = in_a_merge_request(tmp_path)
    variables = {"LAB_COMMAND": command, "LAB_TARGET": target, "LAB_SIZES": "1,1024", "LAB_SETUP": "touch installed"}
    variables |= {"LAB_LEVEL": "quick"} if command == "scale" else {}
    job, done = gitlab_job("multicore-lab-code", installed, tmp_path, project, **request, **variables)
    assert done.returncode == 0, done.stderr
    assert (project / "installed").exists()
    summary, sessions = job["artifacts"]["paths"]
    text = (project / summary).read_text(encoding="utf-8")
    assert target in text
    assert "origin/main" in text
    assert re.search(r"1024 CPUs\b.*\bthis machine has", text)
    assert list((project / sessions).glob("*/session.json"))


@pytest.mark.slow
def test_gitlabs_job_checks_gates_beside_the_target_branch(installed: Path, tmp_path: Path) -> None:
    project, request = in_a_merge_request(tmp_path)
    # With fail-on inconclusive, a gate that noise leaves open would fail as well.
    variables = {"LAB_COMMAND": "check", "LAB_FAIL_ON": "inconclusive"}
    job, done = gitlab_job("multicore-lab-gates", installed, tmp_path, project, **request, **variables)
    assert done.returncode == 1, done.stderr
    text = (project / job["artifacts"]["reports"]["junit"]).read_text(encoding="utf-8")
    assert text.count("<failure ") == 1
    assert "sh nap against origin/main" in text


@pytest.mark.slow
def test_gitlabs_job_ends_where_the_projects_own_setup_fails(installed: Path, tmp_path: Path) -> None:
    _, done = gitlab_job("multicore-lab-gates", installed, tmp_path, tmp_path, LAB_SETUP="exit 7", LAB_COMMAND="check")
    assert done.returncode == 7


# ---- the linters


@pytest.mark.slow
@pytest.mark.skipif(not program("jactionlint"), reason="the dev extra is not installed")
def test_the_linters_find_nothing() -> None:
    world = {**os.environ, "PATH": PATH}
    done = subprocess.run([ROOT / ".ci" / "lint-workflows"], env=world, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
