"""Interpreters of the machine: real ones in folders made for the test, and programs that only have their name."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab import answers, interpreters
from lab.builds import parse
from lab.errors import EngineError, UsageError
from lab.worker.question import MARK, SOURCE

HERE = Path(os.path.realpath(sys.executable))
THIS = "{}.{}".format(*sys.version_info)


def link(folder: Path, name: str) -> Path:
    """This Python, under a name in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(HERE)
    return folder / name


def program(folder: Path, name: str, script: str) -> Path:
    """A shell script that has an interpreter's name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def pretender(folder: Path, name: str, **said: object) -> Path:
    """A program that answers as a Python would that is not on this machine."""
    answer = {
        "version": [3, 13, 2],
        "release": "3.13.2",
        "implementation": "cpython",
        "free_threaded": False,
        "gil_enabled": True,
        "jit": None,
        "executable": str(folder / name),
        "lacks": [],
        **said,
    }
    return program(folder, name, f"echo '{MARK}{json.dumps(answer)}'")


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without any Python, whose home is the test's folder."""
    return {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


def found(world: Mapping[str, str], tmp_path: Path) -> list[tuple[str, str, str]]:
    return [(one.place, str(one.build), one.path) for one in interpreters.find(world, tmp_path)]


@pytest.mark.parametrize(
    ("place", "folder", "variable"),
    [
        ("PATH", "bin", None),
        ("pyenv", ".pyenv/versions/3.x/bin", None),
        ("pyenv", "elsewhere/versions/3.x/bin", ("PYENV_ROOT", "elsewhere")),
        ("uv", ".local/share/uv/python/cpython-3.x-linux/bin", None),
        ("uv", "data/uv/python/cpython-3.x-linux/bin", ("XDG_DATA_HOME", "data")),
        ("uv", "pythons/cpython-3.x-linux/bin", ("UV_PYTHON_INSTALL_DIR", "pythons")),
        ("virtual environment", ".venv/bin", None),
        ("virtual environment", "env/bin", ("VIRTUAL_ENV", "env")),
    ],
    ids=["PATH", "pyenv", "pyenv's root", "uv", "uv in XDG's", "uv's folder", ".venv", "the active one"],
)
def test_an_interpreter_is_found_in_each_of_its_places(
    world: dict[str, str], tmp_path: Path, place: str, folder: str, variable: tuple[str, str] | None
) -> None:
    if variable:
        world[variable[0]] = str(tmp_path / variable[1])
    link(tmp_path / folder, "python3")
    assert found(world, tmp_path) == [(place, THIS, str(HERE))]


def test_one_that_is_in_several_places_is_found_once_in_the_preferred_one(
    world: dict[str, str], tmp_path: Path
) -> None:
    for folder in (".pyenv/versions/a/bin", ".pyenv/versions/b/bin", "bin"):
        for name in ("python", "python3", f"python{THIS}"):
            link(tmp_path / folder, name)
    assert found(world, tmp_path) == [("PATH", THIS, str(HERE))]


def test_what_is_no_python_never_breaks_it(
    world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_SECONDS", 1.0)
    folder = tmp_path / "bin"
    link(folder, "python3")
    program(folder, "python3.9", "sleep 61.5")
    program(folder, "python3.10", "kill -SEGV $$")
    program(folder, "python3.11", "exit 1")
    program(folder, "python3.12", "echo hello")
    program(folder, "python3.13", f"echo '{MARK}not json'")
    program(folder, "python3.14", f"echo '{MARK}{{\"version\": 3}}'")
    program(folder, "python3.15", "head -c 100000 /dev/urandom")
    (folder / "python3.16").write_bytes(b"\x7fELF and no more")
    (folder / "python3.16").chmod(0o755)
    program(folder, "python3.17", "exit 0").chmod(0o644)
    (folder / "python3.18").symlink_to("nowhere")
    (folder / "python3.19").mkdir()
    (folder / "python3.20").symlink_to("python3.20")
    program(folder, "python3-config", "exit 0")
    begun = time.monotonic()
    assert found(world, tmp_path) == [("PATH", THIS, str(HERE))]
    assert time.monotonic() - begun < 30
    while b"sleep\x0061.5" in b"".join(_command_lines()):  # it was killed, which takes its time on a busy machine
        assert time.monotonic() - begun < 50
        time.sleep(0.1)


def _command_lines() -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield process.read_bytes()


def test_places_that_are_not_there_are_no_trouble(world: dict[str, str], tmp_path: Path) -> None:
    world["PATH"] = f"{tmp_path}/none::{__file__}"
    assert found(world, tmp_path) == []


def test_a_shim_goes_by_the_name_that_it_is_called_by(world: dict[str, str], tmp_path: Path) -> None:
    shim = program(tmp_path, "manager", f'[ "$(basename "$0")" = python3.11 ] && exec {HERE} "$@"')
    (tmp_path / "bin").mkdir()
    for name in ("python3.10", "python3.11"):
        (tmp_path / "bin" / name).symlink_to(shim)
    assert found(world, tmp_path) == [("PATH", THIS, str(HERE))]


def test_the_newest_release_of_the_first_place_is_chosen(world: dict[str, str], tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv/versions"
    for release in ("3.13.2", "3.13.10", "3.13.11rc1", "3.14.0rc1", "3.14.0"):
        pretender(
            versions / release / "bin", "python3", release=release, version=list(map(int, release[:4].split(".")))
        )
    pretender(tmp_path / ".local/share/uv/python/new/bin", "python3", release="3.13.99")
    there = interpreters.find(world, tmp_path)
    assert interpreters.interpreter_of(parse("3.13"), there).answer.release == "3.13.11rc1"
    assert interpreters.interpreter_of(parse("3.14"), there).answer.release == "3.14.0"
    pretender(tmp_path / "bin", "python3", release="3.13.1")
    assert interpreters.interpreter_of(parse("3.13"), interpreters.find(world, tmp_path)).place == "PATH"


def test_on_path_the_first_folder_wins_as_in_a_shell(world: dict[str, str], tmp_path: Path) -> None:
    world["PATH"] = f"{tmp_path}/mine:{tmp_path}/theirs"
    pretender(tmp_path / "mine", "python3.13", release="3.13.1")
    pretender(tmp_path / "theirs", "python3.13", release="3.13.5")
    assert interpreters.interpreter_of(parse("3.13"), interpreters.find(world, tmp_path)).answer.release == "3.13.1"


def test_the_labs_own_python_is_found_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, world: dict[str, str], tmp_path: Path
) -> None:
    for name, value in {"PYENV_ROOT": "", "UV_PYTHON_INSTALL_DIR": "", "XDG_DATA_HOME": "", "VIRTUAL_ENV": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", world["HOME"])
    monkeypatch.setenv("PATH", world["PATH"])
    assert [(one.place, one.path) for one in interpreters.find(folder=tmp_path)] == [("the lab's own", str(HERE))]


def test_options_do_not_change_which_interpreter_it_is(world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", "python3.13t", free_threaded=True, gil_enabled=False)
    pretender(tmp_path / "bin", "python3.13")
    there = interpreters.find(world, tmp_path)
    assert interpreters.interpreter_of(parse("3.13t+gil"), there).path.endswith("python3.13t")
    assert interpreters.interpreter_of(parse("3.13+cpu_count=2"), there).path.endswith("python3.13")


def test_an_old_one_is_shown_but_not_run(world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", "python3.8", version=[3, 8, 18], release="3.8.18")
    pretender(tmp_path / "bin", "python3.9", version=[3, 9, 1], release="3.9.1")
    there = interpreters.find(world, tmp_path)
    assert [(one.build.name, one.answer.problem is None) for one in there] == [("3.8", False), ("3.9", True)]
    assert "too old" in str(there[0].answer.problem)
    assert interpreters.usable_builds(there) == ("3.9",)


def test_pypy_is_refused_with_what_it_lacks_and_run_when_it_lacks_nothing(
    world: dict[str, str], tmp_path: Path
) -> None:
    pypy = {"implementation": "pypy", "version": [3, 9, 16], "release": "3.9.16"}
    pretender(tmp_path / "bin", "pypy3.9", **pypy, lacks=["os.sched_getaffinity"])
    with pytest.raises(EngineError, match=r"PyPy 3\.9\.16 has no os\.sched_getaffinity"):
        interpreters.interpreter_of(parse("pypy3.9"), interpreters.find(world, tmp_path))
    pretender(tmp_path / "bin", "pypy3.9", **pypy)
    assert interpreters.interpreter_of(parse("pypy3.9"), interpreters.find(world, tmp_path)).place == "PATH"


def test_asked_for_something_that_is_not_there_it_says_what_is_and_how_to_get_it(
    world: dict[str, str], tmp_path: Path
) -> None:
    pretender(tmp_path / "bin", "python3.13")
    with pytest.raises(EngineError) as missing:
        interpreters.interpreter_of(parse("3.14t"), interpreters.find(world, tmp_path))
    for word in (
        "3.14t",
        "there are: 3.13",
        "uv python install 3.14t",
        "pyenv install 3.14t",
        "lab images build 3.14t",
    ):
        assert word in str(missing.value)
    with pytest.raises(EngineError, match="there are: none"):
        interpreters.interpreter_of(parse("3.14t"), [])


def test_a_path_is_asked_what_it_is(tmp_path: Path) -> None:
    one = interpreters.interpreter_of(parse(str(link(tmp_path, "anything"))))
    assert one.build.name == THIS
    assert one.path == str(tmp_path / "anything")


@pytest.mark.parametrize(
    ("script", "text", "error", "word"),
    [
        (None, "{}", EngineError, "nothing at"),
        ("echo hello", "{}", EngineError, "did not answer"),
        ("old", "{}", EngineError, "too old"),
        ("usual", "{}+gil", UsageError, "free-threaded"),
    ],
    ids=["nothing", "no Python", "an old Python", "without the option"],
)
def test_a_path_that_cannot_run_a_cell_is_refused(
    tmp_path: Path, script: str | None, text: str, error: type[Exception], word: str
) -> None:
    path = tmp_path / "python"
    if script == "old":
        pretender(tmp_path, "python", version=[3, 8, 1], release="3.8.1")
    elif script == "usual":
        pretender(tmp_path, "python")
    elif script:
        program(tmp_path, "python", script)
    with pytest.raises(error, match=word):
        interpreters.interpreter_of(parse(text.format(path)))


def test_the_question_can_be_read_by_every_python_that_is_here() -> None:
    """Also by those that are too old for a cell: they are to say so."""
    for one in interpreters.find():
        done = subprocess.run([one.path, "-I", "-S", "-c", SOURCE], capture_output=True, check=True)
        answer = answers.read(b"something else\n" + done.stdout)
        assert answer == one.answer
        assert done.stderr == b""


def test_what_this_python_says_is_true() -> None:
    answer = interpreters.ask(sys.executable)
    assert answer
    assert answer.build.version == sys.version_info[:2]
    assert answer.build.implementation == sys.implementation.name
    assert answer.release == sys.version.split()[0]
    assert answer.executable == str(HERE)
    assert answer.lacks == ()
    assert answer.problem is None
