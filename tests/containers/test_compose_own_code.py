"""``LAB_TARGET=file.py:function docker compose --profile scale up`` on the real engine, with a folder of the user's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.containers.container import PROJECT, own_code_config
from lab.reports.formats.screen import most_lines
from tests.support.compose_project import Project, lab, project_with
from tests.support.hardening import HARDENED, hardening

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

CELLS = ("cpu1", "cpu2", "cpu4", "cpuall")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the user's, which everybody may read."""
    tmp_path.chmod(0o755)
    (tmp_path / "work.py").write_text("def busy(n):\n    return sum(range(n))\n")
    return tmp_path


@pytest.fixture
def project(compose_settings: dict[str, str], folder: Path) -> Iterator[Project]:
    """A project that measures code in the folder, not started yet."""
    with project_with({**compose_settings, "LAB_PROJECT": str(folder), "LAB_SECONDS": "1"}) as compose_project:
        yield compose_project


def test_every_cell_measures_the_function_and_the_report_advises(
    project: Project, folder: Path, engine: DockerClient, engine_cpus: tuple[int, ...]
) -> None:
    done = project.compose("--profile", "scale", "up", LAB_TARGET="work.py:busy", LAB_PARAM="n=20000")
    assert done.returncode == 0, done.stdout
    project.output.extend(done.stdout.splitlines())
    label = "work.py:busy, n=20000"
    for service, size in zip(CELLS, (1, 2, 4, len(engine_cpus)), strict=True):
        assert (f"{label}: ok in " in project.said(service)) == (size <= len(engine_cpus)), project.said(service)

    containers = project.containers(engine)
    assert set(containers) == {*CELLS, "report"}, "the profile starts nothing that the user would wait for"
    wanted = own_code_config(str(folder), "")
    for service in CELLS:
        host = containers[service]["HostConfig"]
        assert hardening(containers[service]) == HARDENED
        assert (host["Tmpfs"], host["Memory"]) == (wanted["tmpfs"], 0)
        mounts = {mount["Destination"]: mount for mount in containers[service]["Mounts"]}
        assert (mounts[PROJECT]["Source"], mounts[PROJECT]["RW"]) == (str(folder), False)

    screen = project.said("report")
    assert max(map(len, screen.splitlines())) <= 66
    assert len(screen.splitlines()) <= most_lines(66)
    gathered = lab("gather", "--project", project.name)
    assert gathered.returncode == 0, gathered.stderr
    advice, again = (re.search(r"Advice\b.*?: [^.]+", " ".join(text.split())) for text in (screen, gathered.stdout))
    assert advice
    assert again
    assert advice[0] == again[0]
    code, document = project.gather()
    assert code == 0
    assert document["session"]["arguments"]["experiments"] == [f"scale:{label}"]
    assert [case["label"] for case in document["session"]["arguments"]["cases"]] == [label]


def test_a_wrong_target_ends_the_services_and_says_what_to_do(project: Project, engine: DockerClient) -> None:
    done = project.compose("--profile", "scale", "up", LAB_TARGET="work.py:busy")
    assert done.returncode != 0
    assert "Give it arguments: LAB_PARAM=NAME=VALUE, or LAB_SETUP=MODULE:FACTORY for an object" in done.stdout
    containers = project.containers(engine)
    assert {containers[name]["State"]["Status"] for name in (*CELLS[1:], "report")} == {"created"}, "nothing else ran"
    gathered = lab("gather", "--project", project.name)
    assert gathered.returncode == 3
    assert "cpu1: it exited with status 2" in gathered.stderr
