"""``lab scale`` as a user meets it: what is refused before anything runs, and a whole run."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

SOURCE = """
import sys, threading, time

def busy():
    total = 0
    for number in range(2000):
        total = (total * 31 + number) & 255
    return total

def fails():
    raise ValueError("no luck")

def takes(one):
    return one

def ends():
    import os
    os._exit(7)

def only_in_the_main_thread():
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("not here")
    return busy()

calls = []
number = 3
several = [1, 2, 3]

unnamed = lambda item: item

def picky(item):
    if item == 3:
        raise ValueError(item)

def reads():
    return input()

def fifth():
    calls.append(None)
    time.sleep(0.1)
    if len(calls) == 5:
        raise RuntimeError("the fifth")

def fails_on_3_13():
    if sys.version_info >= (3, 13):
        raise RuntimeError("not here")

def leaks():
    calls.extend(bytes(2**30) for _ in range(4096))  # nobody writes to it

def imports_later():
    import no_such_package_of_a_test
"""

#: Benchmarks of asv that make a file in a folder and remove it again, and functions that fail in every way.
SUITE = """
import os, sys, tempfile

class Mute(Exception):
    def __str__(self):
        raise ValueError

def bench_bad():
    raise ValueError("no luck")

def bench_mute():
    raise Mute

def bench_leaves():
    os._exit(0)

def bench_dies():
    os.abort()

def bench_leaks():
    kept = []
    while True:
        kept.append(bytes(2**30))

def bench_moves():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)

def bench_closes():
    os.closerange(0, 21)

def bench_forgets():
    sys.path.clear()

class Temporary:
    def setup(self):
        self.place, self.path = tempfile.mkstemp(dir=%r)

    def teardown(self):
        os.close(self.place)
        os.unlink(self.path)

    def time_exists(self):
        os.path.exists(self.path)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file of targets."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "work.py").write_text(SOURCE)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["work.py:leaks"], "work.py:leaks raised at its first calls: MemoryError"),
        (["work.py:fails"], "work.py:fails raised at its first calls: ValueError: no luck"),
        (["work.py:takes"], "Give it arguments: --param"),
        (["work.py:ends"], "exited with status 7"),
        (["work.py:nothing"], "has no nothing"),
        (["work.py:number"], "is of type int, and cannot be called"),
        (["work.py:takes", "--items", "ends"], "cannot be measured"),
        (["work.py:picky", "--items", "several"], "raised at item 3 of 3 of --items several: ValueError: 3"),
        (["work.py:fifth"], "raised at its first calls: RuntimeError: the fifth"),
        (["work.py:imports_later"], "PYTHON -m pip install no_such_package_of_a_test"),
        (["work.py:reads"], "The lab gives it no standard input"),
        (["work:busi"], "there is busy"),
        (["no_such_module:f"], "No module named 'no_such_module'"),
        (["work.py:busy", "--param", "n=1"], "names of its parameters: busy()"),
        (["-s", "pass", "1 +"], "no valid syntax"),
    ],
)
def test_a_wrong_target_is_wrong_usage_before_anything_runs(
    lab: Lab, project: Path, words: list[str], message: str
) -> None:
    code, out, err = lab("scale", *words, "--engine", "local", "--output", str(project / "sessions"))
    assert code == 2
    assert message in " ".join(err.split())
    assert out == ""
    assert not (project / "sessions").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.py:f"], "there is no file no.py"),
        (["a:b", "c:d"], "there are 2 targets"),
        (["work.py:busy", "--param", "n"], "has no name and value"),
        (["work.py:busy", "--project", "nowhere"], "is not a folder"),
        (["-s", "x = 0", "x + n", "--param", "n=1,2"], "a statement takes none; write the value into it"),
        (["-s", "x = 0", "x", "--setup", "make"], "a statement takes none; give its setup to -s"),
        (["work.py:busy", "--state", "own"], "there is no setup"),
        (
            ["work.py:busy", "--state", "own", "--setup", "make", "--items", "several"],
            "the items give each call an item",
        ),
        (["work.py:busy", "--chunk", "1,10"], "but there is no list; leave it out, or name a list"),
    ],
)
def test_what_cannot_be_a_target_is_refused(lab: Lab, project: Path, words: list[str], message: str) -> None:
    code, _, err = lab("scale", *words, "--engine", "local")
    assert code == 2
    assert message in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.measures
def test_a_function_is_measured_and_kept_like_any_session(lab: Lab, project: Path) -> None:
    code, out, err = lab(
        *("scale", "work.py:busy", "--engine", "local", "--cpus", "2", "--quick", "--output", str(project / "sessions"))
    )
    assert code == 0, err
    assert "2 threads" in out
    assert "2 processes (spawn)" in out
    assert "\nAdvice: " in out
    assert len(out.splitlines()) <= 45
    assert max(map(len, out.splitlines())) <= 80
    (folder,) = (project / "sessions").iterdir()
    assert lab("verify", str(folder))[0] == 0
    code, text, _ = lab("report", str(folder), "--terminal")
    assert code == 0
    assert "Advice" in text
    manifest = json.loads((folder / "session.json").read_text())
    assert manifest["arguments"]["experiments"] == ["scale:work.py:busy"]


@pytest.mark.slow
def test_a_function_of_a_file_that_fails_costs_itself_alone_and_nothing_is_left(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    file = tmp_path / "suite.py"
    file.write_text(SUITE % str(folder))
    words = ["scale", str(file), "--cpus", "1", "--engine", "local", "--quick", "--format", "json"]
    code, printed, errors = lab(*words, "--output", str(lab.sessions))
    assert code == 2, errors
    session = json.loads(printed)["session"]
    measured = [f"scale:{file}:bench_moves", f"scale:{file}:Temporary.time_exists"]
    assert session["arguments"]["experiments"] == measured
    reasons = dict(re.findall(r"not measured: \S+suite\.py:(\w+) (.*)", "\n".join(session["notes"])))
    early = "at its first calls"
    for name, reason in {
        "bench_bad": "raised at its first calls: ValueError: no luck (suite.py, line 9). Repair that first",
        "bench_mute": "raised at its first calls: Mute: its own text raises ValueError (suite.py, line 12)",
        "bench_leaves": f"cannot be measured: {early} it called os._exit(0), or closed file descriptors",
        "bench_dies": f"cannot be measured: {early} it was killed by SIGABRT; call it once in a program of your own",
        "bench_leaks": "raised at its first calls: MemoryError (suite.py, line 23). It may take 80 %",
        "bench_closes": f"cannot be measured: {early} it called os._exit(0), or closed file descriptors",
        "bench_forgets": "removes from sys.path or sys.modules what workers import",
    }.items():
        assert reason in reasons.pop(name)
    assert reasons == {}
    assert "7 functions cannot be measured" in errors
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.measures
def test_what_fails_in_one_kind_of_worker_costs_that_kind_only(lab: Lab, project: Path) -> None:
    code, out, err = lab(
        *("scale", "work.py:only_in_the_main_thread", "--engine", "local", "--cpus", "2", "--quick"),
        *("--output", str(project / "sessions")),
    )
    assert code == 0, err
    assert "2 processes (fork)" in out
    assert "2 threads" not in out.partition("Why:")[0]
    assert "RuntimeError: not here" in " ".join(out.split())


@pytest.mark.slow
@pytest.mark.measures
def test_a_lambda_costs_the_pools_that_cannot_pickle_it_and_blocks_of_pools_are_as_short_as_those_of_the_loop(
    lab: Lab, project: Path
) -> None:
    words = ("work.py:unnamed", "--items", "several", "--engine", "local", "--cpus", "2", "--quick")
    code, out, err = lab("scale", *words, "--output", str(project / "sessions"))
    assert code == 0, err
    assert "PicklingError" in out or "attribute lookup" in out
    (session,) = (project / "sessions").iterdir()
    records = [json.loads(line) for line in (session / "cpu2.jsonl").read_text().splitlines()]
    (blocks, *_) = [record["data"]["values"] for record in records if record["kind"] == "sample"]
    loop, threads = (blocks[name]["rate"] * blocks[name]["seconds"] for name in ("1 worker", "2 threads"))
    assert threads < loop / 5  # a thread is handed an item in the time of many calls


@pytest.mark.slow
@pytest.mark.measures
def test_two_versions_of_the_code_take_turns_and_a_lost_worker_costs_its_kind_alone(
    lab: Lab, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    slower = SOURCE.replace("range(2000)", "range(6000)")  # a third of the speed
    ends = "    if threading.current_thread() is not threading.main_thread():\n        ends()\n    return total"
    (other / "work.py").write_text(slower.replace("    return total", ends))
    code, out, err = lab(
        *("scale", "work.py:busy", "--engine", "local", "--cpus", "2", "--quick", "--against", str(other)),
        *("--output", str(project / "sessions")),
    )
    assert code == 0, err
    assert "two environments in turn" in out
    row = next(line for line in out.splitlines() if line.startswith("1 worker"))
    assert "% slower" in row or "not decided" in row or "not known" in row  # the machine may be busy
    assert "\n2 processes (spawn) " in out
    assert "\n2 threads" not in out
    reason = "left out: 2 threads (in the other environment: its process ended with exit status 7)"
    assert reason in " ".join(out.split())
    assert "Advice" not in out


#: A virtual environment of the name ``beside`` has no such package, and everybody else needs none.
ELSEWHERE = """
import sys

if "beside" in sys.prefix:
    import no_such_package_of_a_test

def busy():
    return 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "environment", "message"),
    [
        ("def bussy(): ...", "folder", "work has no busy; there is bussy; compare with an environment"),
        ("def busy(): [][0]", "folder", "work.py:busy raised at its first calls: IndexError"),
        (
            "import os\ndef busy(): os._exit(7)",
            "folder",
            "work.py:busy does not work: its process ended with exit status 7",
        ),
        (ELSEWHERE, "beside", "beside/bin/python -m pip install no_such_package_of_a_test"),
    ],
)
def test_what_the_other_environment_cannot_call_is_refused_before_anything_is_measured(
    lab: Lab, project: Path, tmp_path: Path, source: str, environment: str, message: str
) -> None:
    other = tmp_path / environment
    if environment == "beside":
        (project / "work.py").write_text(source)
        venv.create(other, symlinks=True, with_pip=False)
    else:
        other.mkdir()
        (other / "work.py").write_text(source)
    words = ("scale", "work.py:busy", "--engine", "local", "--against", str(other))
    code, out, err = lab(*words, "--output", str(project / "sessions"))
    assert (code, out) == (2, "")
    assert f"in the other environment (--against {other}" in " ".join(err.split())
    assert message in " ".join(err.split())
    assert not (project / "sessions").exists()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["parsers.words:count", "work.py:busy"])
def test_an_installed_project_is_not_compared_with_itself(
    lab: Lab, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """As an editable installation does it: the packages of this version are importable everywhere."""
    (project / "work.py").write_text("from parsers.words import count\n\ndef busy():\n    return count()\n")
    package = project / "python" / "parsers"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "words.py").write_text("def count():\n    return sum(range(2000))\n")
    other = tmp_path / "other"
    shutil.copytree(project, other)
    words = ("scale", target, "--engine", "local", "--cpus", "1", "--quick", "--against", str(other))
    monkeypatch.setenv("PYTHONPATH", str(project / "python"))
    code, _, err = lab(*words, "--output", str(project / "sessions"))
    assert code == 2
    told = " ".join(err.split())
    assert f"in the other environment (--against {other})" in told
    assert "set PYTHONPATH to its name there" in told
    monkeypatch.setenv("PYTHONPATH", "python")
    code, out, err = lab(*words, "--output", str(project / "sessions"))
    assert code == 0, err
    assert "two environments in turn" in out


@pytest.fixture
def open_project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, where the user of a container may read it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "work.py").write_text(SOURCE)
        monkeypatch.chdir(folder)
        yield folder


@pytest.mark.slow
@pytest.mark.engine
def test_two_images_take_turns_and_nothing_is_left(
    lab: Lab, open_project: Path, engine: DockerClient, two_builds: tuple[str, str]
) -> None:
    first, second = (f"multicore-lab-base:{build}" for build in two_builds)
    words = ("--engine", "docker", "--image", first, "--against", second, "--cpus", "1", "--quick")
    code, _, err = lab("scale", "work.py:fails_on_3_13", *words, "--output", str(open_project / "sessions"))
    assert code == 2
    assert f"in the other environment (--against {second}): work.py:fails_on_3_13 raised" in " ".join(err.split())
    code, out, err = lab("scale", "work.py:busy", *words, "--output", str(open_project / "sessions"))
    assert code == 0, err
    (session,) = (open_project / "sessions").iterdir()
    records = [json.loads(line) for line in (session / "cpu1.jsonl").read_text().splitlines()]
    rounds = [record["data"]["values"] for record in records if record["kind"] == "sample"]
    assert rounds
    assert any(blocks["1 worker"]["rate"] > 0 and blocks["other: 1 worker"]["rate"] > 0 for blocks in rounds)
    assert f"other: {second}" in out
    assert engine.containers.list(all=True, filters={"label": f"org.multicore-lab.session={session.name}"}) == []


@pytest.mark.slow
@pytest.mark.engine
def test_a_list_is_worked_on_in_every_kind_of_worker(
    lab: Lab, open_project: Path, build_with_interpreters: str
) -> None:
    (open_project / "one.py").write_text("numbers = [1, 2, 3]\ndef one(number): return number\n")
    words = ("one.py:one", "--items", "numbers", "--engine", "docker", "--python", build_with_interpreters)
    code, _, err = lab("scale", *words, "--cpus", "2", "--quick", "--output", str(open_project / "sessions"))
    assert code == 0, err
    (session,) = (open_project / "sessions").iterdir()
    records = [json.loads(line) for path in session.glob("*.jsonl") for line in path.read_text().splitlines()]
    seen = {record["data"]["name"]: record["data"]["value"] for record in records if record["kind"] == "observation"}
    assert {kind for _, kind, *_ in seen["arms"]} == {"thread", "fork", "forkserver", "spawn", "interpreter"}
    assert "out" not in seen


@pytest.mark.slow
@pytest.mark.engine
def test_each_function_of_a_file_that_ends_its_container_has_another_look_up(
    lab: Lab, open_project: Path, engine: DockerClient, image: str
) -> None:
    (open_project / "suite.py").write_text("import os\ndef bench_a(): os.abort()\ndef bench_b(): os.abort()\n")
    words = ("suite.py", "--engine", "docker", "--image", image)
    code, out, err = lab("scale", *words, "--output", str(open_project / "sessions"))
    assert (code, out) == (2, "")
    assert "suite.py:bench_a cannot be measured: at its first calls it was killed by SIGABRT" in err


@pytest.mark.engine
def test_an_image_that_is_not_there_is_refused_before_anything_is_measured(
    lab: Lab, open_project: Path, engine: DockerClient, image: str
) -> None:
    words = ("scale", "work.py:busy", "--engine", "docker", "--image", image, "--against", "no-such-image:1")
    code, out, err = lab(*words, "--output", str(open_project / "sessions"))
    assert (code, out) == (2, "")
    assert "--against no-such-image:1 is no folder here" in " ".join(err.split())


@pytest.mark.parametrize("other", ["nowhere", "work.py:busy"])
def test_what_is_no_environment_is_refused(lab: Lab, project: Path, other: str) -> None:
    code, _, err = lab("scale", "work.py:busy", "--engine", "local", "--against", other)
    assert code == 2
    assert "neither a folder, nor a Python" in " ".join(err.split())
