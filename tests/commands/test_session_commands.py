"""``lab sessions``, ``verify``, ``compare``, ``replay`` and ``merge`` from the command line; sessions of all ages."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab import reports
from lab.model.cell import Status
from lab.model.session import Session
from lab.sessions import listing, loading
from lab.sessions.folder import SessionFolder, read_files
from tests.judging.test_comparison import messages
from tests.sessions.test_loading import changed, stored
from tests.support import cells, scripts
from tests.support.paths import TESTS
from tests.support.terminal import Lab

OLD = TESTS / "data" / "session-v1"
EXPECTED = scripts.every_kind()["expected"]


def sealed(parent: Path, name: str = "20260101-000000-aa", session: Session = EXPECTED) -> Path:
    """A stored session with its seal."""
    folder = stored(session, parent, name)
    changed(folder, versions={"lab": session.lab_version, "code_sha256": session.code_sha256})
    with SessionFolder(parent, name, again=True) as again:
        again.seal()
    return folder


def test_a_session_of_the_first_schema_is_read_judged_and_reported(lab: Lab) -> None:
    session = loading.load_session(OLD)
    assert [result.status for result in session.results] == [Status.MEASURED, Status.MEASURED, Status.UNAVAILABLE]
    before = {
        (entry["claim"], entry["cell"]): entry["verdict"] for entry in loading.manifest(OLD)["report"]["verdicts"]
    }
    after = {(judgement.claim, judgement.cell): judgement.verdict for judgement in session.judgements}
    assert {key: before[key] for key in after if key in before} == {key: after[key] for key in after if key in before}
    assert len(before) == 18
    code, out, _ = lab("verify", str(OLD))
    assert (code, "never sealed" in " ".join(out.split())) == (0, True)
    assert lab("report", str(OLD), "--terminal")[0] == 0
    assert lab("compare", str(OLD), str(OLD))[0] == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_torn_at_any_byte_gives_every_complete_record_and_is_named(share: float, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    if not folder.exists():
        changed(stored(EXPECTED, tmp_path, "torn"), report=None)
    whole = next(result for result in EXPECTED.results if result.cell.id == "cpu2")
    (folder / "cpu2.jsonl").unlink()
    stream = read_files(stored(EXPECTED, tmp_path, "whole"))["cpu2.jsonl"] if not (tmp_path / "whole").exists() else b""
    stream = stream or (tmp_path / "whole" / "cpu2.jsonl").read_bytes()
    torn = stream[: int(share * len(stream))]
    (folder / "cpu2.jsonl").write_bytes(torn)
    result = next(result for result in loading.load_session(folder).results if result.cell.id == "cpu2")
    assert result.records == whole.records[: torn.count(b"\n")]
    if torn.count(b"\n") < len(whole.records):
        assert result.status is Status.ERROR
        expected = ["no record came", "the end record is missing", "a torn last line"]
        assert any(fault in str(result.reason) for fault in expected)
        assert ("a torn last line" in str(result.reason)) is not (torn.endswith(b"\n") or not torn)


def test_sessions_are_listed_with_what_became_of_them(lab: Lab, tmp_path: Path) -> None:
    sealed(tmp_path, "20260101-000000-aa")
    sealed(tmp_path, "20260102-000000-aa", scripts.every_kind()["interrupted"])
    changed(stored(EXPECTED, tmp_path, "20260103-000000-aa"), report=None)
    (sealed(tmp_path, "20260104-000000-aa") / "cpu1.jsonl").unlink()
    changed(stored(EXPECTED, tmp_path, "20260105-000000-aa"), schema=2)
    (stored(EXPECTED, tmp_path, "20260106-000000-aa") / "session.json").write_text("{")
    sealed(tmp_path, "20260107-000000-aa", scripts.every_kind()["error"])
    running = SessionFolder(tmp_path, "20260108-000000-aa")
    with running:
        running.write_manifest(loading.manifest(tmp_path / "20260101-000000-aa"))
        entries = listing.entries(tmp_path)
    assert [entry.state.value for entry in entries] == [
        "complete",
        "interrupted",
        "cut short",
        "damaged",
        "unreadable",
        "unreadable",
        "incomplete",
        "running",
    ]
    assert (entries[0].measured, entries[0].planned, entries[0].surprises, entries[0].where) == (
        2,
        2,
        0,
        "docker 3.13.5",
    )
    assert "cpu1.jsonl is missing" in entries[3].reason
    assert "newer lab" in entries[4].reason
    code, out, _ = lab("sessions", "--output", str(tmp_path))
    assert code == 0
    assert all(entry.id in out for entry in entries)
    assert len(json.loads(lab("sessions", "--output", str(tmp_path), "--format", "json")[1])) == 8


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_nothing_is_wider_than_the_terminal_or_than_forty_columns(
    columns: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    base, new = sealed(tmp_path / "s", "b", messages(1, 1)), sealed(tmp_path / "s", "n", messages(1.2, 2))
    (new / "cpu2.jsonl").write_bytes(b"")
    for command in (["sessions", "--output", str(tmp_path / "s")], ["verify", str(new)], ["verify", str(base)]):
        out = lab(*command)[1]
        assert max(map(len, out.splitlines())) <= max(int(columns), 40), out
    again = sealed(tmp_path / "s", "again", messages(1.2, 2))
    code, out, _ = lab("compare", str(base), str(again))
    assert code == 1
    assert max(map(len, out.splitlines())) <= max(int(columns), 40), out


def test_a_session_of_several_builds_is_listed_with_all_of_them(tmp_path: Path) -> None:
    both = {"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}
    stored(scripts.on_builds(both, (2,)), tmp_path)
    (entry,) = listing.entries(tmp_path)
    assert entry.where == "docker 3.13, 3.14"
    assert entry.image == "multicore-lab-base:3.13, multicore-lab-base:3.14"


def test_sessions_of_several_builds_stay_a_table_of_80_columns(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    builds = {f"3.{minor}": scripts.python((3, minor, 0)) for minor in (9, 11, 13, 14, 15)}
    stored(scripts.on_builds(builds, (2,)), tmp_path)
    sealed(tmp_path, "20260102-000000-aa", scripts.every_kind()["interrupted"])
    (sealed(tmp_path, "20260104-000000-aa") / "cpu1.jsonl").unlink()
    changed(stored(EXPECTED, tmp_path, "20260105-000000-aa"), schema=2)
    code, out, _ = lab("sessions", "--output", str(tmp_path))
    assert code == 0
    head, second, line, *rows = out.splitlines()
    assert head.split() == ["session", "machine", "experiments", "state"]
    assert second.split() == ["began", "engine,", "Python", "measured", "cells"]
    assert set(line) == {"-", " "}
    assert "docker, 5 builds" in out
    assert any("2 CPUs" in row for row in rows)
    assert max(map(len, rows)) <= 80


def test_verify_names_what_was_edited(lab: Lab, tmp_path: Path) -> None:
    folder = sealed(tmp_path)
    assert lab("verify", str(folder))[:2] == (0, "20260101-000000-aa: as it was sealed\n")
    stream = (folder / "cpu1.jsonl").read_bytes()
    (folder / "cpu1.jsonl").write_bytes(stream.replace(b'"value":3', b'"value":4', 1))
    path = folder / "session.json"
    path.write_text(path.read_text().replace('"verdict": "refuted"', '"verdict": "confirmed"', 1))
    code, out, _ = lab("verify", str(folder))
    assert code == 1
    text = " ".join(out.split())
    assert "cpu1.jsonl was changed: record" in text
    assert "session.json was changed: report: verdicts" in text
    assert "the report says pool.cpu-count at cpu1 is confirmed, its records give refuted" in text


def test_verify_misses_a_seal_that_was_taken_away(lab: Lab, tmp_path: Path) -> None:
    folder = sealed(tmp_path)
    (folder / "seal.json").unlink()
    assert lab("verify", str(folder))[0] == 1
    (folder / "seal.json").write_text("[]")
    assert "cannot be read" in lab("verify", str(folder))[1]


def test_an_edited_record_of_a_session_without_a_seal_is_found_by_its_own_hash(lab: Lab, tmp_path: Path) -> None:
    folder = stored(EXPECTED, tmp_path)
    path = folder / "cpu1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"answered","value":true', b'"answered","value":null'))
    code, out, _ = lab("verify", str(folder))
    assert (code, "cpu1.jsonl: the count or the hash" in " ".join(out.split())) == (1, True)


def test_compare_says_what_got_worse_and_fails(lab: Lab, tmp_path: Path) -> None:
    base, new = stored(messages(1, 1), tmp_path, "b"), stored(messages(1.2, 2), tmp_path, "n")
    code, out, _ = lab("compare", str(base), str(new))
    assert code == 1
    assert "messages: round trip, Queue" in out
    assert "regression" in out
    assert lab("compare", str(base), str(new), "--tolerance", "50")[0] == 0
    document = json.loads(lab("compare", str(base), str(new), "--format", "json")[1])
    assert document["regressed"] is True
    assert {number["change"] for number in document["numbers"]} == {"regression", "alike"}


def test_unlike_sessions_are_compared_only_by_force(lab: Lab, tmp_path: Path) -> None:
    session = messages(1, 1)
    changed_session = dataclasses.replace(
        session, machine=dataclasses.replace(session.machine, python=scripts.python((3, 14, 0)))
    )
    base, new = stored(session, tmp_path, "b"), stored(changed_session, tmp_path, "n")
    code, out, err = lab("compare", str(base), str(new))
    assert (code, out) == (2, "")
    assert "Python: CPython 3.13.5 with the GIL, not CPython 3.14.0 with the GIL" in err
    code, out, _ = lab("compare", str(base), str(new), "--force")
    assert code == 0
    assert "forced: Python" in out


def test_numbers_of_several_builds_have_a_column_for_the_build(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    both = {"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}
    for name, trip in (("b", 1.0), ("n", 1.2)):
        script = {"messages": scripts.said_by(messages(trip, 1), "messages")}
        stored(scripts.on_builds(both, (2,), script), tmp_path, name)
    code, out, _ = lab("compare", str(tmp_path / "b"), str(tmp_path / "n"))
    assert code == 1
    (head,) = [line for line in out.splitlines() if line.startswith("number ")]
    assert head.split()[:3] == ["number", "build", "CPUs"]
    rows = [line for line in out.splitlines() if "round trip, Queue" in line]
    assert [row.split("Queue")[1].split()[:2] for row in rows] == [["3.13", "2"], ["3.14", "2"]]
    document = json.loads(lab("compare", str(tmp_path / "b"), str(tmp_path / "n"), "--format", "json")[1])
    assert {(number["build"], number["cell"]) for number in document["numbers"]} == {("3.13", "2"), ("3.14", "2")}


def test_sessions_of_other_builds_are_refused_by_build(lab: Lab, tmp_path: Path) -> None:
    base = scripts.on_builds({"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}, (2,))
    new = scripts.on_builds({"3.14": scripts.python((3, 14, 1)), "3.15": scripts.python((3, 15, 0))}, (2,))
    folders = [str(stored(session, tmp_path, name)) for session, name in ((base, "b"), (new, "n"))]
    code, out, err = lab("compare", *folders)
    assert (code, out) == (2, "")
    assert "Python of 3.14: CPython 3.14.0 with the GIL, not CPython 3.14.1 with the GIL" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["compare", "{session}", "{tmp}/none"], 2, "does not exist", id="compare: no such folder"),
        pytest.param(["compare", "{session}", "{tmp}/file"], 2, "is not a folder", id="compare: a file"),
        pytest.param(["compare", "{session}", "{newer}"], 2, "newer lab", id="compare: a newer lab's"),
        pytest.param(["compare", "{session}", "{local}", "--force"], 2, "nothing to compare", id="nothing in common"),
        pytest.param(
            ["compare", "{session}", "{session}", "--tolerance", "-1"], 2, "from 0", id="a negative tolerance"
        ),
        pytest.param(["compare", "{session}", "{session}", "--tolerance", "nan"], 2, "from 0", id="no tolerance"),
        pytest.param(["verify", "{tmp}/empty"], 2, "there is no session in", id="verify: an empty folder"),
        pytest.param(["verify", "{newer}"], 2, "newer lab", id="verify: a newer lab's"),
        pytest.param(["replay", "{tmp}/empty"], 2, "there is no session in", id="replay: an empty folder"),
        pytest.param(["sessions", "--output", "{tmp}/file"], 2, "is not a folder", id="sessions: a file"),
        pytest.param(["merge", "{tmp}/empty"], 2, "there is no session in", id="merge: an empty folder"),
        pytest.param(["merge", "{session}", "{newer}"], 2, "newer lab", id="merge: a newer lab's"),
        pytest.param(["merge", "{session}", "--output", "{tmp}/file"], 3, "cannot make", id="merge: into a file"),
        pytest.param(["merge", "{session}", "--output", "/proc"], 3, "cannot make", id="merge: where nobody may write"),
        pytest.param(["run", "--resume", "{session}"], 2, "is complete", id="resume: nothing is missing"),
        pytest.param(["run", "--resume", "{tmp}/empty"], 2, "there is no session in", id="resume: an empty folder"),
        pytest.param(
            ["run", "--resume", "--output", "{tmp}/empty"], 2, "was cut short", id="resume: nothing to resume"
        ),
        pytest.param(
            ["run", "--resume", "{old}"], 2, "did not store the seed", id="resume: of before there was a seed"
        ),
        pytest.param(["run", "--resume", "--cpus", "2"], 2, "leave out --cpus", id="resume: on other CPUs"),
        pytest.param(["run", "--seed", "-1"], 2, "--seed -1", id="a seed that is none"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    arguments: list[str], code: int, message: str, lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    names = {
        "tmp": tmp_path,
        "session": stored(EXPECTED, tmp_path / "s"),
        "local": stored(scripts.every_kind()["failed"], tmp_path / "s", "l"),
        "newer": changed(stored(EXPECTED, tmp_path / "s", "n"), schema=2),
        "old": changed(stored(EXPECTED, tmp_path / "s", "o"), report=None),
    }
    ended, out, err = lab(*(argument.format(**names) for argument in arguments))
    assert (ended, out) == (code, ""), err
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    "command", [["compare", "{folder}", "{folder}", "--all"], ["merge", "{folder}"], ["verify", "{folder}"]]
)
def test_a_reader_that_ends_early_is_told_in_one_line(command: list[str], tmp_path: Path) -> None:
    folder = stored(messages(1, 1), tmp_path)
    words = [word.format(folder=folder) for word in command]
    with subprocess.Popen(
        [sys.executable, "-m", "lab", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.wait(60) == 3
        assert process.stderr.read() == b"lab: standard output was closed before everything was printed\n"


@pytest.mark.slow
def test_a_run_notes_what_it_takes_to_do_it_again(lab: Lab) -> None:
    assert lab.run("pipe", "--engine", "local", "--cpus", "1", "--seed", "7", "--quick")[0] == 0
    (folder,) = lab.sessions.iterdir()
    manifest = loading.manifest(folder)
    assert manifest["arguments"]["seed"] == 7
    assert manifest["arguments"]["seconds"] == 4.0
    assert manifest["versions"]["code_sha256"] == manifest["report"]["session"]["versions"]["code_sha256"]
    assert manifest["host"]["kernel"] == os.uname().release
    assert manifest["machine"]["details"]["host"]["kernel_version"] == os.uname().version
    assert manifest["began"] < manifest["ended"]
    assert set(manifest["noise"]) == {"cpu1"}
    assert lab("verify", str(folder))[0] == 0


@pytest.mark.slow
def test_a_run_that_cannot_go_on_here_is_passed_over_and_the_next_older_one_is_resumed(lab: Lab) -> None:
    assert lab.run("pipe", "--engine", "local", "--cpus", "1", "--quick")[0] == 0
    (older,) = lab.sessions.iterdir()
    changed(older, report=None)
    newer = Path(shutil.copytree(older, lab.sessions / "99991231-000000-aaaa"))
    changed(newer, session=newer.name, versions={**loading.manifest(older)["versions"], "code_sha256": "0" * 64})
    code, _, err = lab("run", "--resume", "--output", str(lab.sessions))
    assert code == 0, err
    assert f"passed over: {newer.name} cannot be resumed on this machine" in err
    assert f"to drop it, remove {newer}" in err
    assert "report" in loading.manifest(older)
    assert "report" not in loading.manifest(newer)


@pytest.mark.slow
@pytest.mark.skipif(len(cells.CPUS) < 2, reason="two cells take two CPUs")
def test_a_replay_repeats_the_plan_and_the_seed_and_compares_verdict_by_verdict(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("pipe", "--engine", "local", "--cpus", "1,2", "--seed", "7", "--quick", "--label", "anna")
    code, out, _ = lab.run(*words)
    assert (code, out[:6]) == (0, "anna: ")
    (first,) = lab.sessions.iterdir()
    monkeypatch.setenv("LAB_LABEL", "ben")
    code, out, _ = lab("replay", str(first), "--output", str(lab.sessions))
    assert code == 0
    assert "machine, image and code: the same" in out
    assert "verdicts: 2 of 2 the same (2 confirmed)" in out
    (second,) = set(lab.sessions.iterdir()) - {first}
    then, now = loading.manifest(first), loading.manifest(second)
    assert now["replay_of"] == then["session"]
    assert now["arguments"] == {**then["arguments"], "label": "ben"}
    assert now["cells"] == then["cells"]
    assert [entry.label for entry in listing.entries(lab.sessions)] == ["anna", "ben"]


@pytest.mark.slow
def test_a_replay_on_another_machine_says_how_they_differ_and_plans_anew(lab: Lab, tmp_path: Path) -> None:
    elsewhere = scripts.session(
        scripts.ran(64, {"pipe": [scripts.observe("answered", False)]}, cpus=64, pinned_by="worker"),
        machine=scripts.machine(64, "local"),
    )
    folder = stored(elsewhere, tmp_path)
    changed(folder, arguments={"experiments": ["pipe"], "cpus": "1,64", "quota": None, "level": "quick"})
    code, out, err = lab("replay", str(folder), "--output", str(tmp_path / "out"))
    assert code == 0
    assert "CPUs: 64 CPUs of 64 then" in out
    assert "planned again" in err
    assert "only now" in out
    assert len(reports.document(loading.load_session(next((tmp_path / "out").iterdir())))["cells"]) == 2
