"""``--host``: one run on several hosts, with fake engines in the place of theirs."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.commands import _hosts, run, scale
from lab.commands import exec as exec_
from lab.model.cell import Status
from lab.sessions import loading
from tests.containers.test_connection import FORGOTTEN
from tests.support.fake_api import Play, Server
from tests.support.terminal import Lab


def typed(*words: str) -> argparse.Namespace:
    """The options of a command line, as the command gets them."""
    parser = argparse.ArgumentParser()
    {"run": run, "scale": scale, "exec": exec_}[words[0]].configure(parser)
    options = parser.parse_args(words[1:])
    options.typed = words
    return options


@pytest.mark.parametrize(
    ("words", "for_one"),
    [
        ("run gil pool --host a --cpus 1,2 --host=b", "gil pool --cpus 1,2"),
        ("run --hos a --format json --full --strict --expect x=y --fail-on never --seed 3 gil", "gil"),
        ("run --host a --output here --out there --transcript --label me", "--label me"),
        ("scale -s pass 1+1 --host a --param n=1", "-s pass 1+1 --param n=1"),
        ("exec --host a --session here --output pipe -- pytest --host x -- y", "--output pipe -- pytest --host x -- y"),
        ("exec --host a --runs 3 make --seed 9", "--runs 3 -- make --seed 9"),
    ],
)
def test_each_host_gets_the_command_line_without_what_is_for_all_of_them(words: str, for_one: str) -> None:
    options = typed(*words.split())
    output = "--session" if words.startswith("exec") else "--output"
    usual = [words.split()[0], "--host", "b", output, "/folder", "--seed", "7"]
    assert _hosts._words_of(options, Path("/folder"), 7, "b") == [*usual, *for_one.split()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --host a --host b --engine local", "--host names a machine with a Docker engine"),
        ("run --host a --engine local", "--host names a machine with a Docker engine"),
        ("run --host a --host b --predict", "--predict asks what one machine will do"),
        ("run --host a --host b --cpus 0", "--cpus"),
        ("run --host a --host b --expect gil.nothing=refuted", "--expect"),
        ("run --host a --host b --resume", "leave out --host"),
        ("run --host", "expected one argument"),
        ("plan --host a --host b", "lab plan looks at one machine at a time"),
        ("run --host a --host a", "--host a and --host a are the same engine"),
        ("run --host unix:///x.sock --host unix:///x.sock", "are the same engine"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(lab: Lab, words: str, message: str) -> None:
    code, _, err = lab(*words.split(), *(["--output", str(lab.sessions)] if "plan" not in words else []))
    assert code == 2
    assert message in err
    assert not lab.sessions.exists()


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[list[Server]]:
    """Three engines."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(tmp_path / f"{name}.sock")) for name in "abc"]


def urls(engines: list[Server]) -> list[str]:
    return [f"unix://{engine.server_address!s}" for engine in engines]


def named(*hosts: str) -> list[str]:
    return [word for host in hosts for word in ("--host", host)]


def test_two_names_of_one_engine_are_refused_and_a_clone_is_not(lab: Lab, engines: list[Server]) -> None:
    for engine in engines:
        engine.engine.info["ID"] = "AAAA"
    first, second, _ = urls(engines)
    code, _, err = lab.run("pipe", *named(first, second))
    assert code == 2
    assert "are the same engine; name each machine once" in err
    assert not lab.sessions.exists()
    assert not any(engine.engine.created for engine in engines)


@pytest.mark.slow
def test_ctrl_c_reaches_all_hosts_and_each_keeps_what_it_has(engines: list[Server], tmp_path: Path) -> None:
    for engine in engines:
        engine.engine.cells["cpu2"] = Play(stdout=b"", seconds=600)
    sessions = tmp_path / "sessions"
    words = ["run", "pipe", "--cpus", "1,2", "--jobs", "1", "--output", str(sessions), *named(*urls(engines))]
    command = [sys.executable, "-m", "lab", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for engine in engines:
            while "start" not in [step for step, cell in engine.engine.asked if cell == "cpu2"]:
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Docker on 3 hosts" in out
    (folder,) = sessions.iterdir()
    for part in loading.folders(folder):
        statuses = [result.status for result in loading.load_session(part).results]
        assert statuses == [Status.MEASURED, Status.ERROR]
    assert not any(engine.engine.containers for engine in engines)


@pytest.mark.slow
@pytest.mark.filterwarnings(FORGOTTEN)
def test_hosts_run_at_the_same_time_and_make_one_report(lab: Lab, engines: list[Server], tmp_path: Path) -> None:
    for number, engine in enumerate(engines):  # the same id: machines that were cloned
        engine.engine.info = {"ID": "AAAA", "Name": f"machine-{number}"}
    engines[1].engine.info["SystemTime"] = "2020-01-01T00:00:00.000000001Z"
    engines[2].engine.faults["info"] = 500
    gone = f"unix://{tmp_path}/gone.sock"
    code, out, err = lab.run("pipe", "--cpus", "1,2", "--format", "json", *named(*urls(engines), gone))
    assert code == 3
    document = json.loads(out)
    assert [cell["id"][:4] for cell in document["cells"]] == ["cpu1", "cpu2", "cpu1", "cpu2"]
    assert {cell["status"] for cell in document["cells"]} == {"measured"}
    first, second, third, fourth = document["session"]["arguments"]["hosts"]
    assert first["reason"] == second["reason"] == ""
    assert second["clock_seconds"] < -1e6
    assert "the engine answered 500: scripted fault 500 at info" in third["reason"]
    assert fourth["reason"].endswith("there is no such socket; start it there, and let it listen at that address")
    assert f"{tmp_path}/a.sock: 1 CPU (0): measured in" in err

    (folder,) = lab.sessions.iterdir()
    assert loading.load_session(folder).id == folder.name
    parts = loading.folders(folder)
    assert {loading.load_session(part).host for part in parts} == {*urls(engines)[:2]}
    for path in (folder, *parts):
        assert lab("verify", str(path))[0] == 0
    assert lab("merge", str(folder), "--format", "json")[0] == 0
    assert "joins the sessions of 4 hosts" in lab("run", "--resume", str(folder))[2]
    assert not any(engine.engine.containers for engine in engines)


@pytest.mark.slow
def test_where_no_host_ran_anything_nothing_is_said_to_be_kept(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    code, _, err = lab.run("pipe", "--host", "gone", "--host", "lost")
    assert code == 3
    assert "gone: lab: the Docker context gone (--host) does not exist" in err
    assert err.splitlines()[-1] == "lab: none of the 2 hosts ran anything; the lines above say why"
