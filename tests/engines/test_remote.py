"""An engine that is reached over the network, as one on another machine is: nothing but its API may be needed."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from docker import DockerClient
from lab.model.cell import Status
from lab.sessions import loading
from tests.conftest import labelled
from tests.support.terminal import Lab

pytestmark = pytest.mark.engine


class Relay(socketserver.ThreadingTCPServer):
    """Passes every connection on to the engine's socket, byte for byte, and counts them."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.connections = 0
        super().__init__(("127.0.0.1", 0), Passing)


class Passing(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        self.server.connections += 1
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.server.path)
            back = threading.Thread(target=copy, args=(engine, self.request))
            back.start()
            copy(self.request, engine)
            back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # the other side is gone
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(engine: DockerClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay that ``DOCKER_HOST`` points at."""
    where = engine.api.base_url
    path = where.removeprefix("http+unix://") if where.startswith("http+unix://") else "/var/run/docker.sock"
    with Relay(path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()


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
    assert relay.connections > 1
    assert labelled(engine, folder.name) == set()
