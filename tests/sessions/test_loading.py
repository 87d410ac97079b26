"""Stored sessions: found, read back whole, and read as far as they go."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lab import reports
from lab.errors import StoreError, UsageError
from lab.model.cell import Status
from lab.model.session import Session
from lab.sessions import export, loading
from lab.sessions import manifest as sessions
from lab.sessions.folder import SessionFolder
from tests.support import own_code, scripts

SESSIONS = scripts.every_kind()


def stored(session: Session, parent: Path, name: str = "20260101-000000-aa") -> Path:
    """The session's folder, written as lab run writes it."""
    with SessionFolder(parent, name) as folder:
        folder.write_manifest({**sessions.manifest_of(session), "report": reports.document(session)})
        for result in session.results:
            if result.records:
                folder.cell(result.cell.id).replace(export.lines(result))
    return folder.path


def changed(folder: Path, **changes: Any) -> Path:
    """The session with these entries of its manifest changed; ``None`` takes one out."""
    path = folder / "session.json"
    manifest = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in manifest.items() if value is not None}))
    return folder


@pytest.mark.parametrize("name", [name for name in SESSIONS if name not in ("torn",)])
def test_a_session_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    before = json.loads(json.dumps(reports.document(SESSIONS[name])))
    after = json.loads(json.dumps(reports.document(loading.load_session(stored(SESSIONS[name], tmp_path)))))
    assert after == before


@pytest.mark.parametrize("name", list(own_code.every_kind()))
def test_a_session_of_own_code_keeps_its_claims(name: str, tmp_path: Path) -> None:
    session = own_code.every_kind()[name]
    again = loading.load_session(stored(session, tmp_path))
    assert again.judgements == session.judgements
    assert not any("has no experiment" in note for note in again.notes)


def test_a_session_of_before_the_manifest_had_cells_is_read_back_from_its_report(tmp_path: Path) -> None:
    folder = changed(stored(SESSIONS["expected"], tmp_path), cells=None, machine=None)
    session = loading.load_session(folder)
    assert [judgement.verdict for judgement in session.judgements] == [
        judgement.verdict for judgement in SESSIONS["expected"].judgements
    ]
    assert session.machine.cpus == (0, 1)


def test_the_report_says_which_version_measured(tmp_path: Path) -> None:
    old = dataclasses.replace(SESSIONS["expected"], lab_version="0.0.1")
    assert loading.load_session(stored(old, tmp_path)).lab_version == "0.0.1"


def test_a_session_that_was_cut_short_is_judged_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = changed(stored(SESSIONS["expected"], tmp_path), report=None)
    stream = (folder / "cpu2.jsonl").read_bytes()
    (folder / "cpu2.jsonl").write_bytes(stream[: len(stream) // 2])
    session = loading.load_session(folder)
    assert session.interrupted
    assert "cut short" in session.notes[0]
    status = {result.cell.id: result.status for result in session.results}
    assert status == {"cpu1": Status.MEASURED, "cpu2": Status.ERROR, "cpu4": Status.UNAVAILABLE}
    (reason,) = [str(result.reason) for result in session.results if result.cell.id == "cpu2"]
    assert "a torn last line" in reason
    verdicts = {judgement.claim: judgement.verdict for judgement in session.judgements if judgement.cell == "cpu1"}
    assert verdicts["pool.explicit-size"] == "confirmed"


def test_a_cell_whose_records_are_gone_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    folder = stored(SESSIONS["expected"], tmp_path)
    (folder / "cpu2.jsonl").unlink()
    result = next(result for result in loading.load_session(folder).results if result.cell.id == "cpu2")
    assert result.status is Status.ERROR
    assert "cpu2.jsonl" in str(result.reason)


def test_a_failure_that_records_do_not_show_is_kept_from_the_report(tmp_path: Path) -> None:
    session = loading.load_session(stored(SESSIONS["error"], tmp_path))
    assert "no space left on device" in str(session.results[0].reason)


def test_an_experiment_that_this_version_does_not_have_costs_its_claims_only(tmp_path: Path) -> None:
    folder = changed(stored(SESSIONS["expected"], tmp_path), arguments={"experiments": ["pool", "gone"]})
    session = loading.load_session(folder)
    assert any("'gone'" in note for note in session.notes)
    assert {judgement.claim.partition(".")[0] for judgement in session.judgements} == {"pool"}


def test_the_newest_session_is_found(tmp_path: Path) -> None:
    for name in ("20260101-000000-aa", "20260301-000000-aa", "20260201-000000-aa"):
        stored(SESSIONS["local"], tmp_path, name)
    (tmp_path / "20270101-000000-aa").mkdir()  # made, but nothing was written
    assert loading.find_session(tmp_path).name == "20260301-000000-aa"
    assert loading.find_session(tmp_path / "20260101-000000-aa").name == "20260101-000000-aa"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"{", "is not JSON", id="torn"),
        pytest.param(b"[" * 100_000, "is not JSON", id="nested too deeply"),
        pytest.param(b"\xff\xfe", "is not JSON", id="not text"),
        pytest.param(b"[]", "has no schema", id="a list"),
        pytest.param(b'{"schema": "1"}', "has no schema", id="a schema that is no number"),
        pytest.param(b'{"schema": 2}', "newer lab", id="newer"),
        pytest.param(b'{"schema": 1}', "does not describe a session", id="empty"),
        pytest.param(
            b'{"schema": 1, "session": "s", "began": 0, "engine": "e", "arguments": {"experiments": []},'
            b' "cells": [{"id": "../x", "label": "1", "size": 1}]}',
            "does not describe a session",
            id="a cell outside of the folder",
        ),
    ],
)
def test_what_is_not_a_session_is_refused_in_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "session.json").write_bytes(content)
    with pytest.raises(UsageError, match=complaint) as refused:
        loading.load_session(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a session"):
        loading.load_session(tmp_path)
    with pytest.raises(UsageError, match="no session in"):
        loading.find_session(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        loading.find_session(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        loading.find_session(tmp_path / "file")


def test_records_that_the_system_does_not_give_are_said_so(tmp_path: Path) -> None:
    folder = stored(SESSIONS["local"], tmp_path)
    (folder / "cpu2.jsonl").unlink()
    (folder / "cpu2.jsonl").mkdir()
    with pytest.raises(StoreError, match="it is not a regular file"):
        loading.load_session(folder)


def test_a_parcel_unpacks_to_a_session(tmp_path: Path) -> None:
    session = SESSIONS["expected"]
    packed = export.pack(session, reports.document(session))
    assert packed == export.pack(session, reports.document(session))
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu1.jsonl", "cpu2.jsonl", "session.json"]
    assert reports.document(loading.load_session(tmp_path))["verdicts"] == reports.document(session)["verdicts"]


def test_packed_records_are_the_ones_that_the_worker_wrote() -> None:
    raw = scripts.stream("cpu2", (0, 1), scripts.everything(2))
    assert export.lines(scripts.result(scripts.cell(2), raw)) == raw


def test_a_folder_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuses)
    with pytest.raises(StoreError, match=r"cannot read .*: Permission denied"):
        loading.find_session(tmp_path)
