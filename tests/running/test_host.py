"""What the manifest says of machines, and what makes a session repeatable."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import lab
from lab.cell.cpus.host import describe
from lab.cell.measuring.rounds import shuffler
from lab.running import host

CPUINFO = """\
processor\t: 0
model name\t: A processor
microcode\t: 0x2b

processor\t: 1
model name\t: A processor
microcode\t: 0x2c
"""


def test_the_microcode_of_every_processor_is_noted(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(CPUINFO)
    facts = describe(str(tmp_path))
    assert facts["microcode"] == ["0x2b", "0x2c"]
    assert (facts["kernel"], facts["kernel_version"]) == (os.uname().release, os.uname().version)


def test_where_the_kernel_tells_no_microcode_there_is_none(tmp_path: Path) -> None:
    assert describe(str(tmp_path))["microcode"] == []


def test_this_machine_is_described() -> None:
    facts = host.host_facts()
    assert facts["cpus"] >= 1
    assert {"name", "processor", "cgroup_version", "python", "kernel", "microcode"} <= set(facts)


def install_compose(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this shell script the plugin that is found first."""
    plugin = folder / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir()
    plugin.write_text(f"#!/bin/sh\n{script}\n")
    plugin.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


@pytest.mark.parametrize(
    ("script", "version"),
    [
        pytest.param("echo 2.26.1", "2.26.1", id="there"),
        pytest.param("exit 1", None, id="it fails"),
        pytest.param("true", None, id="it says nothing"),
    ],
)
def test_compose_is_asked_for_its_version(
    script: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_compose(tmp_path, script, monkeypatch)
    with host.asking_compose() as answer:
        assert answer() == version


def test_without_compose_there_is_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host, "_PLUGINS", ())
    with host.asking_compose() as answer:
        assert answer() is None


def test_compose_is_not_left_behind_where_nobody_waits_for_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_compose(tmp_path, f"echo $$ > {tmp_path}/pid\nexec sleep 60", monkeypatch)
    noted = tmp_path / "pid"
    with host.asking_compose():
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.01)
    assert not Path(f"/proc/{noted.read_text().strip()}").exists()


def test_the_same_seed_gives_the_same_order_and_another_one_another() -> None:
    arms = list(range(20))
    orders = [shuffler(seed).sample(arms, 20) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_every_experiment_that_shuffles_does_so_by_the_runs_seed() -> None:
    files = list((Path(lab.__file__).parent / "cell" / "experiments").glob("*.py"))
    assert [file.name for file in files if "shuffler()" in file.read_text()] == []
    assert sum("shuffler(recorder.seed)" in file.read_text() for file in files) >= 9
