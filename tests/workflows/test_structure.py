"""CI for others and for ourselves: pinned, without needless rights, and with commands that the lab has."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import cli, reports
from lab.cli import parser
from lab.planning.request import LEVELS
from tests.support.paths import ROOT
from tests.support.programs import PATH, program
from tests.support.workflows import (
    ACTION,
    GITLAB,
    WORKFLOWS,
    documents,
    jobs,
    steps,
    subcommands,
)

every_file = pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)


every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


@every_file
def test_every_foreign_action_is_pinned_by_a_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(path)) > 0
    for action, comment in used:
        if action != "./":
            assert re.fullmatch(r"(actions|docker)/[a-z-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} does not say its version"


def test_an_action_has_the_same_pin_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ACTION, *WORKFLOWS))
    pins = set(re.findall(r"((?:actions|docker)/[a-z-]+)@(\S+ # \S+)", text))
    assert len(pins) == len({name for name, _ in pins})


#: What the jobs of a workflow may write. All others only read. The page of a release counts as contents.
WRITTEN = {"pages.yml": {"pages", "id-token"}, "release.yml": {"packages", "attestations", "id-token", "contents"}}


@every_workflow
def test_nothing_is_allowed_but_what_a_job_says_it_needs(path: Path) -> None:
    assert documents(path)[0]["permissions"] == {}
    for job in jobs(path).values():
        written = {name for name, right in job["permissions"].items() if right != "read"}
        assert written <= WRITTEN.get(path.name, set())
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


def test_a_release_that_is_started_by_hand_publishes_nothing_also_on_a_tag() -> None:
    release = ROOT / ".github/workflows/release.yml"
    assert "on:\n  push:\n    tags: [" in release.read_text(encoding="utf-8"), "what is pushed is a tag"
    by_name = jobs(release)
    assert by_name["join"]["if"] == "github.event_name == 'push'"
    assert (by_name["publish"]["needs"], by_name["latest"]["needs"]) == ("join", "publish")


def test_an_engine_job_there_is() -> None:
    runs = {step.get("run") for step in jobs(ROOT / ".github/workflows/ci.yml")["engine"]["steps"]}
    assert "pytest -m engine --ignore tests/engines/test_podman.py" in runs


def test_the_tests_run_on_the_oldest_python_that_the_project_takes() -> None:
    oldest = ".".join(map(str, cli._ORCHESTRATOR))
    assert oldest in jobs(ROOT / ".github/workflows/ci.yml")["tests"]["strategy"]["matrix"]["python"]


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
    if words not in (["--version"], ["--help"]):  # these two end the program
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


@pytest.mark.slow
@pytest.mark.skipif(not program("jactionlint"), reason="the dev extra is not installed")
def test_the_linters_find_nothing() -> None:
    world = {**os.environ, "PATH": PATH}
    done = subprocess.run([ROOT / ".ci" / "lint-workflows"], env=world, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
