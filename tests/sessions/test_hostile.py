"""Sessions of others: whatever stands in them, each command ends with one sentence and exit code 2, or shows them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.planning.request import from_arguments
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


def with_arguments(changes: Mapping[str, object]) -> Callable[[str], str]:
    def change(text: str) -> str:
        manifest = json.loads(text)
        manifest["engine"] = changes.get("engine", "local")
        manifest["arguments"] |= changes
        return json.dumps(manifest)

    return change


def measuring(case: dict[str, object], project: Path, more: dict[str, Any]) -> Callable[[str], str]:
    """A session whose target is that case of that folder; ``more`` changes the target, and what else it keeps."""
    target = {"case": case, "params": {}, "project": str(project), "other": "", **more.get("target", {})}
    arguments: dict[str, object] = {"engine": "local", "image": None, "experiments": [], "target": target, "cases": []}
    return with_arguments({**arguments, **{name: value for name, value in more.items() if name != "target"}})


WRITES = "open({!r}, 'w').close()"


def stories(trace: Path, project: Path) -> dict[str, tuple[dict[str, object], dict[str, object], str]]:
    """What a session may name so that a file is written: its target, what else it keeps, and what is asked for."""
    work: dict[str, object] = {"source": "file", "where": str(project / "work.py"), "name": "busy"}
    system: dict[str, object] = {"label": "it", "source": "module", "where": "os", "name": "system"}
    harmless: dict[str, object] = {"source": "file", "where": "mine.py", "name": "call"}
    command = f"touch {trace}"
    root: dict[str, object] = {"project": "/"}
    python = project / "python"
    return {
        "a statement": (
            {"source": "statement", "where": WRITES.format(str(trace))},
            {},
            repr(WRITES.format(str(trace))),
        ),
        "a folder of code": (work, {}, f"code of {project}"),
        "a folder above the current one": (work, {"target": root}, "work.py:busy (code of /)"),
        "a function of Python": (
            system,
            {"target": {**root, "params": {"command": [command]}}},
            "os:system (code of /",
        ),
        "a value": (
            harmless,
            {"target": {"project": "", "params": {"command": [command]}}},
            f"mine.py:call (command=['{command}'])",
        ),
        "what makes an argument": ({**harmless, "setup": "work:make"}, {"target": {"project": ""}}, "work:make makes"),
        "a list": ({**harmless, "items": "work:make"}, {"target": {"project": ""}}, "the items of work:make"),
        "another case": (
            harmless,
            {"target": {"project": ""}, "cases": [{**system, "arguments": {"command": command}}]},
            f"os:system (code of this Python; command='{command}')",
        ),
        "a value of the target's own": (
            {**harmless, "arguments": {"command": command}},
            {"target": {"project": ""}},
            f"mine.py:call (command='{command}')",
        ),
        "imports from another folder": (
            {**harmless, "where": "HERE/mine.py"},
            {"target": {"project": str(project)}},
            f"code of {project}",
        ),
        "code beside the session": (
            {"source": "file", "where": "s/evil.py", "name": "busy"},
            {"target": {"project": ""}},
            "s/evil.py:busy (code of this Python)",
        ),
        "an experiment that is known": (
            {"source": "statement", "where": WRITES.format(str(trace))},
            {"own": {"pool": "."}},
            repr(WRITES.format(str(trace))),
        ),
        "a statement without words": ({"source": "statement", "where": ""}, {}, "the statement ''"),
        "a statement in another folder": ({"source": "statement", "where": "1"}, {}, f"code of {project}"),
        "another engine": (
            harmless,
            {"target": {"project": ""}, "host": "tcp://203.0.113.1:2375"},
            "cells on the engine tcp://203.0.113.1:2375",
        ),
        "a folder for a container": (
            {"source": "statement", "where": "1"},
            {"engine": "docker"},
            f"a container that can read {project}",
        ),
        "code beside the folder of the session": (
            {"source": "file", "where": "course/evil.py", "name": "busy"},
            {"target": {"project": "course"}},
            "course/evil.py:busy (code of course)",
        ),
        "another version": (harmless, {"target": {"project": "", "other": str(project)}}, f"code of {project}"),
        "another Python": (
            harmless,
            {
                "target": {"project": ""},
                "cases": [{"label": "it", **harmless, "against": {"label": "it", "python": str(python)}}],
            },
            str(python),
        ),
    }


@pytest.mark.parametrize("story", stories(Path(), Path()))
def test_code_that_a_session_brings_or_names_is_not_run_unasked(
    story: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, project, here = tmp_path / "trace", tmp_path / "project", tmp_path / "here"
    for made in (project, here):
        made.mkdir()
    (project / "work.py").write_text(f"{WRITES.format(str(trace))}\ndef busy(): pass\ndef make(): return [1]\n")
    (project / "python").write_text(f"#!/bin/sh\ntouch {trace}\n")
    (project / "python").chmod(0o755)
    (here / "mine.py").write_text("import os\ndef call(command=''): os.system(command)\n")
    monkeypatch.chdir(here)
    case, more, named = stories(trace, project)[story]
    case["where"] = str(case["where"]).replace("HERE", str(here))
    folder = copied(here / "s", measuring({"label": "it", **case}, project, more))
    shutil.copy(project / "work.py", here / "s" / "evil.py")
    if "course" in str(case["where"]):
        folder = copied(here / "course" / "runs", measuring({"label": "it", **case}, project, more))
        shutil.copy(project / "work.py", here / "course" / "evil.py")
    code, out, err = lab("replay", str(folder), "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert named in " ".join(err.split())
    assert "--yes" in err.splitlines()[-1]
    assert not trace.exists()


def test_an_experiment_outside_of_the_current_folder_is_not_taken_in_unasked(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, here = tmp_path / "trace", tmp_path / "here"
    here.mkdir()
    (tmp_path / "mine.py").write_text(WRITES.format(str(trace)))
    (here / "link.py").symlink_to(tmp_path / "mine.py")
    monkeypatch.chdir(here)
    for number, path in enumerate((f"{here}/../mine.py", f"{here}/link.py")):
        own = {"own": {"mine": path}, "experiments": ["mine"], "engine": "local", "image": None}
        folder = copied(tmp_path / f"s{number}", with_arguments(own))
        code, _, err = lab("replay", str(folder), "--output", str(tmp_path / "out"))
        assert code == 2
        assert f"the experiment {path}" in " ".join(err.split())
        assert not trace.exists()


PROGRAM: dict[str, object] = {"label": "it", "words": ["true"]}
ROOM: dict[str, object] = {"mounts": [], "network": "", "entrypoint": None}


@pytest.mark.parametrize(
    ("engine", "program", "room", "named"),
    [
        ("local", {}, {}, "the command 'true'"),
        ("local", {"words": [""], "by_shell": True}, {}, "the command ''"),
        ("local", {"environment": {"LD_PRELOAD": "./e.so"}}, {}, "(LD_PRELOAD=./e.so)"),
        ("local", {"output": "/home/you/.profile"}, {}, "(output to /home/you/.profile)"),
        ("local", {"cleanup": "touch it"}, {}, "the command 'touch it'"),
        ("docker", {}, {"network": "host"}, "(network host)"),
        ("docker", {}, {"mounts": [["/home", True]]}, "(mount /home)"),
        ("slurm", {}, {}, "the image docker://evil/x, which is no isolation there"),
    ],
)
def test_a_command_of_a_session_is_shown_with_all_that_it_reaches(
    engine: str, program: dict[str, object], room: dict[str, object], named: str, lab: Lab, tmp_path: Path
) -> None:
    workload = {"programs": [{**PROGRAM, **program}], "runs": 1, "room": {**ROOM, **room}}
    image = "docker://evil/x" if engine == "slurm" else None
    kept = {"engine": engine, "image": image, "experiments": ["exec:it"], "workload": workload}
    folder = copied(tmp_path / "s", with_arguments(kept))
    code, out, err = lab("replay", str(folder), "--output", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert named in " ".join(err.split())


def test_cases_without_a_target_are_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    case = {"label": "x", "source": "statement", "where": WRITES.format(str(trace))}
    folder = copied(tmp_path / "s", with_arguments({"engine": "local", "image": None, "cases": [case]}))
    request = from_arguments(json.loads((folder / "session.json").read_text())["arguments"])
    assert request.cases == ()


def test_yes_goes_with_resume_only(lab: Lab) -> None:
    code, _, err = lab.run("pipe", "--yes")
    assert code == 2
    assert "--resume" in err
