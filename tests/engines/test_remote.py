"""An engine that is reached over the network, as one on another machine is: nothing but its API may be needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from docker import DockerClient
from lab.containers import connection, waiting
from lab.model.cell import Status
from lab.sessions import loading
from tests.conftest import labelled
from tests.support.engine_hosts import Relay, to_socket
from tests.support.terminal import Lab

pytestmark = pytest.mark.engine


@pytest.fixture
def relay(engine: DockerClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay that ``DOCKER_HOST`` points at."""
    where = engine.api.base_url
    path = where.removeprefix("http+unix://") if where.startswith("http+unix://") else "/var/run/docker.sock"
    with Relay(lambda: to_socket(Path(path))) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.port}")
        yield server


def test_cells_run_on_an_engine_elsewhere(
    lab: Lab, relay: Relay, engine: DockerClient, image: str, tmp_path: Path
) -> None:
    code, out, err = lab(
        "run",
        "pipe",
        "pool",
        "--image",
        image,
        "--engine",
        "docker",
        "--cpus",
        "1",
        "--quick",
        "--output",
        str(tmp_path),
    )
    assert code == 0, err
    assert "confirmed" in out
    (folder,) = tmp_path.iterdir()
    (result,) = loading.load_session(folder).results
    assert result.status is Status.MEASURED
    assert result.faults == ()
    assert len(relay.sockets) > 2
    assert labelled(engine, folder.name) == set()


def test_a_slow_connection_costs_time_alone_and_what_is_waited_for_is_said(
    lab: Lab, relay: Relay, engine: DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.bytes_a_second = 20_000
    monkeypatch.setattr(connection, "_API_SECONDS", 2)  # the code of a cell takes longer than this to arrive
    monkeypatch.setattr(waiting, "TOLD_SECONDS", 1.0)
    code, _, err = lab.run("pipe", "--image", image, "--engine", "docker", "--cpus", "1", "--quick")
    assert code == 0, err
    assert "waiting for the engine for 1 s: creating the container of cpu1\n" in err
    assert "waiting for the engine for 1 s: running the cell\n" in err
    (folder,) = lab.sessions.iterdir()
    (result,) = loading.load_session(folder).results
    assert (result.status, result.faults) == (Status.MEASURED, ())
    assert labelled(engine, folder.name) == set()
