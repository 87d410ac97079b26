"""Interpreters of the machine: real ones in folders made for the test, and programs that only have their name."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lab.errors import CellError, EngineError, UsageError
from lab.model.build import parse_build
from lab.pythons import discovery, identity, programs
from lab.pythons.discovery import Discovery
from lab.pythons.identity import ARGUMENTS, MARK, Answer

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


def pretender(folder: Path, name: str, **fields: object) -> Path:
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
        **fields,
    }
    return program(folder, name, f"echo '{MARK}{json.dumps(answer)}'")


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without any Python, whose home is the test's folder."""
    return {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}


def interpreters_in(world: Mapping[str, str], tmp_path: Path) -> list[tuple[str, str, str]]:
    pythons = discovery.find_interpreters(world, tmp_path)
    return [(python.place, str(python.build), python.path) for python in pythons.interpreters]


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
    assert interpreters_in(world, tmp_path) == [(place, THIS, str(HERE))]


def test_one_that_is_in_several_places_is_found_once_in_the_preferred_one(
    world: dict[str, str], tmp_path: Path
) -> None:
    for folder in (".pyenv/versions/a/bin", ".pyenv/versions/b/bin", "bin"):
        for name in ("python", "python3", f"python{THIS}"):
            link(tmp_path / folder, name)
    assert interpreters_in(world, tmp_path) == [("PATH", THIS, str(HERE))]


@pytest.mark.slow
def test_what_is_no_python_never_breaks_it(
    world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_SECONDS", 1.0)
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
    program(folder, "python3.21", "exec yes")
    program(folder, "python3.22", "yes & sleep 61.5")
    begun = time.monotonic()
    pythons = discovery.find_interpreters(world, tmp_path)
    assert [program.path for program in pythons.interpreters] == [str(HERE)]
    assert {Path(program.path).name: program.reason for program in pythons.broken} == {
        "python3.9": "gave no answer within 1 s",
        "python3.10": "was killed by signal 11 (SIGSEGV)",
        "python3.11": "exited with 1",
        "python3.12": "did not answer as a Python does",
        "python3.13": "did not answer as a Python does",
        "python3.14": "did not answer as a Python does",
        "python3.15": "did not answer as a Python does",
        "python3.16": "cannot be started: Exec format error (damaged, or made for another processor)",
        "python3.21": "gave no answer and printed more than 1 MiB",
        "python3.22": "gave no answer and printed more than 1 MiB",
    }
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
    assert interpreters_in(world, tmp_path) == []


def test_a_shim_goes_by_the_name_that_it_is_called_by(world: dict[str, str], tmp_path: Path) -> None:
    shim = program(tmp_path, "manager", f'[ "$(basename "$0")" = python3.11 ] && exec {HERE} "$@"')
    (tmp_path / "bin").mkdir()
    for name in ("python3.10", "python3.11"):
        (tmp_path / "bin" / name).symlink_to(shim)
    assert interpreters_in(world, tmp_path) == [("PATH", THIS, str(HERE))]


def test_the_newest_release_of_the_first_place_is_chosen(world: dict[str, str], tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv/versions"
    for release in ("3.13.2", "3.13.10", "3.13.11rc1", "3.14.0rc1", "3.14.0"):
        pretender(
            versions / release / "bin", "python3", release=release, version=list(map(int, release[:4].split(".")))
        )
    pretender(tmp_path / ".local/share/uv/python/new/bin", "python3", release="3.13.99")
    pythons = discovery.find_interpreters(world, tmp_path)
    assert discovery.interpreter_of(parse_build("3.13"), pythons).answer.release == "3.13.11rc1"
    assert discovery.interpreter_of(parse_build("3.14"), pythons).answer.release == "3.14.0"
    pretender(tmp_path / "bin", "python3", release="3.13.1")
    assert discovery.interpreter_of(parse_build("3.13"), discovery.find_interpreters(world, tmp_path)).place == "PATH"


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("python3.13-nogil", "3.13t"),
        ("python3.13-freethreaded", "3.13t"),
        ("python3.14t", "3.14t"),
        ("python3.14td", "3.14t"),
        ("python3.13d", "3.13"),
        ("python3.13-dbg", "3.13"),
        ("python3-debug", "3.13"),
        ("python3.13.5", "3.13"),
    ],
)
def test_names_of_other_builds_are_found(name: str, build: str, world: dict[str, str], tmp_path: Path) -> None:
    version = [3, int(build[2:4]), 2]
    pretender(tmp_path / "bin", name, version=version, free_threaded=build.endswith("t"))
    found = discovery.find_interpreters(world, tmp_path)
    assert found.usable_builds == (build,)
    broken = programs.Broken(path=f"/usr/bin/{name}", reason="")
    assert {str(known) for known in broken.builds} == ({build} if "." in name else set())


@pytest.mark.parametrize("name", ["python3.13-config", "python3-qr", "python3.13-nogil-config", "python-argcomplete"])
def test_other_programs_of_python_are_not_asked(name: str, world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", name)
    assert discovery.find_interpreters(world, tmp_path) == Discovery()


def test_a_debug_build_stands_for_its_version_only_where_no_other_does(world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", "python3.13d", release="3.13.9", debug=True)
    pretender(tmp_path / "bin", "python3.13", release="3.13.2")
    pretender(tmp_path / "bin", "python3.14-dbg", release="3.14.0", version=[3, 14, 0], debug=True)
    pythons = discovery.find_interpreters(world, tmp_path)
    assert discovery.interpreter_of(parse_build("3.13"), pythons).answer.release == "3.13.2"
    assert discovery.interpreter_of(parse_build("3.14"), pythons).answer.debug


def test_on_path_the_first_folder_wins_as_in_a_shell(world: dict[str, str], tmp_path: Path) -> None:
    world["PATH"] = f"{tmp_path}/mine:{tmp_path}/theirs"
    pretender(tmp_path / "mine", "python3.13", release="3.13.1")
    pretender(tmp_path / "theirs", "python3.13", release="3.13.5")
    assert (
        discovery.interpreter_of(parse_build("3.13"), discovery.find_interpreters(world, tmp_path)).answer.release
        == "3.13.1"
    )


def test_the_labs_own_python_is_found_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, world: dict[str, str], tmp_path: Path
) -> None:
    for name, value in {"PYENV_ROOT": "", "UV_PYTHON_INSTALL_DIR": "", "XDG_DATA_HOME": "", "VIRTUAL_ENV": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", world["HOME"])
    monkeypatch.setenv("PATH", world["PATH"])
    assert [(python.place, python.path) for python in discovery.find_interpreters(folder=tmp_path).interpreters] == [
        ("the lab's own", str(HERE))
    ]


def test_options_do_not_change_which_interpreter_it_is(world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", "python3.13t", free_threaded=True, gil_enabled=False)
    pretender(tmp_path / "bin", "python3.13")
    pythons = discovery.find_interpreters(world, tmp_path)
    assert discovery.interpreter_of(parse_build("3.13t+gil"), pythons).path.endswith("python3.13t")
    assert discovery.interpreter_of(parse_build("3.13+cpu_count=2"), pythons).path.endswith("python3.13")


def test_an_old_one_is_shown_but_not_run(world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", "python3.8", version=[3, 8, 18], release="3.8.18")
    pretender(tmp_path / "bin", "python3.9", version=[3, 9, 1], release="3.9.1")
    pythons = discovery.find_interpreters(world, tmp_path)
    usable = {python.build.name: python.problem is None for python in pythons.interpreters}
    assert usable == {"3.8": False, "3.9": True}
    assert "too old" in str(pythons.interpreters[0].problem)
    assert pythons.usable_builds == ("3.9",)


def test_pypy_is_refused_with_what_it_lacks_and_run_when_it_lacks_nothing(
    world: dict[str, str], tmp_path: Path
) -> None:
    pypy = {"implementation": "pypy", "version": [3, 9, 16], "release": "3.9.16"}
    pretender(tmp_path / "bin", "pypy3.9", **pypy, lacks=["os.sched_getaffinity"])
    with pytest.raises(EngineError, match=r"PyPy 3\.9\.16 has no os\.sched_getaffinity"):
        discovery.interpreter_of(parse_build("pypy3.9"), discovery.find_interpreters(world, tmp_path))
    pretender(tmp_path / "bin", "pypy3.9", **pypy)
    assert (
        discovery.interpreter_of(parse_build("pypy3.9"), discovery.find_interpreters(world, tmp_path)).place == "PATH"
    )


def test_asked_for_something_that_is_not_there_it_says_what_is_and_how_to_get_it(
    world: dict[str, str], tmp_path: Path
) -> None:
    pretender(tmp_path / "bin", "python3.13")
    with pytest.raises(EngineError) as missing:
        discovery.interpreter_of(parse_build("3.14t"), discovery.find_interpreters(world, tmp_path))
    for word in (
        "3.14t",
        "there are: 3.13",
        "uv python install 3.14t",
        "pyenv install 3.14t",
        "lab images build 3.14t",
    ):
        assert word in str(missing.value)
    with pytest.raises(EngineError, match="there are: none"):
        discovery.interpreter_of(parse_build("3.14t"), Discovery())


def test_a_path_is_asked_what_it_is(tmp_path: Path) -> None:
    interpreter = discovery.interpreter_of(parse_build(str(link(tmp_path, "anything"))))
    assert interpreter.build.name == THIS
    assert interpreter.path == str(tmp_path / "anything")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "text", "error", "word"),
    [
        (None, "{}", EngineError, "there is nothing at"),
        ("echo hello", "{}", CellError, "python did not answer as a Python does"),
        ("kill -SEGV $$", "{}", CellError, r"python was killed by signal 11 \(SIGSEGV\)"),
        ("kill -40 $$", "{}", CellError, r"python was killed by signal 40 \(SIGRTMIN\+6\)"),
        ("echo no encodings >&2; exit 1", "{}", CellError, "python exited with 1 and said 'no encodings'"),
        ("exit 127", "{}", EngineError, "python exited with 127"),
        ("sleep 60", "{}", CellError, "python gave no answer within 1 s"),
        ("old", "{}", CellError, "too old"),
        ("usual", "{}+gil", UsageError, "free-threaded"),
    ],
    ids=[
        "nothing",
        "no Python",
        "a crash",
        "a real-time signal",
        "a broken one",
        "a shim",
        "one that hangs",
        "an old Python",
        "without the option",
    ],
)
def test_a_path_that_cannot_run_a_cell_is_refused(
    tmp_path: Path, script: str | None, text: str, error: type[Exception], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_SECONDS", 1.0 if script == "sleep 60" else 10.0)
    path = tmp_path / "python"
    if script == "old":
        pretender(tmp_path, "python", version=[3, 8, 1], release="3.8.1")
    elif script == "usual":
        pretender(tmp_path, "python")
    elif script:
        program(tmp_path, "python", script)
    with pytest.raises(error, match=word) as refused:
        discovery.interpreter_of(parse_build(text.format(path)))
    assert type(refused.value) is error  # a CellError costs the cells of its build, any other one the run


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_text("#!/bin/sh\n", encoding="utf-8"), "is not executable"),
        (lambda path: program(path.parent, path.name, "").write_bytes(b"\x7fELF and no more"), "Exec format error"),
        (lambda path: program(path.parent, path.name, "").write_bytes(b"#!/no/such/python\n"), "loader"),
    ],
    ids=["a folder", "no program", "a damaged one", "without its loader"],
)
def test_what_cannot_be_started_says_why_before_anything_runs(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path / "python")
    with pytest.raises(EngineError, match=reason) as refused:
        discovery.interpreter_of(parse_build(str(tmp_path / "python")))
    assert type(refused.value) is EngineError
    assert "10 s" not in str(refused.value)


def test_one_that_is_there_but_broken_is_named_where_its_version_is_missed(
    world: dict[str, str], tmp_path: Path
) -> None:
    pretender(tmp_path / "bin", "python3.13")
    broken = program(tmp_path / "bin", "python3.12", "kill -SEGV $$")
    program(tmp_path / "bin", "python3.11", "echo no such version >&2; exit 127")
    pythons = discovery.find_interpreters(world, tmp_path)
    with pytest.raises(CellError, match=r"no Python 3\.12 .*SIGSEGV.*; there are: 3\.13; get it") as missing:
        discovery.interpreter_of(parse_build("3.12"), pythons)
    assert f"{broken} was killed by signal 11" in str(missing.value)
    assert "python3.11" not in str(missing.value)
    with pytest.raises(EngineError, match=r"python3\.11 exited with 127 and said 'no such version'") as shim:
        discovery.interpreter_of(parse_build("3.11"), pythons)
    assert type(shim.value) is EngineError, "a shim of what is not there"


def test_what_all_does_not_stand_for_is_told_with_the_reason(world: dict[str, str], tmp_path: Path) -> None:
    pretender(tmp_path / "bin", "python3.6", version=[3, 6, 1], release="3.6.1")
    pretender(tmp_path / "bin", "python3.8", version=[3, 8, 1], release="3.8.1")
    pretender(tmp_path / "bin", "python3.13")
    program(tmp_path / "bin", "python3.12", "exit 3")
    pretender(tmp_path / "bin", "python2.7", version=[2, 7, 18], release="2.7.18")
    program(tmp_path / ".venv/bin", "python3.13", "exit 4")
    pretender(tmp_path / "bin", "python3", implementation="graalpy", version=[3, 11, 7], release="3.11.7")
    pythons = discovery.find_interpreters(world, tmp_path)
    assert pythons.usable_builds == ("3.13",)
    assert pythons.left_out == (
        "2.7, 3.6, 3.8 (too old)",
        "graalpy3.11 (--python knows it by its path only)",
        f"{tmp_path}/bin/python3.12 exited with 3",
    )


def test_a_shim_of_what_another_place_has_is_not_missed_but_one_that_crashes_is(
    world: dict[str, str], tmp_path: Path
) -> None:
    for minor in (12, 13):
        pretender(tmp_path / f".pyenv/versions/3.{minor}/bin", f"python3.{minor}", version=[3, minor, 1])
    pretender(tmp_path / ".pyenv/versions/3.6/bin", "python3", version=[3, 6, 1], release="3.6.1")
    for minor in (6, 12):
        program(tmp_path / "bin", f"python3.{minor}", "exit 127")
    crashes = program(tmp_path / "bin", "python3.13", "kill -SEGV $$")
    pythons = discovery.find_interpreters(world, tmp_path)
    assert [program.path for program in pythons.broken] == [str(crashes)]
    assert pythons.left_out == ("3.6 (too old)",)


def test_of_many_broken_ones_the_first_are_told(world: dict[str, str], tmp_path: Path) -> None:
    for minor in range(10, 16):
        program(tmp_path / "bin", f"python3.{minor}", "exit 127")
    assert discovery.find_interpreters(world, tmp_path).left_out[2:] == (
        f"{tmp_path}/bin/python3.12 exited with 127",
        "and 3 more, see lab doctor",
    )


def test_another_implementation_is_no_cpython_of_its_version(world: dict[str, str], tmp_path: Path) -> None:
    path = pretender(tmp_path / "bin", "python3", implementation="graalpy", version=[3, 11, 7], release="3.11.7")
    with pytest.raises(EngineError, match=r"there is no Python 3\.11 on this machine; there are: none"):
        discovery.interpreter_of(parse_build("3.11"), discovery.find_interpreters(world, tmp_path))
    assert discovery.interpreter_of(parse_build(str(path))).build.name == "graalpy3.11"


def test_who_has_no_home_has_the_other_places(
    world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")  # no HOME, and no entry for the user's number

    monkeypatch.setattr(Path, "home", nowhere)
    del world["HOME"]
    link(tmp_path / "bin", "python3")
    assert interpreters_in(world, tmp_path) == [("PATH", THIS, str(HERE))]
    world["UV_PYTHON_INSTALL_DIR"] = str(tmp_path / "pythons")
    pretender(tmp_path / "pythons/a/bin", "python3")
    assert [place for place, _, _ in interpreters_in(world, tmp_path)] == ["PATH", "uv"]


def test_the_home_of_nobody_is_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match="no home folder of ~nosuchuser is known here; write the whole path"):
        discovery.located("~nosuchuser/python")


@pytest.mark.slow
def test_the_question_can_be_read_by_every_python_that_is_here() -> None:
    """Also by those that are too old for a cell: they are to say so."""
    for python in discovery.find_interpreters().interpreters:
        done = subprocess.run([python.path, *ARGUMENTS], capture_output=True, check=True)
        answer = identity.read_answer(b"something else\n" + done.stdout)
        assert answer == python.answer
        assert done.stderr == b""


def test_what_this_python_says_is_true() -> None:
    answer = programs.ask(sys.executable)
    assert isinstance(answer, Answer)
    assert answer.build.version == sys.version_info[:2]
    assert answer.build.implementation == sys.implementation.name
    assert answer.release == sys.version.split()[0]
    assert answer.executable == str(HERE)
    assert answer.lacks == ()
    assert answer.problem is None
