"""A claim of one's own: the file that ``lab new`` writes, and what is said of each mistake in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.cell import experiments
from tests.support.terminal import Lab


@pytest.fixture
def written(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that ``lab new two-threads`` writes, in the current folder."""
    monkeypatch.chdir(tmp_path)
    code, out, _ = lab("new", "two-threads")
    assert (code, "lab run ./two_threads.py" in out) == (0, True)
    return tmp_path / "two_threads.py"


def changed(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def test_the_plan_says_what_would_be_judged(lab: Lab, written: Path) -> None:
    code, out, _ = lab("plan", "./two_threads.py", "--engine", "local", "--cpus", "1")
    text = " ".join(out.split())
    assert code == 0
    assert "judged in each cell: two-threads.sum: “one and one make two”" in text
    assert "two-threads.waiting-overlaps" in text


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("def run(", "def run((", "two_threads.py:38: "),
        ("EXPERIMENT = ", "EXPERIMENTS = ", "has no EXPERIMENT; lab new NAME writes a file that has one"),
        ('name="two-threads"', 'name="threads"', "the experiment is called 'threads', the file 'two-threads'"),
        ('"two-threads.sum"', '"threads.sum"', "the claim is called 'threads.sum'; call it two-threads.NAME"),
        ('"two-threads.sum"', '"two-threads-sum"', "the claim is called 'two-threads-sum'"),
        ('"two-threads.sum"', '"two-threads.waiting-overlaps"', "2 claims are called two-threads.waiting-overlaps"),
        ('observe("shared"', 'observe("sharde"', "looked for 'shared'; observed: round, sharde"),
        ("import threading", "import numpy_of_nobody", "may import the standard library and lab.cell"),
        ("SECONDS = 0.02", "SECONDS = 1 / 0", "it raised ZeroDivisionError"),
        ("run=run,", "run=3,", "run is no function"),
        ("always(CONFIRMED),  # what", "CONFIRMED,  # what", "that says what is expected"),
    ],
)
def test_each_mistake_is_told_with_its_line_and_the_next_step(
    lab: Lab, written: Path, before: str, after: str, message: str
) -> None:
    changed(written, before, after)
    code, _, err = lab("plan", "./two_threads.py", "--engine", "local", "--cpus", "1")
    assert code == 2, err
    assert message in " ".join(err.split())
    assert lab("list")[0] == 0


def test_all_mistakes_of_a_file_are_told_at_once(lab: Lab, written: Path) -> None:
    changed(written, 'name="two-threads"', 'name="threads"')
    changed(written, '"two-threads.sum"', '"two-threads-sum"')
    _, _, err = lab("plan", "./two_threads.py", "--engine", "local", "--cpus", "1")
    text = " ".join(err.split())
    assert "the experiment is called 'threads'" in text
    assert "the claim is called 'two-threads-sum'" in text


def test_a_sample_of_a_module_is_no_observation(lab: Lab, written: Path) -> None:
    changed(written, "import time\n", "import random\nimport time\n")
    changed(written, "sum([1, 1]) == 2", "len(random.sample(range(9), 3)) == 3")
    changed(written, 'observe("shared"', 'observe("sharde"')
    code, _, err = lab("plan", "./two_threads.py", "--engine", "local", "--cpus", "1")
    assert (code, "looked for 'shared'; observed: round, sharde" in " ".join(err.split())) == (2, True), err


def test_a_file_that_is_named_with_hyphens_is_told_its_name(lab: Lab, written: Path) -> None:
    code, _, err = lab("plan", "./two-threads.py", "--engine", "local")
    assert (code, "its name is written with underscores: two_threads.py" in " ".join(err.split())) == (2, True), err


@pytest.mark.slow
def test_a_broken_file_costs_itself_and_no_other_experiment(lab: Lab, written: Path) -> None:
    written.with_name("broken.py").write_text("EXPERIMENT = (\n")
    code, out, err = lab("plan", "two_threads.py", "./broken.py", "--engine", "local", "--cpus", "1")
    assert (code, "broken.py:1: '(' was never closed" in err, "two-threads.sum" in out) == (2, True, True)
    words = ["pipe", "./broken.py", "--engine", "local", "--cpus", "1", "--quick"]
    code, out, err = lab.run(*words)
    text = " ".join(out.split())
    assert (code, "exit code 2: 1 file cannot be measured" in err) == (2, True), err
    assert "not measured: ./broken.py" in text
    assert "Confirmed here" in text
    (folder,) = lab.sessions.iterdir()
    assert lab("report", str(folder), "--terminal")[0] == lab("verify", str(folder))[0] == 0


def test_a_line_is_told_where_there_is_one(lab: Lab, written: Path) -> None:
    changed(written, '"two-threads.sum"', '"threads.sum"')
    _, _, err = lab("plan", "./two_threads.py", "--engine", "local")
    line = (
        written.read_text()
        .splitlines()
        .index('            "threads.sum",  # the name of the experiment, a dot, a name of its own')
        + 1
    )
    assert f"two_threads.py:{line}:" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "./nobody.py"), "nobody.py cannot be read"),
        (("new", "pool"), "pool is an experiment of the lab"),
        (("new", "Two"), "is no name of an experiment"),
        (("explain", "./two.py"), "lab plan ./two.py says what would be judged"),
    ],
)
def test_what_cannot_be_an_experiment_is_refused(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = lab(*words)
    assert (code, message in err) == (2, True), err


def test_a_file_that_is_there_is_not_written_again(lab: Lab, written: Path) -> None:
    written.write_text("mine")
    code, _, err = lab("new", "two-threads")
    assert (code, "is there already" in err, written.read_text()) == (2, True, "mine")


def test_a_broken_file_beside_the_labs_own_costs_itself_alone(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_by_a_test.py").write_text("EXPERIMENT = (\n")
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    code, out, _ = lab("list")
    assert (code, "broken-by-a-test cannot be loaded: SyntaxError" in out, "pool.cpu-count" in out) == (0, True, True)
    assert "broken-by-a-test" not in experiments.usual()
    (tmp_path / "broken_by_a_test.py").write_text("import math\nEXPERIMENT = math.sqrt(-1)\n")
    text = " ".join(lab("list")[1].split())
    assert "cannot be loaded: ValueError: math domain error (broken_by_a_test.py, line 2, in <module>)" in text
    assert lab("explain", "pipe")[0] == lab("plan", "pipe", "--engine", "local", "--cpus", "1")[0] == 0


def cut_short(folder: Path) -> None:
    """Leave a session as a run that was killed in its only cell."""
    (folder / "cpu1.jsonl").unlink()
    manifest = json.loads((folder / "session.json").read_text())
    del manifest["report"]
    (folder / "session.json").write_text(json.dumps(manifest))


def test_two_files_of_one_name_are_refused(lab: Lab, written: Path) -> None:
    other = written.parent / "other" / written.name
    other.parent.mkdir()
    other.write_text(written.read_text())
    code, _, err = lab("plan", "./two_threads.py", "./other/two_threads.py", "--engine", "local")
    assert (code, "have the same name" in " ".join(err.split())) == (2, True), err


@pytest.mark.slow
def test_it_runs_from_anywhere_and_is_kept_reported_resumed_and_repeated(
    lab: Lab, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    code, out, err = lab.run(str(written), "--engine", "local", "--cpus", "1", "--quick", "--format", "json")
    assert code == 0, err
    verdicts = {each["claim"]: each["verdict"] for each in json.loads(out)["verdicts"]}
    assert verdicts["two-threads.sum"] == "confirmed"
    (folder,) = lab.sessions.iterdir()
    cut_short(folder)
    experiments.let_go("two-threads")
    code, _, err = lab("run", "--resume", str(folder), "--yes")
    assert (code, "0 of 1 cells are there already" in err) == (0, True), err
    experiments.let_go("two-threads")
    code, out, _ = lab("report", str(folder), "--terminal")  # which never runs the file
    assert (code, "two-threads.sum" in out) == (0, True)
    assert lab("verify", str(folder))[0] == 0
    code, _, err = lab("replay", str(folder), "--output", str(lab.sessions))
    assert (code, "the experiment" in err) == (2, True), err
    code, out, err = lab("replay", str(folder), "--output", str(lab.sessions), "--yes")
    assert code in (0, 1), err
    assert "two-threads" in err


@pytest.mark.slow
def test_what_ends_its_process_is_told_with_the_file_and_the_next_step(lab: Lab, written: Path) -> None:
    changed(written, "import threading\n", "import os\nimport threading\n")
    changed(written, 'recorder.observe("shared", sum([1, 1]) == 2)', "os._exit(0)")
    code, out, err = lab.run("./two_threads.py", "--engine", "local", "--cpus", "1", "--quick", "--format", "json")
    assert code == 3, err
    (reason,) = {each["reason"] for each in json.loads(out)["verdicts"]}
    assert "called os._exit(0)" in reason
    assert reason.endswith("; run in two_threads.py has to return before its time limit")


@pytest.mark.slow
def test_what_it_raises_has_its_line_and_frames_in_the_records(lab: Lab, written: Path) -> None:
    changed(written, 'recorder.observe("shared", sum([1, 1]) == 2)', "int('one')")
    code, out, err = lab.run("./two_threads.py", "--engine", "local", "--cpus", "1", "--quick", "--format", "json")
    assert code == 3, err
    reason = json.loads(out)["verdicts"][0]["reason"]
    line = next(n for n, text in enumerate(written.read_text().splitlines(), 1) if "int('one')" in text)
    assert reason.endswith(f"(two_threads.py, line {line}, in run); repair that line")
    (folder,) = lab.sessions.iterdir()
    records = (folder / "cpu1.jsonl").read_text()
    assert f"two_threads.py, line {line}, in run" in records


@pytest.mark.slow
def test_what_was_looked_for_and_never_made_is_an_error(lab: Lab, written: Path) -> None:
    changed(written, 'observe("shared"', 'observe("shar" + "de"')
    code, out, err = lab.run("./two_threads.py", "--engine", "local", "--cpus", "1", "--quick", "--format", "json")
    assert code == 3, err
    reasons = [each["reason"] for each in json.loads(out)["verdicts"]]
    assert any("evidence is missing: looked for 'shared'; observed: 'sharde', 'round'" in reason for reason in reasons)


@pytest.mark.slow
@pytest.mark.engine
def test_it_runs_in_a_container(lab: Lab, written: Path, image: str) -> None:
    code, out, err = lab.run(
        "./two_threads.py", "--engine", "docker", "--image", image, "--cpus", "1", "--quick", "--format", "json"
    )
    assert code == 0, err
    verdicts = {each["claim"]: each["verdict"] for each in json.loads(out)["verdicts"]}
    assert verdicts["two-threads.sum"] == "confirmed"
