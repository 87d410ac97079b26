"""The workflows, the action and the template for GitLab, and a runner that runs the action's scripts."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lab.cli import parser
from tests.support.paths import ROOT

ACTION = ROOT / "action.yml"


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


GITLAB = ROOT / ".gitlab" / "multicore-lab.yml"


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


def subcommands() -> dict[str, argparse.ArgumentParser]:
    (subparsers,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(subparsers.choices)


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


def on(installed: Path, folder: Path, **inputs: str) -> Runner:
    """A runner for another use of the action in the same job: the lab is there."""
    command = inputs.get("command", "run")
    usual = {"engine": "local"} if command != "check" else {}
    if command in ("run", "scale"):
        usual["level"] = "quick"
    runner = Runner(folder, **usual, **inputs)
    runner.env["RUNNER_TEMP"] = str(installed)
    return runner


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
