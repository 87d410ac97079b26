"""A class that has handed in: who differs, which property explains it, what was predicted, and what does not count."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab.model.session import Session
from lab.sessions import merging
from lab.sessions.folder import SessionFolder
from lab.sessions.keeping import keep
from tests.commands.test_session_commands import sealed
from tests.sessions.test_loading import changed, stored
from tests.support import scripts
from tests.support.paths import ROOT
from tests.support.terminal import Lab

#: Ten of thirty have an older Python, in which Pool() asks for the CPUs of the machine, not for those of the cell.
OLDER = range(0, 30, 3)


def session_of(number: int, **changes: Any) -> Session:
    """The session of one student, in which a cell of 1 CPU on a machine with 2 was measured."""
    version = (3, 11, 7) if number in OLDER else (3, 13, 5)
    python = scripts.python(version)
    result = scripts.ran(1, {"pool": scripts.pool(2 if number in OLDER else 1)}, python=python)
    session = scripts.session(result, experiments=("pool",))
    machine = dataclasses.replace(session.machine, python={**python, "kernel": f"6.{number % 2}.0"})
    prediction = {
        "of": "pool.default-size",
        "what": "workers",
        "cell": "cpu1",
        "value": 1.0 + number % 2,
        "whole": True,
    }
    arguments = {**session.arguments, "label": f"student {number}", "predictions": [prediction], **changes}
    return dataclasses.replace(session, id=f"session-{number}", machine=machine, arguments=arguments)


@pytest.fixture
def handed_in(tmp_path: Path) -> Path:
    """Thirty sealed sessions, each in a folder of its own."""
    folder = tmp_path / "handed-in"
    for number in range(30):
        sealed(folder / f"s{number}", f"20260101-0000{number:02}-aa", session_of(number))
    return folder


def test_the_planted_difference_is_found_and_named(lab: Lab, handed_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = lab("class", str(handed_in))
    assert (code, "the same session" in out) == (0, False)
    text = " ".join(out.split())
    assert "30 participants, 30 sessions." in text
    assert "Python: confirmed with CPython 3.13.5; refuted with CPython 3.11.7" in text
    assert "2 (15), 1 (15)" in text or "1 (15), 2 (15)" in text  # what they predicted
    assert "15 of 30" in text
    assert text.index("student 2 ") < text.index("student 10 ")


def test_the_screen_fits_and_has_the_number_where_participants_differ_and_no_column_that_is_alike(
    lab: Lab, handed_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = lab("class", str(handed_in))
    assert max(map(len, out.splitlines())) <= 80
    differing, predictions, people = (
        out.index(title) for title in ("Claims that are true for some", "Predictions beside", "Participants\n")
    )
    assert differing < predictions < people
    table = out[people:].splitlines()
    assert table[1].split()[:3] == ["participant", "Python", "Pool()"]  # all have 2 CPUs
    assert [line.split()[:4] for line in table if line.startswith("student ")][:2] == [
        ["student", "0", "3.11.7", "2"],
        ["student", "1", "3.13.5", "1"],
    ]


def test_properties_that_go_together_cannot_be_separated(lab: Lab, tmp_path: Path) -> None:
    for number in range(12):
        session = session_of(number)
        machine = dataclasses.replace(session.machine, engine="local" if number in OLDER else "docker")
        sealed(tmp_path / f"s{number}", session=dataclasses.replace(session, machine=machine))
    _, out, _ = lab("class", str(tmp_path), "--format", "json")
    claims = {claim["claim"]: claim for claim in json.loads(out)["claims"]}
    assert [each["property"] for each in claims["pool.default-size"]["goes_with"]] == ["engine", "Python"]
    assert claims["pool.errors-surface"]["goes_with"] == []
    assert set(claims["pool.errors-surface"]["participants"]) == {"refuted"}


def test_what_was_edited_does_not_count_and_what_is_incomplete_is_named(lab: Lab, handed_in: Path) -> None:
    (edited,) = (handed_in / "s1").glob("*/cpu1.jsonl")
    edited.write_text(edited.read_text().replace("3", "4"))
    (unsealed,) = (handed_in / "s2").glob("*/seal.json")
    unsealed.unlink()
    (broken,) = (handed_in / "s4").glob("*/session.json")
    broken.write_text("{")
    sealed(handed_in / "s5", "20260102-000000-aa", dataclasses.replace(session_of(5), interrupted=True))
    sealed(handed_in / "s31", session=session_of(7, label="student 31"))
    code, out, _ = lab("class", str(handed_in))
    text = " ".join(out.split())
    assert code == 1
    assert "student 7, student 31: the same session (session-7)" in text
    assert "student 1: edited, so it does not count: cpu1.jsonl was changed" in text
    assert "student 2: not verified: it has no seal" in text
    assert "s4: cannot be read: " in text
    assert "student 5: incomplete: it was interrupted" in text
    assert "31 participants, 32 sessions" in text


def test_the_page_has_its_style_as_it_is(lab: Lab, handed_in: Path) -> None:
    _, out, _ = lab("class", str(handed_in), "--format", "page")
    style = (ROOT / "lab/reports/formats/page/style.css").read_text("utf-8")
    assert '"' in style
    assert f"<style>\n{style}</style>" in out


@pytest.mark.parametrize("form", ["markdown", "csv", "page"])
def test_every_participant_is_in_every_form(lab: Lab, handed_in: Path, tmp_path: Path, form: str) -> None:
    file = tmp_path / "class.out"
    code, _, err = lab("class", str(handed_in), "--format", form, "--output", str(file))
    assert (code, f"written to {file}" in err) == (0, True)
    text = file.read_text(encoding="utf-8")
    assert all(f"student {number}" in text for number in range(30))
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["pool.default-size at 1 CPU"] for row in rows} == {"confirmed", "refuted"}
        assert rows[1]["predicted: pool.default-size at 1 CPU"] == "2"


def test_folders_or_hosts_can_name_participants(lab: Lab, handed_in: Path) -> None:
    _, out, _ = lab("class", str(handed_in), "--by", "folder", "--format", "json")
    assert [each["name"] for each in json.loads(out)["participants"]][:3] == ["s0", "s1", "s2"]


def host_session(number: int, host: str = "", **details: Any) -> Session:
    """The session of one machine that the same orchestrator asked; the first two machines have the older Python."""
    student = (0, 3, 1, 2)[number]  # their kernels are 6.0, 6.1, 6.1 and 6.0
    session = session_of(student, label="", predictions=[], **({"host": host} if host else {}))
    machine = dataclasses.replace(session.machine, details={**session.machine.details, **details})
    return dataclasses.replace(session, id=f"20260101-00000{number}-aa", machine=machine)


def names_of(document: str) -> list[str]:
    return [each["name"] for each in json.loads(document)["participants"]]


def test_hosts_and_nodes_of_one_orchestrator_are_participants_and_what_was_joined_counts_once(
    lab: Lab, tmp_path: Path
) -> None:
    """Two hosts of one run, whose sessions lie below the joined one; a node of Slurm; an engine elsewhere."""
    hosts = [host_session(0, "ssh://me@old-1"), host_session(2, "new-1")]
    run = keep(tmp_path, dataclasses.replace(merging.join(hosts), id="20260101-000009-aa"))
    for session in hosts:
        sealed(run, session.id, session)
    sealed(tmp_path, "20260101-000001-aa", host_session(1, slurm={"node": "old-2"}))
    far = sealed(tmp_path, "20260101-000003-aa", host_session(3, engine_name="docker-desktop"))
    changed(far, host={"name": "mac"})
    with SessionFolder(tmp_path, far.name, again=True) as folder:
        folder.seal()

    code, out, err = lab("class", str(tmp_path), "--by", "host", "--format", "json")
    assert code == 0, err
    everybody = ["me@old-1", "new-1", "old-2", "mac: docker-desktop"]
    assert sorted(names_of(out)) == sorted(everybody)
    (claim,) = (each for each in json.loads(out)["claims"] if each["claim"] == "pool.default-size")
    assert claim["limit"] == "1 CPU"
    assert sorted(claim["participants"]["refuted"]) == ["me@old-1", "old-2"]
    assert [each["property"] for each in claim["goes_with"]] == ["Python"]

    for session in hosts:  # what was joined is enough
        shutil.rmtree(run / session.id)
    assert (
        json.loads(lab("class", str(tmp_path), "--by", "host", "--format", "json")[1])["claims"]
        == json.loads(out)["claims"]
    )

    _, out, _ = lab("class", str(run), "--by", "host")
    assert "too few machines to tell, but they differ in kernel, Python" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "details", "name"),
    [
        ({}, {}, "mac"),
        ({}, {"engine_name": "mac"}, "mac"),
        ({}, {"engine_name": "docker-desktop"}, "mac: docker-desktop"),
        ({"host": "desktop-linux"}, {"engine_name": "docker-desktop"}, "mac: desktop-linux"),
        ({"host": "ssh://me@big"}, {"engine_name": "big"}, "me@big"),
        ({}, {"slurm": {"node": "n1"}}, "n1"),
        ({}, {"nodes": {"cpu1": "b", "cpu2": "a", "cpu4": "b"}}, "a and b"),
    ],
)
def test_a_machine_is_called_by_where_its_cells_ran(
    lab: Lab, tmp_path: Path, arguments: dict[str, Any], details: dict[str, Any], name: str
) -> None:
    session = host_session(0, **details)
    folder = stored(dataclasses.replace(session, arguments={**session.arguments, **arguments}), tmp_path, "one")
    changed(folder, host={"name": "mac"})
    _, out, _ = lab("class", str(tmp_path), "--by", "host", "--format", "json")
    assert names_of(out) == [name]


def test_a_run_on_several_hosts_is_one_session_of_who_handed_it_in(lab: Lab, tmp_path: Path) -> None:
    hosts = [host_session(0, "old-1"), host_session(2, "new-1")]
    run = keep(tmp_path / "anna", dataclasses.replace(merging.join(hosts), id="20260101-000009-aa"))
    for session in hosts:
        sealed(run, session.id, session)
    _, out, _ = lab("class", str(tmp_path), "--by", "folder", "--format", "json")
    (anna,) = json.loads(out)["participants"]
    assert [each["session"] for each in anna["sessions"]] == ["20260101-000009-aa"]
    limits = {each["limit"]: each["verdict"] for each in anna["verdicts"] if each["claim"] == "pool.default-size"}
    assert limits == {"Python 3.11, 1 CPU, old-1": "refuted", "Python 3.13, 1 CPU, new-1": "confirmed"}


def test_a_folder_without_a_session_is_refused(lab: Lab, tmp_path: Path) -> None:
    code, _, err = lab("class", str(tmp_path))
    assert (code, "there is no session in" in err) == (2, True)


#: The key of the documentation, and a question whose answer is a number.
KEY = (ROOT / "docs/examples/class/key.toml").read_text("utf-8")
NUMBER = """
[[answers]]
question = "gil-2"
number = 1.98
within = 0.05
points = 3
"""


def test_the_documentation_shows_the_key_of_the_examples() -> None:
    assert f"```toml\n{KEY}```" in (ROOT / "docs/teaching.md").read_text("utf-8")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A teacher's key."""
    file = tmp_path / "key.toml"
    file.write_text(KEY + NUMBER)
    return file


def test_points_are_given_with_their_grounds(lab: Lab, handed_in: Path, key: Path) -> None:
    (handed_in / "s0" / "answers.toml").write_text('pool-1 = " Two"\ngil-2 = 2.0\n')
    (handed_in / "s2" / "answers.toml").write_text('pool-1 = "8"\ngil-2 = "fast"\n')
    (edited,) = (handed_in / "s2").glob("*/cpu1.jsonl")
    edited.write_text(edited.read_text().replace("3", "4"))
    code, out, _ = lab("grade", str(handed_in), "--key", str(key), "--format", "json")
    assert code == 0
    points = {each["name"]: [ground["points"] for ground in each["grounds"]] for each in json.loads(out)}
    assert points["student 0"] == [2, 0.5, 1, 3]
    assert points["student 2"] == [0, 0, 0, 0]  # an edited session does not count
    assert points["student 4"] == [2, 1, 0, 0]
    _, out, _ = lab("grade", str(handed_in), "--key", str(key), "--of", "student 2")
    text = " ".join(out.split())
    assert "cpu1.jsonl was changed" in text
    assert "'8'; right is 2 or two" in text
    assert "'fast'; right is 1.98, within 0.05" in text


@pytest.mark.parametrize("given", ["s0", "."])
@pytest.mark.parametrize("beside", ["s0", "."])
def test_answers_count_up_to_the_folder_that_was_given(
    lab: Lab, handed_in: Path, key: Path, given: str, beside: str
) -> None:
    (handed_in / beside / "answers.toml").write_text('pool-1 = "2"\n')
    words = ("grade", str(handed_in / given), "--key", str(key), "--of", "student 0", "--format", "json")
    code, out, _ = lab(*words)
    (grade,) = json.loads(out)
    answer = next(ground["points"] for ground in grade["grounds"] if ground["what"] == "answer pool-1")
    assert (code, answer) == (0, 0 if (given, beside) == ("s0", ".") else 1)


def test_the_answers_beside_each_session_count_and_those_of_the_newest_first(
    lab: Lab, handed_in: Path, key: Path
) -> None:
    second = dataclasses.replace(session_of(0), id="session-later", began=86400.0)
    sealed(handed_in / "later", "20260201-000000-aa", second)
    (handed_in / "s0" / "answers.toml").write_text('pool-1 = "8"\ngil-2 = 1.98\n')
    (handed_in / "later" / "answers.toml").write_bytes(b'\xef\xbb\xbfpool-1 = "two"\n')
    words = ("grade", str(handed_in), "--key", str(key), "--of", "student 0", "--format", "json")
    (grade,) = json.loads(lab(*words)[1])
    assert [ground["points"] for ground in grade["grounds"] if ground["what"].startswith("answer")] == [1, 3]


def test_a_folder_that_may_not_be_read_is_said_because_somebody_would_be_missing(
    lab: Lab, handed_in: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk

    def refusing(root: Any, onerror: Any = None) -> Any:
        onerror(PermissionError(13, "Permission denied", f"{root}/s7"))
        return walk(root)

    monkeypatch.setattr(os, "walk", refusing)
    for words in (["class", str(handed_in)], ["grade", str(handed_in), "--key", str(key)]):
        code, _, err = lab(*words)
        assert (code, "s7: Permission denied" in " ".join(err.split())) == (3, True), err


def test_a_copy_and_an_answer_with_another_name_are_told(lab: Lab, handed_in: Path, key: Path) -> None:
    (handed_in / "s0" / "answers.toml").write_text('pool1 = "2"\n')
    sealed(handed_in / "s31", session=session_of(0, label="copier"))
    _, out, _ = lab("grade", str(handed_in), "--key", str(key), "--format", "json")
    grounds = {each["name"]: each["grounds"] for each in json.loads(out)}
    assert "copier handed in the same session" in grounds["student 0"][0]["why"]
    assert "student 0 handed in the same session" in grounds["copier"][0]["why"]
    assert grounds["student 0"][2]["why"] == "there is no answer; there is one called pool1"


@pytest.mark.parametrize("name", ["/dev/zero", "../other", "fifo"])
def test_a_seal_that_names_something_else_than_a_file_of_the_session_is_no_trap(
    lab: Lab, handed_in: Path, name: str
) -> None:
    (seal,) = (handed_in / "s1").glob("*/seal.json")
    os.mkfifo(seal.with_name("fifo"))
    content = json.loads(seal.read_text())
    content["files"][name] = {"bytes": 0, "sha256": ""}
    seal.write_text(json.dumps(content))
    code, out, _ = lab("class", str(handed_in))
    assert (code, "student 1: edited, so it does not count" in " ".join(out.split())) == (1, True)


def test_grades_are_a_table_for_a_spreadsheet(lab: Lab, handed_in: Path, key: Path) -> None:
    _, out, _ = lab("grade", str(handed_in), "--key", str(key), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["participant"] for row in rows][:3] == ["student 0", "student 1", "student 2"]
    assert {row["why: answer pool-1"] for row in rows} == {"there is no answer"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[session]\npoints = 1", "did you mean sessions?"),
        ("[sessions]\npoint = 1", "did you mean points?"),
        ("[sessions]\npoints = -1", "is no number of points"),
        ("[[answers]]\nquestion = 'a'", "give either right or number"),
        ("[[answers]]\nright = 'a'", "names no question"),
        ("answers = 3", "is not a list"),
        ("[[answers]]\nquestion = 'a'\nright = {}", "right = {} is no list of texts"),
        ("[[answers]]\nquestion = 'a'\nnumber = 'two'", "number = 'two' is no number"),
        ("[sessions]\npoints = 1\nexperiments = {}", "experiments = {} is no list of texts"),
        ("[sessions", "is not TOML"),
    ],
)
def test_a_wrong_key_is_refused_with_the_nearest_name(
    lab: Lab, handed_in: Path, key: Path, text: str, message: str
) -> None:
    key.write_text(text)
    code, _, err = lab("grade", str(handed_in), "--key", str(key))
    assert (code, message in " ".join(err.split())) == (2, True), err


def test_answers_that_cannot_be_read_and_nobody_of_that_name_are_said(lab: Lab, handed_in: Path, key: Path) -> None:
    (handed_in / "s0" / "answers.toml").write_text("pool-1 = two\n")
    code, _, err = lab("grade", str(handed_in), "--key", str(key))
    assert (code, "answers.toml is not TOML" in " ".join(err.split())) == (2, True)
    code, _, err = lab("grade", str(handed_in), "--key", str(key), "--of", "nobody")
    assert (code, "there is no participant nobody" in err) == (2, True)
