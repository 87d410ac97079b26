"""A stored session that is run again: its builds spelled out, and the very image that each of them had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.planning.request import Request, from_arguments
from lab.pythons import images
from lab.running.stored_request import stored_arguments
from lab.sessions import loading
from tests.sessions.test_loading import changed, stored
from tests.support import cells, scripts
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

PYTHONS = {"3.13": scripts.python(), "3.14": scripts.python((3, 14, 0))}


def manifest(folder: Path, **arguments: Any) -> dict[str, Any]:
    path = stored(scripts.on_builds(PYTHONS, (1,)), folder)
    return loading.manifest(changed(path, arguments={"experiments": ["pipe"], **arguments}))


@pytest.mark.parametrize(
    ("python", "builds"),
    [
        pytest.param(["3.13,3.14"], ["3.13,3.14"], id="as it was written"),
        pytest.param(["all"], ["3.13", "3.14"], id="all: those that there were"),
        pytest.param(["3.13", "all"], ["3.13", "3.14"], id="all among others"),
        pytest.param(["/opt/all,all/python"], ["/opt/all,all/python"], id="no all, but a path"),
        pytest.param(["/opt/python,all"], ["3.13", "3.14"], id="all after a path"),
    ],
)
def test_all_builds_are_those_that_there_were(python: list[str], builds: list[str], tmp_path: Path) -> None:
    assert stored_arguments(manifest(tmp_path, python=python))["python"] == builds


def test_a_joined_session_is_run_again_on_all_of_its_builds(tmp_path: Path) -> None:
    arguments = stored_arguments(manifest(tmp_path, python=None, image="python:3.13-slim", merged=["a", "b"]))
    assert (arguments["python"], arguments["image"]) == (["3.13", "3.14"], None)


def test_every_stored_argument_is_in_the_request(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "experiments": ["pipe"],
        "cpus": "1",
        "quota": "0.5",
        "python": ["3.13"],
        "level": "quick",
        "seconds": 4.0,
        "width": 0.15,
        "smt": True,
        "jobs": "2",
        "engine": "docker",
        "image": None,
        "seed": 7,
    }
    request = from_arguments(stored_arguments(manifest(tmp_path, **arguments)))
    builds = tuple(arguments.pop("python"))
    assert request == Request(**{**arguments, "experiments": ("pipe",)}, pythons=builds)


def test_another_image_is_refused_where_each_build_has_its_own(lab: Lab, tmp_path: Path) -> None:
    manifest(tmp_path, python=["3.13,3.14"])
    code, _, err = lab("replay", str(tmp_path), "--image", "python:3.13-slim")
    assert (code, "this session names its builds (3.13,3.14), each with its own image" in err) == (2, True)


@pytest.mark.engine
def test_an_image_is_found_by_its_name_or_else_by_its_digest(engine: DockerClient, image: str) -> None:
    digest = str(engine.images.get(image).id)
    assert images.same(engine, image, digest) == image
    assert images.same(engine, "lab-test-none:latest", digest) == digest
    assert images.same(engine, image, "sha256:" + "0" * 64) is None


@pytest.mark.skipif(len(cells.CPUS) < 2, reason="two cells take two CPUs")
@pytest.mark.engine
def test_a_replay_takes_the_image_that_each_build_had(
    lab: Lab, engine: DockerClient, two_builds: tuple[str, str]
) -> None:
    words = ("pipe", "--python", ",".join(two_builds), "--cpus", "1,2", "--engine", "docker", "--quick")
    assert lab.run(*words)[0] == 0
    (first,) = lab.sessions.iterdir()
    then = loading.manifest(first)
    builds = then["machine"]["details"]["builds"]
    builds[1]["image"] = builds[0]["image"]  # the second build's name now means another image
    changed(first, machine=then["machine"])
    code, out, err = lab("replay", str(first), "--output", str(lab.sessions))
    assert code == 0, err
    assert "machine, image and code: the same" in out
    assert f"the session's own image is taken: {builds[1]['image_id']}" in err
    assert "verdicts: 4 of 4 the same (4 confirmed)" in out
    (second,) = set(lab.sessions.iterdir()) - {first}
    now = loading.manifest(second)
    assert [build["image_id"] for build in now["machine"]["details"]["builds"]] == [
        build["image_id"] for build in builds
    ]
    assert now["cells"] == then["cells"]
    assert now["arguments"] == then["arguments"]
