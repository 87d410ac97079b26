"""A room without a network: an engine with no image, and programs that reach no registry and no index."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab.containers.bundle_file import BundleWriter, open_bundle
from lab.containers.client import client_for_this_environment
from lab.engines.selection import Wanted
from lab.running import bundles
from tests.conftest import skip_or_fail
from tests.support.daemons import IMAGE, Daemon, impossible
from tests.support.fake_api import Server
from tests.support.terminal import Lab

LAB = [sys.executable, "-m", "lab"]


@pytest.fixture
def room() -> Iterator[Daemon]:
    """An engine of one's own."""
    if os.geteuid():
        pytest.skip("it takes root")
    if why := impossible("docker"):
        skip_or_fail(why)
    with Daemon("docker") as daemon:
        yield daemon


def run(*words: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=240
    )


def offline(line: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a shell prints for a line, in a network that leads nowhere. It must end well.

    pip knows no place of wheels but the one that it is told.
    """
    environment = {**environment, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    done = run("unshare", "--net", "sh", "-c", line, folder=folder, environment=environment)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_room_without_an_engine_gets_the_wheels_alone(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "room.tar"
    code, out, err = lab("bundle", str(path), "--no-images", "--extras", "none")
    assert code == 0, err
    assert "0 images and 1 wheel, " in out
    code, out, err = lab("load", str(path))
    assert (code, err) == (0, "")
    assert f"{sys.executable} -m pip install --no-index --find-links wheels" in out


@pytest.mark.parametrize(
    ("typed", "tags", "names", "in_the_room"),
    [
        ("myapp", ["myapp:latest", "other:1"], ("myapp:latest",), "myapp"),
        ("docker.io/library/myapp", ["docker.io/library/myapp:latest"], ("docker.io/library/myapp:latest",), None),
        ("here:5000/myapp", ["here:5000/myapp:latest"], ("here:5000/myapp:latest",), None),
        ("myapp@sha256:11", ["myapp:1"], ("myapp:1",), "myapp:1"),
        ("myapp@sha256:11", [], (), f"sha256:{'0' * 64}"),
    ],
    ids=["no tag", "a registry that is implied", "the port of a registry", "a digest", "a digest alone"],
)
def test_an_image_can_be_named_in_the_room_as_the_last_line_of_the_bundle_names_it(
    typed: str,
    tags: list[str],
    names: tuple[str, ...],
    in_the_room: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    wanted = Wanted(engine="docker", image=typed)
    with Server(tmp_path / "engine.sock") as server:
        server.engine.images.add(typed)
        server.engine.altered["image"] = lambda body: {**body, "RepoTags": tags}
        with contextlib.closing(client_for_this_environment()) as client:
            (image,) = bundles.needed_images(client, wanted, print)
    assert image.names == names
    about = {"images": [image.to_stored()], "wheels": {"python": "3.13"}}
    assert (
        bundles.room_commands(about, Path("room.tar"), wanted)[-1] == f"venv/bin/lab run --image {in_the_room or typed}"
    )


@pytest.mark.engine
def test_a_session_runs_with_no_registry_and_no_index_as_the_bundle_says(room: Daemon, tmp_path: Path) -> None:
    # Without an environment for building, and without the bytecode of all packages, pip takes half of the time.
    here = {"DOCKER_HOST": room.address, "PIP_NO_COMPILE": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    here["XDG_DATA_HOME"] = str(tmp_path / "data")
    here["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    made = run(*LAB, "bundle", "room.tar", "--extras", "none", folder=tmp_path, environment=here)
    assert made.returncode == 0, made.stderr
    room.docker("rmi", "--force", IMAGE)
    assert room.docker("images", "--quiet", "--all") == ""

    unpack, environment, install, load, measure = [
        line.strip() for line in made.stdout.splitlines() if line.startswith("  ")
    ]
    for line in (unpack, environment, install):
        offline(line, tmp_path, here)
    said = offline(load, tmp_path, here)
    assert f"loading {IMAGE} …" in said
    assert f"on the engine: {IMAGE}" in said
    assert f"{IMAGE} is there already" in offline(load, tmp_path, here)
    printed = offline(f"{measure} pipe --cpus 1 --quick --engine docker", tmp_path, here)
    assert f"image {IMAGE}" in printed
    assert "1 verdict" in printed

    before = room.docker("images", "--quiet", "--all")
    for architecture, words in (("s390x", "is for s390x, and the engine's"), ("", "the engine cannot load the image")):
        forge(tmp_path / "room.tar", tmp_path / f"other{architecture}.tar", architecture)
        refused = run(*LAB, "load", f"other{architecture}.tar", folder=tmp_path, environment=here)
        assert refused.returncode == 3
        assert words in refused.stderr
        assert room.docker("images", "--quiet", "--all") == before


def forge(source: Path, target: Path, architecture: str) -> None:
    """Write a bundle like another one, but with an image of this architecture whose stream is none."""
    with open_bundle(source) as bundle, BundleWriter(target) as other:
        (image,) = bundle.about["images"]
        other.add(f"images/{'1' * 64}.tar", [b"layers"])
        alien = {**image, "id": f"sha256:{'1' * 64}", "layers": ["sha256:1"], "architecture": architecture}
        other.finish({**bundle.about, "images": [alien]})
