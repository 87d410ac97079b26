"""The orchestrator on systems that are not Linux: what they lack is hidden from real runs."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import system
from lab.planning.targets import parse_target
from tests.support.other_system import ONLY_LINUX, ONLY_UNIX, UNIX_MODULES, UNIX_SIGNALS
from tests.support.paths import ROOT, TESTS
from tests.test_layers import MODULES, calls, imports, nodes, parsed, part

STORED = TESTS / "data" / "stored"

on_each_system = pytest.mark.parametrize("name", ["macos", "windows"])


def command(name: str, *words: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "tests.support.other_system", name, *words]


#: A text file that is opened without an encoding would have another one on Windows: it is an error.
_STRICT = {"PYTHONWARNDEFAULTENCODING": "1", "COLUMNS": "80"}


def environment(home: Path, **variables: str) -> dict[str, str]:
    (home / "temporary").mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(home), "TMPDIR": str(home / "temporary"), **_STRICT, **variables}


def lab(name: str, home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The lab's command line on that system; no traceback, and nothing left in the folder for temporary files."""
    done = subprocess.run(
        command(name, *words), capture_output=True, text=True, check=False, cwd=ROOT, env=environment(home, **variables)
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "defect" not in done.stderr, done.stderr
    assert list((home / "temporary").iterdir()) == []
    return done


#: What runs on the user's system, and not in a cell.
ORCHESTRATOR = {name for name in MODULES if part(name) != "cell"}

#: The module that asks what a system has, and those that only Linux gets to: the local engine, and what it asks.
ASKS = {"system", "engines/local", "engines/shared_memory", "pythons/programs", "running/parallel_cells"}


def test_the_orchestrator_asks_only_in_one_place_what_a_system_has() -> None:
    missing = {*(f"os.{each}" for each in (*ONLY_LINUX, *ONLY_UNIX)), *(f"signal.{each}" for each in UNIX_SIGNALS)}
    for name in ORCHESTRATOR - ASKS:
        used = {ast.unparse(node) for node in nodes(parsed(name)) if isinstance(node, ast.Attribute)}
        assert used & missing == set(), name
        assert set(imports(parsed(name))) & set(UNIX_MODULES) == set(), name


def test_local_processes_are_suggested_in_only_one_place() -> None:
    advice = re.compile(r"\b(use|or|take)\b[^.;]*--engine local")
    for name in ORCHESTRATOR - {"system"}:
        texts = [node.value for node in nodes(parsed(name)) if isinstance(node, ast.Constant)]
        assert [text for text in texts if isinstance(text, str) and advice.search(text)] == [], name


def test_every_text_has_an_encoding_that_is_the_same_on_each_system() -> None:
    for name in ORCHESTRATOR:
        written = [ast.unparse(call) for _, call in calls(parsed(name))]
        texts = [call for call in written if re.search(r"text=True|\.(read|write)_text\(", call)]
        assert [call for call in texts if not re.search("encoding=|'utf-8'|metadata", call)] == [], name


def test_a_folder_of_windows_has_a_place_in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.in_container("/home/src") == "/home/src"
    monkeypatch.setattr(system, "IS_UNIX", False)
    assert system.in_container(r"C:\Users\me\src") == "/c/Users/me/src"
    assert system.in_container("/src") == "/src"


def test_the_path_of_a_target_may_have_a_colon() -> None:
    case = parse_target([r"C:\code\logs.py:count"], "", "shared", is_statement=False)
    assert (case.where, case.name) == (r"C:\code\logs.py", "count")


@pytest.mark.slow
@on_each_system
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "Start with:"),
        (["list"], 0, "lab explain NAME"),
        (["explain", "gil", "--answers"], 0, "cores"),
        (["cpus", "--seconds", "0.1"], 0, "this system does not tell the affinity mask"),
        (["report", str(STORED / "docker"), "--terminal"], 0, "confirmed"),
        (["verify", str(STORED / "docker")], 0, ""),
        (["compare", str(STORED / "docker"), str(STORED / "docker")], 0, ""),
        (["class", str(STORED), "--by", "host"], 1, "participants"),
        (["doctor"], 3, "cells as local processes: the local engine pins"),
        (["run", "pool"], 3, "no Docker engine answers"),
        (["run", "pool", "--engine", "local"], 2, "has no CPU affinity; run the cells in containers: --engine docker"),
    ],
    ids=lambda value: value[0] + value[-1] * (value[0] == "run") if isinstance(value, list) else "",
)
def test_a_command_says_what_it_can_without_an_engine(
    name: str, words: Sequence[str], code: int, said: str, tmp_path: Path
) -> None:
    done = lab(name, tmp_path, *words, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, text
    assert said in text
    assert "use --engine local" not in done.stderr


@pytest.mark.engine
@on_each_system
def test_a_run_on_an_engine_is_whole(name: str, image: str, tmp_path: Path) -> None:
    words = ["run", "pool", "--quick", "--cpus", "1", "--engine", "docker", "--image", image]
    done = lab(name, tmp_path, *words, "--output", str(tmp_path / "sessions"))
    assert done.returncode == 0, done.stderr
    assert "Pool()" in done.stdout
    (folder,) = (tmp_path / "sessions").iterdir()
    assert lab(name, tmp_path, "verify", str(folder)).returncode == 0
    host = json.loads((folder / "session.json").read_text("utf-8"))["host"]
    assert (host["cpus"], host["cgroup_version"]) == (os.cpu_count(), None)


HOLDER = """
from pathlib import Path
from lab.containers import owner
from lab.sessions.folder import SessionFolder
with SessionFolder(Path({parent!r}), "held"):
    print(owner.own(), flush=True)
    input()
"""
LOOKER = """
from pathlib import Path
from lab.containers import owner
from lab.errors import StoreError
from lab.sessions.folder import SessionFolder, is_written
folder = Path({parent!r}, "held")
print(owner.is_alive({label!r}), is_written(folder), end=" ")
try:
    with SessionFolder(folder.parent, "held", again=True):
        print("written again")
except StoreError as error:
    print("refused")
"""
INTERRUPTED = """
import os
from lab import interrupts
from lab.containers import owner
owner.own()
interrupts.say_remains()
os._exit(130)
"""


@pytest.mark.slow
@on_each_system
def test_a_run_is_under_way_until_its_process_has_ended_however_it_ends(name: str, tmp_path: Path) -> None:
    parent, world = str(tmp_path), environment(tmp_path)

    def look() -> str:
        code = LOOKER.format(parent=parent, label=label)
        return subprocess.check_output(command(name, "-c", code), cwd=ROOT, env=world, text=True).strip()

    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(name, "-c", HOLDER.format(parent=parent)), stdin=pipe, stdout=pipe, cwd=ROOT, env=world, text=True
    ) as holder:
        assert holder.stdout
        label = holder.stdout.readline().strip()
        assert look() == "True True refused"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert look() == "False False written again"
    subprocess.run(command(name, "-c", INTERRUPTED), cwd=ROOT, env=world, check=False)
    assert len(list((tmp_path / "temporary").iterdir())) == 1, "only that of the process that was killed"


IMPORTER = """
import importlib
for name in {names!r}:
    importlib.import_module(name)
"""


@pytest.mark.slow
def test_every_module_can_be_imported_on_windows(tmp_path: Path) -> None:
    """Experiments too, which the orchestrator asks for their claims."""
    names = [f"lab.{name.removesuffix('/__init__').replace('/', '.')}" for name in MODULES if name != "__init__"]
    code = IMPORTER.format(names=names)
    subprocess.run(command("windows", "-c", code), cwd=ROOT, env=environment(tmp_path), check=True)


PINNED = """
import pytest

@pytest.mark.cpus(1)
def test_pinned():
    raise AssertionError

def test_scaling(scaling):
    scaling(len, threads=2)
"""


@pytest.mark.slow
def test_tests_that_are_pinned_are_skipped_where_nothing_can_pin_them(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PINNED)
    words = ["-rs", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    code = f"import pytest; pytest.main({words!r})"
    out = subprocess.check_output(command("macos", "-c", code), cwd=ROOT, env=environment(tmp_path), text=True)
    assert "a test is pinned to cores, and macOS has no CPU affinity" in out
    assert "2 skipped" in out
