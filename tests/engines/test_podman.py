"""Podman for real, as root and rootless: what the lab does with Docker it does with Podman, or it says why not.

``.ci/setup-podman`` starts both.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.containers.client import CELL_LABEL, SESSION_LABEL, client_for_this_environment, image_names
from lab.errors import EngineError, ImageError
from lab.pythons import image_build, images
from tests.conftest import labelled, skip_or_fail
from tests.support.compose_project import project_with
from tests.support.paths import ROOT
from tests.support.remains import Remains
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

AS_ROOT = "unix:///run/multicore-lab/podman.sock"
ROOTLESS = "unix:///run/multicore-lab/rootless/podman.sock"
IMAGE = "multicore-lab-base:3.13"
CELL_IMAGE = "multicore-lab-cell:latest"


@pytest.fixture
def socket() -> str:
    """The socket of the Podman that a test is about."""
    return AS_ROOT


@pytest.fixture
def engine(socket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerClient]:
    """A client of Podman, which is the engine of everything that the test starts."""
    monkeypatch.setenv("DOCKER_HOST", socket)
    if not Path(socket.removeprefix("unix://")).exists():
        skip_or_fail(f"there is no Podman at {socket}")
    try:
        client = client_for_this_environment()
    except EngineError as error:
        skip_or_fail(f"there is no Podman: {error}")
    if IMAGE not in dict(image_names(client)):
        client.close()
        skip_or_fail(f"the Podman at {socket} has no {IMAGE}")
    yield client
    client.close()


@pytest.fixture
def remains(engine: DockerClient) -> Iterator[Remains]:
    """What a test seems to have left on Podman."""
    remains_of_test = Remains(lambda: labelled(engine))
    yield remains_of_test
    remains_of_test.wait()


@pytest.fixture
def rootless(engine: DockerClient) -> DockerClient:
    """The rootless Podman, on a machine where it can set no limits."""
    if engine.info()["CgroupVersion"] != "1":
        pytest.skip("rootless Podman has limits on version 2 of the control groups, if they are delegated")
    return engine


@pytest.fixture
def cell_image(engine: DockerClient) -> Iterator[None]:
    """The image of Compose's cells, built by Podman itself; removed afterwards."""
    command = ["podman", "--url", AS_ROOT, "build", "--quiet", "--file", "docker/Dockerfile", "--target", "cell"]
    command += ["--build-arg", f"BASE={IMAGE}", "--tag", CELL_IMAGE, "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield
    engine.images.remove(CELL_IMAGE, force=True)


def cells_of(lab: Lab) -> dict[str, dict[str, Any]]:
    """The cells of the only session, as they were stored."""
    (folder,) = lab.sessions.iterdir()
    cells = json.loads((folder / "session.json").read_text())["report"]["cells"]
    return {cell["id"]: cell for cell in cells}


@pytest.mark.usefixtures("engine")
def test_cells_with_cpu_sets_and_quotas_are_measured(lab: Lab) -> None:
    code, out, err = lab.run("pipe", "--engine", "docker", "--cpus", "1", "--quota", "0.5", "--image", IMAGE, "--quick")
    assert code == 0, err
    (cell,) = cells_of(lab).values()
    assert (cell["status"], cell["reason"]) == ("measured", None)
    assert "both ends of a Pipe" in out


def test_the_images_of_podman_have_the_names_that_the_user_gave_them(lab: Lab, engine: DockerClient) -> None:
    assert images.newest_release(engine) is not None
    assert re.search(rf"^3\.13 +{IMAGE} +3\.13\.", lab("images", "list")[1], re.MULTILINE)
    assert f"LAB_BASE={IMAGE}" in lab("compose-env")[1]
    engine.images.get(IMAGE).tag("multicore-lab-base", "3.14t")
    code, out, err = lab("images", "remove", "3.14t")
    assert (code, out) == (0, "removed multicore-lab-base:3.14t\n"), err
    assert IMAGE in dict(image_names(engine))


TWO_STAGES = f"""\
FROM {IMAGE} AS stage
LABEL {images.STAGE_LABEL}=1
RUN python3 -c "open('/made', 'w').write('something')"
FROM {IMAGE}
COPY --from=stage /made /made
RUN python3 -c "raise SystemExit(CODE)"
"""


@pytest.mark.parametrize("code", [0, 7])
def test_a_build_tells_its_steps_and_leaves_no_stage(engine: DockerClient, code: int) -> None:
    name = f"multicore-lab-test:{secrets.token_hex(4)}"
    notes: list[str] = []
    before = {image["Id"] for image in engine.api.images(all=True)}
    recipe = TWO_STAGES.replace("CODE", str(code)).encode()
    refusal = pytest.raises(ImageError, match=f"{name} could not be built: step 3 of 3 ended with code {code};")
    with refusal if code else contextlib.nullcontext():
        image_build._build_image(engine, recipe, {}, name, force=False, note=notes.append)
    made = [image for image in engine.api.images(all=True) if image["Id"] not in before]
    for image in made:
        engine.api.remove_image(image["Id"], force=True)
    assert notes[:1] == [f"{name}: step 3 of 3"]
    assert not [image for image in made if images.STAGE_LABEL in (image["Labels"] or {})]


@pytest.mark.usefixtures("engine")
def test_doctor_says_that_cells_can_run_in_containers(lab: Lab) -> None:
    code, out, _ = lab("doctor", "--image", IMAGE)
    assert code == 0
    assert "ok  cells in containers" in out
    assert re.search(r"^engine +podman 4\.|^engine +podman 5\.", out, re.MULTILINE)


def test_clean_removes_what_was_left(lab: Lab, engine: DockerClient) -> None:
    labels = {SESSION_LABEL: f"test-{secrets.token_hex(4)}", CELL_LABEL: "cpu1"}
    name = engine.containers.create(IMAGE, ["true"], labels=labels).name
    volume = engine.volumes.create(labels=labels).name
    code, out, err = lab("clean")
    assert code == 0, err
    assert f"removed container {name}\n" in out
    assert f"removed volume {volume}\n" in out


@pytest.mark.usefixtures("engine")
def test_ctrl_c_ends_a_run_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lab", "run", "gil", "--engine", "docker", "--image", IMAGE, "--cpus", "1"]
    with subprocess.Popen([*command, "--output", str(tmp_path)], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        next(line for line in running.stderr if "gil (about" in line)
        running.send_signal(signal.SIGINT)
        messages = running.stderr.read()
        assert running.wait(30) == 130, messages


@pytest.mark.usefixtures("cell_image")
def test_compose_runs_the_cells_and_gather_reports_them(lab: Lab) -> None:
    settings = {
        name: value
        for name, _, value in (line.partition("=") for line in lab("compose-env")[1].splitlines())
        if name.startswith("LAB_CPUSET")
    }
    with project_with(settings) as project:
        services = ("cpu1", "cpu2", "cpu4", "cpuall")
        done = project.compose("up", "--no-build", *services, LAB_EXPERIMENTS="pipe", LAB_SECONDS="0.5")
        assert done.returncode == 0, done.stdout
        code, document = project.gather()
    statuses = {cell["id"]: cell["status"] for cell in document["cells"]}
    assert code == 0, statuses
    assert statuses["cpu1"] == "measured"
    assert document["session"]["image"] == CELL_IMAGE


@pytest.mark.parametrize("socket", [ROOTLESS])
@pytest.mark.usefixtures("rootless")
def test_rootless_podman_without_limits_is_refused_before_any_cell(lab: Lab) -> None:
    code, out, err = lab.run("pipe", "--engine", "docker", "--image", IMAGE, "--cpus", "1")
    assert (code, out) == (3, "")
    assert "there are no CPU sets here" in err
    assert "Delegate=cpu cpuset" in err
    assert not lab.sessions.exists()
    code, out, _ = lab("doctor", "--image", IMAGE)
    assert code == 3
    assert re.search(r"^no  cells in containers: there are no CPU sets here", out, re.MULTILINE)
