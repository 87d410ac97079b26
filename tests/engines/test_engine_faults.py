"""What goes wrong with a real engine, an image or a container: one clear line, the rest kept, nothing left behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import ImageNotFound

from lab.containers import container
from lab.containers.client import SESSION_LABEL, client_for_this_environment
from lab.engines import docker as docker_engine
from lab.engines import image_choice
from lab.engines.docker import Docker
from lab.errors import CellError
from lab.judging.records import Reader
from lab.model.cell import Cell, CellResult, Limit, Status
from lab.pythons import images
from tests.support import cells
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

#: Experiments that go wrong: name -> the body of ``run(recorder)``.
BAD = {
    "hangs": "time.sleep(600)",
    "exits": "os._exit(3)",
    "kills": "os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)",
    "eats": "hoard = [bytearray(b'x') * 2**20 for _ in range(2000)]",
    "noise": "os.write(1, b'x' * 2**20); os.write(2, b'\\xff' * 2**20)",
}


@pytest.fixture
def docker(image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """A docker engine whose cells know the bad experiments too."""
    monkeypatch.setattr(docker_engine, "cell_code", lambda *_, **__: cells.code_with(BAD))
    engine = Docker(client_for_this_environment(), image, f"test-{uuid.uuid4().hex[:8]}")
    yield engine
    engine.close()


def outcome(
    docker: Docker, *experiments: str, seconds: float = 30, watch: Callable[[Reader], None] = lambda reader: None
) -> CellResult:
    """What becomes of a cell that runs these experiments; ``watch`` may look at what came so far."""
    cell = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,))
    return cells.run_on(docker, cells.order(cell, *experiments, session=docker._session, cell_deadline=seconds), watch)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exits", "exits exited with status 3"),
        ("kills", "the worker was killed by signal 9 (Killed); the end record is missing"),
    ],
)
def test_a_worker_that_ends_badly_in_a_container_says_how(docker: Docker, name: str, reason: str) -> None:
    result = outcome(docker, "pipe", name)
    assert (result.status, result.reason) == (Status.ERROR, reason)
    assert any(record.kind == "finish" for record in result.records), "what ran before is kept"


def test_noise_on_both_outputs_damages_no_record(docker: Docker) -> None:
    result = outcome(docker, "noise", "pipe")
    assert (result.status, result.reason) == (Status.MEASURED, None)


def test_a_cell_that_runs_out_of_memory_says_so(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_MEBIBYTE", 2**17)  # an eighth of the memory
    result = outcome(docker, "pipe", "eats")
    assert result.status is Status.ERROR
    assert result.reason
    assert "memory" in result.reason
    assert any(record.kind == "finish" for record in result.records)


def test_a_worker_that_hangs_is_ended_at_the_cells_deadline(docker: Docker) -> None:
    result = outcome(docker, "pipe", "hangs", seconds=15)  # time enough for the first of them
    assert result.status is Status.ERROR
    assert result.reason
    assert result.reason.startswith("it passed its deadline and was ended")
    assert any(record.kind == "finish" for record in result.records)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("kill", "the worker was killed by signal 9 (Killed); the end record is missing"),
        ("stop", "hangs the cell was asked to stop"),
        ("remove", "No such container"),
    ],
)
def test_a_container_that_somebody_else_ends_costs_its_cell(
    docker: Docker, engine: DockerClient, end: str, reason: str
) -> None:
    acts: dict[str, Callable[[str], None]] = {
        "kill": engine.api.kill,
        "stop": engine.api.stop,
        "remove": lambda container: engine.api.remove_container(container, force=True),
    }
    done: list[str] = []

    def watch(reader: Reader) -> None:
        if not done and any(record.data.get("experiment") == "hangs" for record in reader.records):
            (container,) = engine.api.containers(filters={"label": f"{SESSION_LABEL}={docker._session}"})
            done.append(container["Id"])
            acts[end](container["Id"])

    if end == "remove":
        with pytest.raises(CellError, match=reason):
            outcome(docker, "pipe", "hangs", watch=watch)
        return
    result = outcome(docker, "pipe", "hangs", watch=watch)
    assert (result.status, result.reason) == (Status.ERROR, reason)


@pytest.fixture
def name_of_an_image(engine: DockerClient) -> Iterator[str]:
    """A name for an image that a test makes; the image is removed afterwards."""
    name = f"multicore-lab-test:{uuid.uuid4().hex[:8]}"
    yield name
    with contextlib.suppress(ImageNotFound):
        engine.images.remove(name, force=True)


def archive(**files: bytes) -> bytes:
    """A tar archive of executable files."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return memory.getvalue()


def test_an_image_that_no_registry_has_is_an_error_with_what_to_do(lab: Lab) -> None:
    code, out, err = lab.run("pipe", "--image", "multicore-lab-test:there-is-none")
    assert (code, out) == (3, "")
    line = err.splitlines()[-1]
    assert line.startswith("lab: the image multicore-lab-test:there-is-none is not on this engine and cannot be pulled")
    assert "--engine local" in line


def test_an_engine_without_any_image_is_passed_over_for_the_local_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_choice, "CHOICES", {})
    monkeypatch.setattr(images, "newest_release", lambda client: None)
    monkeypatch.setattr(image_choice, "OFFICIAL_IMAGE", "multicore-lab-test:there-is-none")
    code, out, err = lab.run("pipe", "--cpus", "1")
    assert code == 0
    assert "engine: local (docker: the image multicore-lab-test:there-is-none is not on this engine" in err
    assert "local processes" in out


def test_a_real_image_without_python_is_said_to_have_none(
    lab: Lab, engine: DockerClient, name_of_an_image: str
) -> None:
    repository, _, tag = name_of_an_image.partition(":")
    engine.api.import_image_from_data(archive(hello=b"hello"), repository=repository, tag=tag)
    code, out, err = lab.run("pipe", "--image", name_of_an_image)
    assert (code, out) == (3, "")
    assert err.startswith(f"lab: the image {name_of_an_image} has none of python3, python, pypy3, graalpy, python3.15")


def test_a_real_image_of_another_architecture_is_refused_since_emulated_timings_say_nothing(
    lab: Lab, engine: DockerClient, name_of_an_image: str
) -> None:
    native = engine.version()["Arch"]
    foreign = "arm64" if native == "amd64" else "amd64"
    layer = archive(hello=b"hello")
    config = {
        "architecture": foreign,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name_of_an_image], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    engine.images.load(archive(**files))
    code, out, err = lab.run("pipe", "--image", name_of_an_image)
    assert (code, out) == (3, "")
    assert err.startswith(
        f"lab: the image {name_of_an_image} is for {foreign}, and the engine's machine is {native}: emul"
    )


def test_a_real_image_with_an_old_python_is_named(
    lab: Lab, engine: DockerClient, image: str, docker: Docker, name_of_an_image: str
) -> None:
    # A stand-in: the image's own Python, which says that it is 3.6. The local engine's tests try a real one.
    stand_in = STAND_IN.format(docker.probe().python["executable"])
    made = engine.api.create_container(image, command=["true"])
    try:
        engine.api.put_archive(made["Id"], "/opt", archive(python3=stand_in.encode()))
        repository, _, tag = name_of_an_image.partition(":")
        engine.api.commit(made["Id"], repository=repository, tag=tag, changes=["ENV PATH=/opt"])
    finally:
        engine.api.remove_container(made["Id"])
    code, out, err = lab.run("pipe", "--image", name_of_an_image)
    assert (code, out) == (3, "")
    assert err == (
        f"lab: the image {name_of_an_image} cannot run a cell: /opt/python3: Python 3.6.15 is too old (a cell needs 3.9"
        " or later); name an image with Python 3.9 or later, such as --image python:3.13-slim\n"
    )


def test_an_image_whose_folder_is_locked_and_whose_health_is_checked_runs_all_the_same(
    engine: DockerClient, image: str, name_of_an_image: str
) -> None:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        folder = tarfile.TarInfo("locked")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(folder)
    made = engine.api.create_container(image, command=["true"])
    try:
        engine.api.put_archive(made["Id"], "/", memory.getvalue())
        repository, _, tag = name_of_an_image.partition(":")
        changes = ["WORKDIR /locked", "HEALTHCHECK --interval=1s CMD true"]
        engine.api.commit(made["Id"], repository=repository, tag=tag, changes=changes)
    finally:
        engine.api.remove_container(made["Id"])
    own = Docker(client_for_this_environment(), name_of_an_image, f"test-{uuid.uuid4().hex[:8]}")
    seen: dict[str, Any] = {}

    def watch(reader: Reader) -> None:
        if reader.records and not seen:
            (container,) = engine.api.containers(filters={"label": f"{SESSION_LABEL}={own._session}"})
            seen.update(engine.api.inspect_container(container["Id"])["Config"])

    try:
        result = outcome(own, "manager", watch=watch)  # it spawns: each child enters the folder of its parent
    finally:
        own.close()
    assert (result.status, result.reason) == (Status.MEASURED, None)
    assert seen["WorkingDir"] == "/"
    assert seen["Healthcheck"]["Test"] == ["NONE"]


STAND_IN = """#!{}
import sys
sys.version_info, sys.version = (3, 6, 15, "final", 0), "3.6.15 (default)"
sys.argv = sys.argv[sys.argv.index("-c"):]
exec(sys.argv.pop(1))
"""
