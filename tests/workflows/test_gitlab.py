"""The template for GitLab: its jobs really run here, as a runner would run them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.workflows import (
    GITLAB,
    documents,
    on,
    slower_project,
    subcommands,
)


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
