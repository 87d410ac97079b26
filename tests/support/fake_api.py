"""A fake Engine API on a unix socket: enough of Docker's for the real SDK to run cells, with faults on request.

The API is that of https://docs.docker.com/reference/api/engine/version/v1.41/ as far as it goes. Cells are scripted: a
container's standard output is a stream of records, its limits are those that it was created with.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import socketserver
import struct
import tarfile
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from lab.cell.cpus import cpulist
from lab.containers.client import CELL_LABEL
from tests.support import scripts

CPUS = tuple(range(8))


@dataclass(kw_only=True)
class Play:
    """What a container does once it is started.

    ``log`` is what the engine keeps of ``stdout`` where that differs from what it hands out live; ``attached_bytes``
    how much it hands out before the attached connection breaks; ``seconds`` how long the container lives after its
    last word; ``error`` what the engine answers instead of starting it.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    out_of_memory: bool = False
    log: bytes | None = None
    attached_bytes: int | None = None
    seconds: float = 0.0
    error: str | None = None
    warnings: tuple[str, ...] = ()
    cpuset_set: str | None = None


def well(cell: str, cpus: tuple[int, ...]) -> Play:
    """A cell that runs the pipe experiment, all well; or the probe."""
    return Play(stdout=scripts.stream(cell, cpus, {} if cell == "probe" else {"pipe": scripts.pipe()}))


@dataclass
class Container:
    """A container of the fake engine."""

    name: str
    body: dict[str, Any]
    play: Play
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    exit_code: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.body["Labels"])

    def end(self, exit_code: int) -> None:
        if self.exit_code is None:
            self.exit_code = exit_code
        self.ended.set()

    def state(self) -> dict[str, Any]:
        return {
            "Status": "exited" if self.ended.is_set() else "running" if self.started.is_set() else "created",
            "Running": self.started.is_set() and not self.ended.is_set(),
            "ExitCode": self.exit_code or 0,
            "OOMKilled": self.play.out_of_memory,
            "StartedAt": "2026-01-01T00:00:00.123456789Z" if self.started.is_set() else "0001-01-01T00:00:00Z",
            "Error": "",
        }


#: A step of the API that can fail: its method, the pattern of its path, and what answers it.
STEPS = {
    "ping": ("GET", r"/_ping"),
    "version": ("GET", r"/version"),
    "info": ("GET", r"/info"),
    "images": ("GET", r"/images/json"),
    "image": ("GET", r"/images/(?P<image>.+)/json"),
    "pull": ("POST", r"/images/create"),
    "create": ("POST", r"/containers/create"),
    "look": ("HEAD", r"/containers/(?P<id>\w+)/archive"),
    "archive": ("GET", r"/containers/(?P<id>\w+)/archive"),
    "attach": ("POST", r"/containers/(?P<id>\w+)/attach"),
    "wait": ("POST", r"/containers/(?P<id>\w+)/wait"),
    "start": ("POST", r"/containers/(?P<id>\w+)/start"),
    "inspect": ("GET", r"/containers/(?P<id>\w+)/json"),
    "logs": ("GET", r"/containers/(?P<id>\w+)/logs"),
    "kill": ("POST", r"/containers/(?P<id>\w+)/kill"),
    "remove": ("DELETE", r"/containers/(?P<id>\w+)"),
    "containers": ("GET", r"/containers/json"),
    "networks": ("GET", r"/networks"),
    "volumes": ("GET", r"/volumes"),
}


@dataclass(kw_only=True)
class Engine:
    """The fake engine's state.

    ``faults`` maps a step, or (step, cell), to a status to answer, to ``hang`` (no answer), ``drop`` (the connection is
    closed) or ``lost`` (it is done, but the answer gets lost). ``asked`` is every request: (step, container's cell).
    ``files`` are those of every image; a container that is no cell counts as one of the name of what it runs. ``info``
    is what it says of itself besides the usual; ``dropped`` are the limits that it takes and does not set. ``refuses``
    says what it answers instead of starting a container with a host configuration; empty: it starts it. ``altered``
    maps a step to a function that makes another answer of the right one. ``system`` is what its containers run.
    """

    images: set[str] = field(default_factory=lambda: {"multicore-lab-base:3.13"})
    registry: set[str] = field(default_factory=set)
    plays: Callable[[str, tuple[int, ...]], Play] = well
    cells: dict[str, Play] = field(default_factory=dict)
    faults: dict[str | tuple[str, str], int | str] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    files: set[str] = field(default_factory=lambda: {"/usr/bin"})
    created: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    info: dict[str, Any] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    refuses: Callable[[Mapping[str, Any]], str] = lambda host: ""
    altered: dict[str, Callable[[Any], object]] = field(default_factory=dict)
    system: str = "linux"

    def fault(self, step: str, cell: str) -> int | str | None:
        return self.faults.get((step, cell), self.faults.get(step))


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Not on the test's standard error."""

    def _answer(self) -> None:
        engine = self.server.engine
        address = urllib.parse.urlsplit(self.path)
        path = re.sub(r"^/v[\d.]+", "", urllib.parse.unquote(address.path))
        query = {name: values[0] for name, values in urllib.parse.parse_qs(address.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        step, named = self._step(path)
        container = engine.containers.get(named.get("id", ""))
        body = json.loads(raw) if raw else {}
        cell = _cell(container.body if container else body)
        self._query = query
        engine.asked.append((step, cell))
        self._alter: Callable[[Any], object] = engine.altered.get(step, lambda body: body)
        fault = engine.fault(step, cell)
        if fault == "hang":
            engine.closing.wait()
        if fault == "lost":
            self.wfile = io.BytesIO()
        if fault in ("hang", "drop", "lost"):
            self.close_connection = True
        if fault in ("hang", "drop"):
            return
        if isinstance(fault, int):
            self._send(fault, {"message": f"scripted fault {fault} at {step}"})
        elif "id" in named and container is None:
            self._send(404, {"message": f"No such container: {named['id']}"})
        elif container:
            getattr(self, f"_{step}")(container)
        else:
            getattr(self, f"_{step}")(engine, {**query, **named}, body)

    def _step(self, path: str) -> tuple[str, dict[str, str]]:
        """The step that a request is, with what its path names."""
        for step, (method, pattern) in STEPS.items():
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                return step, match.groupdict()
        return "unknown", {}

    def _unknown(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self._send(501, {"message": f"the fake engine has no {self.command} {self.path}"})

    def _send(self, status: int, body: object) -> None:
        self._send_raw(status, json.dumps(self._alter(body)).encode(), "application/json")

    def _send_raw(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ping(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self._send_raw(200, b"OK", "text/plain", OSType=engine.system)

    def _version(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self._send(200, {"Version": "27.0-fake", "ApiVersion": "1.45"})

    def _info(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        usual = {"NCPU": len(CPUS), "CgroupVersion": "1", "Name": "fake", "Warnings": None}
        self._send(200, {**usual, **engine.info})

    def _image(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        if query["image"] in engine.images:
            self._send(200, {"Id": "sha256:" + "0" * 64, "RepoTags": [query["image"]]})
        else:
            self._send(404, {"message": f"No such image: {query['image']}"})

    def _images(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self._send(200, [{"Id": name, "RepoTags": [name]} for name in sorted(engine.images)])

    def _pull(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        name = f"{query['fromImage']}:{query['tag']}"
        if name not in engine.registry:
            self._send(500, {"message": "Get the registry: dial tcp: lookup: no such host"})
            return
        engine.images.add(name)
        self._send(200, {"status": "Download complete"})

    def _create(self, engine: Engine, query: Mapping[str, str], body: dict[str, Any]) -> None:
        name = query.get("name", f"unnamed-{next(engine.numbers)}")
        if any(container.name == name for container in engine.containers.values()):
            self._send(409, {"message": f"Conflict. The container name {name} is already in use"})
            return
        if body["Image"] not in engine.images:
            self._send(404, {"message": f"No such image: {body['Image']}"})
            return
        cell = _cell(body)
        cpus = cpulist.parse(body["HostConfig"].get("CpusetCpus") or "") or CPUS
        play = engine.cells.get(cell) or (engine.plays(cell, cpus) if CELL_LABEL in body["Labels"] else Play())
        number = f"{next(engine.numbers):064x}"
        engine.containers[number] = Container(name, body, play)
        engine.created.append(number)
        self._send(201, {"Id": number, "Warnings": list(play.warnings)})

    def _look(self, container: Container) -> None:
        path = self._query["path"]
        self.send_response(200 if path in self.server.engine.files else 404)
        about = json.dumps({"name": path.rpartition("/")[2], "linkTarget": ""})
        self.send_header("X-Docker-Container-Path-Stat", base64.b64encode(about.encode()).decode())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _archive(self, container: Container) -> None:
        """A file with what the container prints, whichever file is asked for."""
        memory, text = io.BytesIO(), container.play.stdout
        with tarfile.open(fileobj=memory, mode="w") as tar:
            entry = tarfile.TarInfo("records")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
        about = {"name": "records", "size": len(text), "mtime": "2026-01-01T00:00:01Z", "linkTarget": ""}
        self.send_response(200)
        self.send_header("X-Docker-Container-Path-Stat", base64.b64encode(json.dumps(about).encode()).decode())
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Content-Length", str(len(memory.getvalue())))
        self.end_headers()
        self.wfile.write(memory.getvalue())

    def _wait(self, container: Container) -> None:
        container.ended.wait()
        self._send(200, {"StatusCode": container.exit_code})

    def _attach(self, container: Container) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        while not container.started.wait(0.05):
            if self.server.engine.closing.is_set():
                return
        play = container.play
        frames = b"".join(
            struct.pack(">BxxxL", kind, len(text)) + text for kind, text in ((2, play.stderr), (1, play.stdout)) if text
        )
        self.wfile.write(frames[: play.attached_bytes])
        if play.attached_bytes is None:
            container.ended.wait()

    def _start(self, container: Container) -> None:
        error = container.play.error or self.server.engine.refuses(container.body["HostConfig"])
        if error:
            self._send(400, {"message": error})
            return
        threading.Timer(container.play.seconds, container.end, (container.play.exit_code,)).start()
        container.started.set()
        self.send_response(204)
        self.end_headers()

    def _inspect(self, container: Container) -> None:
        asked = container.body["HostConfig"].get("CpusetCpus") or ""
        reported = asked if container.play.cpuset_set is None else container.play.cpuset_set
        self._send(
            200,
            {
                "Id": "0",
                "Name": "/" + container.name,
                "Config": {"Tty": False, "Labels": container.labels, "Image": container.body["Image"]},
                "State": container.state(),
                "HostConfig": {
                    name: value
                    for name, value in {**container.body["HostConfig"], "CpusetCpus": reported}.items()
                    if name not in self.server.engine.dropped
                },
            },
        )

    def _logs(self, container: Container) -> None:
        text = container.play.stdout if container.play.log is None else container.play.log
        if self._query["stdout"] == "0":
            text = container.play.stderr
        header = struct.pack(">BxxxL", 1, len(text)) if text else b""
        self._send_raw(200, header + text, "application/vnd.docker.multiplexed-stream")

    def _kill(self, container: Container) -> None:
        container.end(137)
        self.send_response(204)
        self.end_headers()

    def _remove(self, container: Container) -> None:
        engine = self.server.engine
        container.end(137)
        number = next(key for key, candidate in engine.containers.items() if candidate is container)
        del engine.containers[number]
        engine.removed.append(number)
        self.send_response(204)
        self.end_headers()

    def _containers(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        labels = [label.partition("=") for label in json.loads(query["filters"])["label"]]
        containers = [
            {
                "Id": number,
                "Names": ["/" + container.name],
                "Labels": container.labels,
                "State": container.state()["Status"],
            }
            for number, container in engine.containers.items()
            if all(name in container.labels and value in ("", container.labels[name]) for name, _, value in labels)
        ]
        self._send(200, containers)

    def _networks(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self._send(200, [])

    def _volumes(self, engine: Engine, query: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self._send(200, {"Volumes": [], "Warnings": None})


def _cell(body: Mapping[str, Any]) -> str:
    """The cell that a container is, else the program that it runs."""
    return str(body.get("Labels", {}).get(CELL_LABEL) or (body.get("Entrypoint") or [""])[0])


class Server(socketserver.ThreadingUnixStreamServer):
    """Serves one fake engine; use as a context manager."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.engine = Engine()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.closing.set()
        for container in self.engine.containers.values():
            container.end(137)
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that hung up is not worth a traceback."""
