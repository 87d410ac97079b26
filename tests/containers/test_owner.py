"""Several labs on one engine: what is under way is known by who made it, and is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.containers import cleanup, owner
from lab.containers.client import CELL_LABEL, SESSION_LABEL
from lab.containers.owner import OWNER_LABEL
from tests.conftest import labelled
from tests.running.test_interrupts import Run, start  # noqa: F401 - a fixture
from tests.support.fake_api import Container, Engine, Play, Server
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """A fake engine that ``DOCKER_HOST`` points at."""
    with Server(tmp_path / "engine.sock") as server:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{server.server_address!s}")
        yield server.engine


def put(api: Engine, session: str, made_by: str | None, *, running: bool = False) -> str:
    """Put a container of that session on the fake engine. Returns its name."""
    labels = {SESSION_LABEL: session, CELL_LABEL: "cpu1"} | ({OWNER_LABEL: made_by} if made_by else {})
    body = {"Labels": labels, "HostConfig": {}, "Image": "multicore-lab-base:3.13"}
    container = Container(f"multicore-lab-{session}-cpu1", body, Play())
    if running:
        container.started.set()
    api.containers[f"{next(api.numbers):064x}"] = container
    return container.name


def dead_owner() -> str:
    """The label of a process that has ended."""
    code = "from lab.containers import owner; print(owner.own())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


ELSEWHERE = "another-boot:4026531836:17:99"


def test_a_process_lives_until_it_has_ended_and_another_machines_cannot_be_seen() -> None:
    assert owner.is_alive(owner.own()) is True
    assert owner.is_alive(dead_owner()) is False
    reused = f"{owner.own().rpartition(':')[0]}:1"
    assert owner.is_alive(reused) is False, "another process has its pid by now"
    assert owner.is_alive(ELSEWHERE) is None
    assert owner.is_alive("") is None


def test_clean_leaves_what_is_under_way_alone_and_names_it(lab: Lab, api: Engine) -> None:
    put(api, "mine", owner.own())
    put(api, "remote", ELSEWHERE, running=True)
    put(api, "compose", None, running=True)
    gone = [put(api, "killed", dead_owner(), running=True), put(api, "remote-ended", ELSEWHERE), put(api, "old", None)]
    code, out, err = lab("clean")
    assert code == 0, err
    lines = [line for line in out.splitlines() if not line.startswith("removed folder")]  # of tests that were killed
    assert sorted(lines[:3]) == sorted(f"removed container {name}" for name in gone)
    unseen = "which a process that cannot be seen from here runs"
    mine = f"process {os.getpid()} of this machine"
    assert lines[3:] == [
        f"left alone: session {name}, {runs}; remove it too with: lab clean --force --session {name}"
        for name, runs in (("compose", unseen), ("mine", f"which {mine} runs"), ("remote", unseen))
    ]
    code, out, _ = lab("clean", "--force")
    assert (code, out.splitlines()[-1]) == (0, "nothing is left")
    assert api.containers == {}


def test_another_lab_on_the_engine_is_named_in_the_answer(lab: Lab, api: Engine) -> None:
    put(api, "20260101-000000-abcd", ELSEWHERE, running=True)
    code, out, err = lab.run("pipe", "--engine", "docker", "--cpus", "1,2")
    assert code == 0, err
    text = " ".join(out.split())
    assert "note: another lab used this engine at the same time (session 20260101-000000-abcd; at 1" in text
    assert "run them one after the other" in text


@pytest.mark.engine
def test_a_real_run_is_under_way_until_it_has_ended(
    start: Callable[[str], Run],  # noqa: F811
    engine: DockerClient,
) -> None:
    run = start("docker")
    run.says(r"^1 CPU .*: process")
    assert owner.under_way(engine)[run.session] == f"process {run.process.pid} of this machine"
    assert cleanup.remove_all(engine, run.session, spare=owner.under_way(engine)) == ([], [])
    run.process.kill()
    run.end()
    assert run.session not in owner.under_way(engine)
    cleanup.remove_all(engine, run.session, spare=owner.under_way(engine))
    assert labelled(engine, run.session) == set()
