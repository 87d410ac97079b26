"""Sessions of others: whatever stands in them, each command ends with one sentence and exit code 2, or shows them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.sessions import files, shape
from tests.support.hostile_sessions import COMMANDS, ENTRIES, STORED, WRONG, with_entry
from tests.support.paths import TESTS
from tests.support.terminal import Lab


def copied(parent: Path, change: Callable[[str], str]) -> Path:
    """The stored session with a changed session.json."""
    folder = parent / STORED.name
    shutil.copytree(STORED, folder)
    path = folder / "session.json"
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    return folder


def check(lab: Lab, folder: Path, command: str) -> None:
    words = command.format(folder=folder, good=STORED).split()
    code, _, err = lab(*words)
    assert "defect" not in err
    assert code in (0, 1, 2, 130), err
    if code:
        assert 0 < len(err.splitlines()[-1]) < 1000


@pytest.mark.slow
@pytest.mark.parametrize("place", ENTRIES)
def test_a_wrong_entry_is_a_sentence(lab: Lab, tmp_path: Path, place: str) -> None:
    for number, value in enumerate(WRONG.values()):
        folder = copied(tmp_path / str(number), with_entry(place, value))
        for command in COMMANDS[number % 2 :: 2]:
            if (place, value, command) != ("report", None, "run --resume {folder}"):  # that run can be resumed
                check(lab, folder, command)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"began":', '"began": 1e400, "b":', 1),
        lambda text: text.replace('"began":', f'"began": {"9" * 5000}, "b":', 1),
        lambda text: "[" * 100_000 + "]" * 100_000,
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"local"', '"\\ud800\\u202e\\u001b[31m"'),
    ],
    ids=["1e400", "5000 digits", "deep", "no JSON", "escapes"],
)
def test_a_number_or_a_depth_that_no_computer_takes_is_a_sentence(
    lab: Lab, tmp_path: Path, change: Callable[[str], str], command: str
) -> None:
    check(lab, copied(tmp_path, change), command)


def test_the_sentence_names_the_entry_and_its_value(lab: Lab, tmp_path: Path) -> None:
    folder = copied(tmp_path, lambda text: text.replace('"began":', '"began": 1e400, "b":', 1))
    code, out, err = lab("report", str(folder))
    assert (code, out) == (2, "")
    assert "began is inf" in err


def test_every_stored_session_has_the_form() -> None:
    paths = [*(TESTS / "data").glob("stored/**/session.json"), TESTS / "data" / "session-v1" / "session.json"]
    assert len(paths) > 5
    for path in paths:
        shape.check(json.loads(path.read_bytes()))


@pytest.mark.parametrize("name", ["session.json", "cpu1.jsonl"])
def test_a_huge_file_is_refused_before_it_is_read(lab: Lab, tmp_path: Path, name: str) -> None:
    folder = copied(tmp_path, str)
    with (folder / name).open("r+b") as stream:
        stream.truncate(files.MOST_BYTES + 1)  # a hole, which takes no space
    code, out, err = lab("report", str(folder), "--terminal")
    assert (code, out) == (3, "")
    assert f"cannot read {folder / name}: it is larger than 1024 MiB" in err


# ---- the programs that a session names


def naming(program: Path) -> Callable[[str], str]:
    def change(text: str) -> str:
        manifest = json.loads(text)
        manifest["arguments"] |= {"python": [str(program)], "experiments": ["pipe"]}
        return json.dumps(manifest)

    return change


@pytest.mark.slow
def test_a_program_of_a_session_is_not_run_unasked(lab: Lab, tmp_path: Path) -> None:
    evil, trace = tmp_path / "bin" / "python3", tmp_path / "trace"
    evil.parent.mkdir()
    evil.write_text(f"#!/bin/sh\ntouch {trace}\n")
    evil.chmod(0o755)
    folder = copied(tmp_path / "s", naming(evil))
    code, out, err = lab("replay", str(folder), "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert str(evil) in err
    assert "--yes" in err.splitlines()[-1]
    assert not trace.exists()
    assert lab("replay", str(folder), "--yes", "--output", str(tmp_path / "out"))[0] == 3
    assert trace.exists()


def measuring(case: dict[str, object], project: Path) -> Callable[[str], str]:
    def change(text: str) -> str:
        manifest = json.loads(text)
        manifest["engine"] = "local"
        target = {"case": {"setup": "", "name": "", **case}, "params": {}, "project": str(project), "other": ""}
        manifest["arguments"] |= {"engine": "local", "image": None, "experiments": [], "target": target, "cases": []}
        return json.dumps(manifest)

    return change


@pytest.mark.parametrize("is_statement", [True, False], ids=["a statement", "a folder of code"])
def test_code_that_a_session_brings_or_names_is_not_run_unasked(is_statement: bool, lab: Lab, tmp_path: Path) -> None:
    trace, project = tmp_path / "trace", tmp_path / "project"
    project.mkdir()
    statement = f"open({str(trace)!r}, 'w').close()"
    (project / "work.py").write_text(f"{statement}\ndef busy(): pass\n")
    case: dict[str, object] = {"label": "it", "source": "file", "where": str(project / "work.py"), "name": "busy"}
    if is_statement:
        case = {"label": "it", "source": "statement", "where": statement}
    folder = copied(tmp_path / "s", measuring(case, project))
    code, out, err = lab("replay", str(folder), "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert (repr(statement) if is_statement else f"code of {project}") in err
    assert "--yes" in err.splitlines()[-1]
    assert not trace.exists()


def test_yes_goes_with_resume_only(lab: Lab) -> None:
    code, _, err = lab.run("pipe", "--yes")
    assert code == 2
    assert "--resume" in err
