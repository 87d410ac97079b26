"""Whatever hangs, Ctrl-C ends the lab in time, and what is left behind is said with the command that removes it."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import interrupts, system
from lab.containers.cleanup import remove_all
from tests.conftest import labelled
from tests.running.test_interrupts import LATER, WAYS, Run
from tests.support import cells
from tests.support.proxy import Proxy
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(cells.CPUS) < 2, reason="two cells take two CPUs"),
]

#: How long the end may take after one request, in seconds, and after a second one. A busy machine gets some more.
ONCE, TWICE = 10.0, interrupts.SECOND_SECONDS + 1.5


@pytest.fixture
def proxy(engine: DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy to the real engine, which ``DOCKER_HOST`` points at."""
    where = engine.api.base_url
    path = where.removeprefix("http+unix://") if where.startswith("http+unix://") else "/var/run/docker.sock"
    with Proxy(tmp_path / "proxy.sock", path) as server:
        monkeypatch.setenv("DOCKER_HOST", server.address)
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """Starts a run on that engine; whatever is left of it is killed after the test."""
    runs: list[Run] = []

    def begin(engine: str) -> Run:
        folder = tmp_path / "run"
        folder.mkdir()
        runs.append(Run(folder, engine))
        return runs[-1]

    yield begin
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            run.process.kill()


def ended(run: Run, within: float) -> tuple[int, str, str]:
    """Wait for the end of a run, which must come in time. Returns its exit code and both outputs."""
    began = time.monotonic()
    code, out = run.end()
    assert time.monotonic() - began < within, run.lines
    return code, out, "".join(run.lines)


@pytest.mark.engine
def test_ctrl_c_ends_a_run_whose_engine_stalls_and_its_session_goes_on_without_being_named(
    start: Callable[[str], Run], proxy: Proxy, engine: DockerClient, lab: Lab
) -> None:
    run = start("docker")
    run.says(r"^2 CPUs .*: process")
    proxy.stall()
    WAYS["Ctrl-C"](run)
    code, out, err = ended(run, ONCE)
    assert code == 130
    assert "confirmed" in out, "the first cell was measured"
    assert "left behind: " in err
    assert "remove them with: lab clean" in err
    proxy.cut()
    proxy.flows.set()
    remove_all(engine, run.session)
    code, out, err = lab("run", "--resume", "--output", str(run.sessions))
    assert code == 0, err
    assert "1 of 2 cells are there already" in err
    assert labelled(engine, run.session) == set()


@pytest.mark.engine
def test_ctrl_c_ends_a_run_whose_engine_stalls_in_the_probe(
    start: Callable[[str], Run], proxy: Proxy, engine: DockerClient
) -> None:
    proxy.stall()
    run = start("docker")
    run.listens()
    WAYS["Ctrl-C"](run)
    code, out, _ = ended(run, ONCE)
    assert (code, out) == (130, "")


@pytest.mark.engine
def test_a_second_ctrl_c_ends_at_once_though_the_engine_stalls(
    start: Callable[[str], Run], proxy: Proxy, engine: DockerClient
) -> None:
    run = start("docker")
    run.says(r"^2 CPUs .*: process")
    proxy.stall()
    WAYS["Ctrl-C"](run)
    time.sleep(LATER)
    WAYS["Ctrl-C"](run)
    code, _, err = ended(run, TWICE)
    assert code == 130
    assert "lab clean" in err
    assert f"lab run --resume --output {run.sessions}" in err
    proxy.cut()
    proxy.flows.set()
    remove_all(engine, run.session)


@pytest.mark.engine
def test_a_connection_that_is_cut_costs_no_more_than_its_cell(
    start: Callable[[str], Run], proxy: Proxy, engine: DockerClient
) -> None:
    run = start("docker")
    run.says(r"^1 CPU .*: process")
    proxy.cut()
    run.says(r"^2 CPUs .*: measured")
    run.end()
    assert [cell["status"] for cell in run.report()["cells"]].count("measured") >= 1
    assert labelled(engine, run.session) == set()


HANGS = {
    "a Python that does not answer": "#!/bin/sh\nexec sleep 600\n",
    "a Python that prints for ever": "#!/bin/sh\nexec yes\n",
    "a Python that ignores SIGTERM": "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 1; done\n",
}


@pytest.mark.parametrize("text", HANGS.values(), ids=HANGS)
@pytest.mark.parametrize("number", system.ENDING_SIGNALS)
def test_a_signal_ends_a_probe_that_hangs(text: str, number: signal.Signals, tmp_path: Path) -> None:
    python = tmp_path / "python3.13"
    python.write_text(text)
    python.chmod(0o755)
    mark = f"MULTICORE_LAB_TEST_{os.getpid()}_{tmp_path.name}"
    command = [sys.executable, "-m", "lab", "run", "pipe", "--engine", "local", "--python", str(python)]
    environment = {**os.environ, "LAB_TEST": mark}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        until = time.monotonic() + 60
        while not any("python3.13" in line or "sleep" in line or "yes" in line for line in cells.living(mark)):
            assert time.monotonic() < until
            if process.poll() is not None:  # it printed too much, before the signal came
                return
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait() in (130, 3)
    assert time.monotonic() - began < ONCE
    assert cells.still_living(mark) == []


def test_a_terminal_that_is_closed_ends_a_run_as_sigterm_does(tmp_path: Path) -> None:
    sessions, mark = tmp_path / "sessions", f"MULTICORE_LAB_TEST_{os.getpid()}_{tmp_path.name}"
    arguments = ["gil", "--cpus", "1,2", "--engine", "local", "--output", str(sessions)]
    child, terminal = pty.fork()
    if child == 0:
        os.environ["LAB_TEST"] = mark
        os.execv(sys.executable, [sys.executable, "-m", "lab", "run", *arguments])
    seen = b""
    while b"CPU (0): gil" not in seen:
        seen += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert cells.still_living(mark) == []
    (session,) = sessions.iterdir()
    assert '"interrupted": true' in (session / "session.json").read_text().replace('":true', '": true')
