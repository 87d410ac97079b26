"""Stored sessions of ``lab scale``: every command that takes up a session takes up these too."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.commands import replay
from lab.judging import comparison, differences
from lab.judging.advice import all_advice
from lab.judging.comparison import NumberChange
from lab.model.session import Session
from lab.sessions.folder import SessionFolder
from tests.sessions.test_loading import stored
from tests.support import own_code
from tests.support.own_code import BUSY, FREE, HOLDS
from tests.support.terminal import Lab


def sealed(session: Session, parent: Path, name: str = "20260101-000000-aa") -> Path:
    """The session's folder, whole and sealed."""
    with SessionFolder(stored(session, parent, name).parent, name, again=True) as folder:
        folder.seal()
    return folder.path


def named(session: Session, name: str) -> Session:
    return dataclasses.replace(session, id=name)


def changed(base: Session, new: Session) -> dict[tuple[str, str], NumberChange]:
    return {(pair.cell, pair.name): pair.change for pair in comparison.compare(base, new).pairs}


def test_a_regression_is_found_for_the_executor_and_the_count_that_has_it() -> None:
    base = own_code.one_case(FREE)
    slower = own_code.one_case({**FREE, ("thread", 2): 1.4}, seed=2)
    regressions = {key for key, change in changed(base, slower).items() if change is NumberChange.REGRESSION}
    assert regressions == {("2", "work.py:busy: 2 threads: calls/s"), ("2", "work.py:busy: 2 threads: speed-up")}


def test_the_same_numbers_are_alike_for_every_executor() -> None:
    kinds = changed(own_code.one_case(HOLDS), own_code.one_case(HOLDS, seed=7))
    assert len({name for _, name in kinds}) == len([name for cell, name in kinds if cell == "2"])
    assert {*kinds.values()} == {NumberChange.ALIKE}


def test_a_slower_function_on_a_slower_machine_is_no_regression() -> None:
    base = own_code.session(own_code.ran(2, (BUSY, own_code.said(FREE))))
    slow = own_code.session(own_code.ran(2, (BUSY, own_code.said(FREE, rate=800, speed=0.8, seed=3))))
    assert NumberChange.REGRESSION not in changed(base, slow).values()


def test_a_function_that_is_called_in_another_way_is_not_the_same() -> None:
    base, new = own_code.one_case(), own_code.one_case()
    (case,) = new.arguments["cases"]
    other = dataclasses.replace(new, arguments={**new.arguments, "cases": [{**case, "setup": "make"}]})
    (difference,) = differences.session_differences(base, other)
    assert difference.what == "work.py:busy"
    assert "setup make" in difference.new
    slower = dataclasses.replace(new, arguments={**new.arguments, "cases": [{**case, "call_seconds": 9.0}]})
    assert differences.session_differences(base, slower) == ()


def test_compare_names_the_workers(lab: Lab, tmp_path: Path) -> None:
    base = stored(own_code.one_case(FREE), tmp_path, "20260101-000000-aa")
    new = stored(own_code.one_case({**FREE, ("thread", 2): 1.4}, seed=2), tmp_path, "20260101-000000-bb")
    code, out, _ = lab("compare", str(base), str(new))
    assert code == 1
    assert "work.py:busy: 2 threads: speed-up" in " ".join(out.split())
    code, out, _ = lab("compare", str(base), str(new), "--format", "json")
    names = [number["name"] for number in json.loads(out)["numbers"]]
    assert len(names) > len({*names}) > 0  # two cells have the one worker
    assert "work.py:busy: 2 processes (spawn): calls/s" in names


def test_merge_joins_functions_and_limits(lab: Lab, tmp_path: Path) -> None:
    other = BUSY._replace(label="work.py:other", name="other")
    small = named(own_code.session(own_code.ran(1, (BUSY, own_code.said({})))), "one")
    large = named(own_code.session(own_code.ran(2, (other, own_code.said(HOLDS))), cases=[other]), "two")
    folders = [stored(small, tmp_path, "20260101-000000-aa"), stored(large, tmp_path, "20260101-000000-bb")]
    code, out, _ = lab("merge", *map(str, folders), "--format", "json", "--output", str(tmp_path / "merged"))
    assert code == 0
    joined = json.loads(out)
    assert {(each["case"], each["workers"]) for each in joined["advice"]} == {("work.py:busy", 1), ("work.py:other", 2)}
    code, out, _ = lab("report", str(next((tmp_path / "merged").iterdir())), "--terminal")
    assert code == 0
    assert "Advice: for other with 2 CPUs, take 2 processes (fork)" in " ".join(out.split())


def test_merge_refuses_one_name_for_two_ways_of_calling(lab: Lab, tmp_path: Path) -> None:
    other = BUSY._replace(setup="make")
    sessions = [
        named(own_code.session(own_code.ran(size, (case, own_code.said({}))), cases=[case]), f"size-{size}")
        for size, case in ((1, BUSY), (2, other))
    ]
    folders = [stored(session, tmp_path, f"2026010{number}-000000-aa") for number, session in enumerate(sessions, 1)]
    code, _, err = lab("merge", *map(str, folders))
    assert code == 2
    assert "call work.py:busy in different ways" in " ".join(err.split())


@pytest.mark.parametrize("name", own_code.every_kind())
def test_a_stored_session_is_read_back_as_it_was(name: str, lab: Lab, tmp_path: Path) -> None:
    session = own_code.every_kind()[name]
    folder = sealed(session, tmp_path)
    code, out, err = lab("verify", str(folder))
    assert code == 0, out + err
    code, out, _ = lab("report", str(folder), "--terminal")
    assert code == 0
    for advice in all_advice(session):
        assert advice.case.label.rpartition(":")[2] in out
    assert "Refuted here" not in out
    code, out, _ = lab("sessions", "--output", str(tmp_path))
    assert code == 0
    assert "work.py:" in out
    assert "scale:" not in out


def test_a_report_whose_advice_is_not_that_of_its_records_is_found(lab: Lab, tmp_path: Path) -> None:
    folder = stored(own_code.one_case(), tmp_path)
    manifest = json.loads((folder / "session.json").read_text())
    manifest["report"]["advice"][-1]["workers"] = 7
    (folder / "session.json").write_text(json.dumps(manifest))
    with SessionFolder(folder.parent, folder.name, again=True) as again:
        again.seal()
    code, out, err = lab("verify", str(folder))
    assert code == 1
    assert "the report says to take 7 of fork for work.py:busy at cpu2" in " ".join((out + err).split())


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("cases", [{"label": "f"}]),
        ("cases", [{**BUSY.to_stored(), "added": 1}]),
        ("cases", [{**BUSY.to_stored(), "where": 5}]),
        ("cases", [{**BUSY.to_stored(), "against": {"python": "/usr/bin/python3"}}]),
        ("cases", "work.py"),
        ("target", {"case": {}, "params": {}, "project": "/"}),
    ],
)
def test_a_case_that_is_none_is_refused_in_a_sentence(entry: str, value: object, lab: Lab, tmp_path: Path) -> None:
    folder = stored(own_code.one_case(), tmp_path)
    manifest = json.loads((folder / "session.json").read_text())
    manifest["arguments"][entry] = value
    (folder / "session.json").write_text(json.dumps(manifest))
    code, _, err = lab("report", str(folder), "--terminal")
    assert code == 2
    assert "does not describe a session" in err


SOURCE = """
def busy():
    total = 0
    for number in range(2000):
        total = (total * 31 + number) & 255
    return total
"""


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_and_can_be_replayed(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, sessions = tmp_path / "project", tmp_path / "sessions"
    project.mkdir()
    (project / "work.py").write_text(SOURCE)
    monkeypatch.chdir(project)
    words = ["work.py:busy", "--engine", "local", "--cpus", "1,2", "--quick", "--output", str(sessions)]
    with subprocess.Popen(
        [sys.executable, "-m", "lab", "scale", *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if "1 CPU (0): measured" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    code, _, err = lab("scale", "work.py:busy", "--resume", "--output", str(sessions))
    assert code == 2
    assert "leave out work.py:busy" in err
    (project / "work.py").write_text(SOURCE + "# changed\n")
    code, _, err = lab("scale", "--resume", "--output", str(sessions))
    assert code == 2
    assert "the file of work.py:busy has changed since" in err
    (project / "work.py").write_text(SOURCE)
    code, out, err = lab("scale", "--resume", "--output", str(sessions))
    assert code == 0, err
    assert "1 of 2 cells are there already" in err
    assert "work.py:busy, 2 CPUs" in out
    assert "Advice: " in out
    (folder,) = sessions.iterdir()
    assert json.loads((folder / "session.json").read_text())["resumed"]
    assert lab("verify", str(folder))[0] == 0
    code, out, err = lab("replay", str(folder), "--output", str(sessions))
    assert code in (0, 1), err
    assert "replaying" in err
    assert f"repeats {folder.name}" in out
    assert len([*sessions.iterdir()]) == 2


def test_where_the_other_version_is_gone_nothing_is_repeated(lab: Lab, tmp_path: Path) -> None:
    gone, project = tmp_path / "gone", tmp_path / "project"
    project.mkdir()
    session = own_code.one_case()
    target = {**session.arguments["target"], "project": str(project), "other": str(gone)}
    arguments = {**session.arguments, "engine": "local", "image": None, "target": target}
    folder = stored(dataclasses.replace(session, arguments=arguments), tmp_path)
    code, out, err = lab("replay", str(folder), "--yes", "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert f"the other version was in {gone}, which is gone" in " ".join(err.split())


def test_a_repetition_with_other_advice_says_so() -> None:
    assert replay._advice(own_code.one_case(HOLDS), own_code.one_case(FREE)) == [
        "advice for work.py:busy at cpu2: 2 processes (fork) then, 2 threads now"
    ]
    assert replay._advice(own_code.one_case(HOLDS), own_code.undecided()) == []
