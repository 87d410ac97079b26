"""What the pages tell a user to type works after the installation that the README gives, and with nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.once import made_once
from tests.support.paths import ROOT
from tests.test_docs import PAGES

pytestmark = pytest.mark.slow

#: Commands that read and print. The others measure, change the machine or ask the engine, and only explain themselves.
READ_ONLY = ("compare", "explain", "list", "merge", "plan", "report", "sessions", "verify")

#: A word that stands for something of the user's -> an example of it.
_EXAMPLES = {"NAME": "pool", "CLAIM": "pool.cpu-count", "…": "", "EXPERIMENT": "pool"}


def commands(pattern: str) -> list[str]:
    """The commands of this form that the pages show, in quotes or in a block of their own."""
    shown = {match for text in PAGES.values() for match in re.findall(rf"(?:`|^ {{4}}){pattern}", text, re.MULTILINE)}
    return sorted({re.split(r"  | #| && ", command)[0].strip() for command in shown})


def is_whole(command: str) -> bool:
    """Whether this is a command, and not only the name of an option that wants a value."""
    return command != "lab explain" and command.split()[-1] not in ("--fail-on", "--image", "--seed", "--width")


LAB = [command for command in commands(r"(lab [a-z][^`\n|>]*)") if is_whole(command)]
BENCHMARKS = sorted({command.split()[1] for command in commands(r"(python benchmarks/[^`\n]*)")})


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new virtual environment, with what the first installation of the README brings."""
    return made_once(tmp_path_factory, "installed", install) / "bin"


def install(folder: Path) -> None:
    """Install the lab into a new virtual environment in this folder."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    (extra,) = re.findall(r"pip install '\.(\[\w+\])' && .venv/bin/lab run", PAGES["README.md"])
    requirement = f".{extra}"
    assert f"pip install 'multicore-lab{extra}'" in PAGES["README.md"]
    # Python compiles what it loads. To compile all of it now takes long.
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile", requirement]
    subprocess.run(pip, cwd=ROOT, check=True, capture_output=True, timeout=280)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one session."""
    folder = tmp_path_factory.mktemp("kept") / "sessions"
    (session,) = (ROOT / "tests/data/stored/local").iterdir()
    shutil.copytree(session, folder / session.name)
    return folder


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("command", LAB)
def test_a_command_of_the_lab_works(command: str, environment: Path, sessions: Path) -> None:
    _, name, *words = command.replace("[", "").replace("]", "").split()
    (session,) = sessions.iterdir()
    given = [_EXAMPLES.get(word.rstrip("…"), word.rstrip("…")) for word in words]
    for place, word in enumerate(given[:-1]):
        if word in ("--png", "--svg"):
            given[place + 1] = str(sessions.parent / "charts")
    given = [str(session) if word in ("SESSION", "BASE", "NEW", "DIR") else word for word in given if word]
    if name not in READ_ONLY or {"--topology", "--host"} & {*given}:
        given.insert(0, "--help")
    elif name in ("report", "compare", "merge", "verify") and not any(str(session) in word for word in given):
        given += [str(session)] * (2 if name == "compare" else 1)
    given = [str(session) if "*" in word else word for word in given]
    if "--format" in given[:-1]:
        given[given.index("--format") + 1] = given[given.index("--format") + 1].replace("pool", "json")
    done = run(str(environment / "lab"), name, *given, folder=sessions.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout or name == "merge", done.stderr


@pytest.mark.parametrize("script", BENCHMARKS)
def test_a_script_that_prints_figures_starts(script: str, environment: Path) -> None:
    done = run(str(environment / "python"), str(ROOT / script), "--help", folder=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize("arguments", [["report"], ["report", "--terminal"], ["report", "--png", "charts"]])
def test_a_session_is_shown_in_every_way(arguments: list[str], environment: Path, sessions: Path) -> None:
    (session,) = sessions.iterdir()
    done = run(str(environment / "lab"), *arguments, str(session), folder=sessions.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
