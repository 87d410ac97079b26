"""A room without a network: an engine with no image, and programs that reach no registry and no index."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab.containers.bundle_file import BundleWriter, open_bundle
from tests.conftest import skip_or_fail
from tests.support.daemons import IMAGE, Daemon, impossible

pytestmark = pytest.mark.engine

LAB = [sys.executable, "-m", "lab"]


@pytest.fixture
def room() -> Iterator[Daemon]:
    """An engine of one's own."""
    why = impossible("docker")
    if why:
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

    # Bundles that no engine of this kind can load: nothing is loaded.
    before = room.docker("images", "--quiet", "--all")
    with open_bundle(tmp_path / "room.tar") as bundle:
        (image,) = bundle.about["images"]
        with BundleWriter(tmp_path / "other.tar") as other:
            other.add(f"images/{'1' * 64}.tar", [b"layers"])
            alien = {**image, "id": f"sha256:{'1' * 64}", "architecture": "s390x"}
            other.finish({**bundle.about, "images": [alien]})
    refused = run(*LAB, "load", "other.tar", folder=tmp_path, environment=here)
    assert refused.returncode == 3
    assert "is for s390x, and the engine's machine is" in refused.stderr
    assert room.docker("images", "--quiet", "--all") == before
