"""``lab doctor``: what it says of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import engines, release
from lab.engines import Engine
from lab.errors import EngineError
from lab.pythons import discovery
from lab.pythons.discovery import Discovery
from lab.pythons.programs import Broken
from lab.running import host
from tests.cell.cpus.test_field_cases import FIELD
from tests.pythons.test_discovery import pretender
from tests.support.terminal import Lab


def test_the_pythons_of_this_machine_are_shown_with_why_they_are_refused(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minor in (8, 13):
        pretender(tmp_path / "bin", f"python3.{minor}", version=[3, minor, 1], release=f"3.{minor}.1")
    discovered = discovery.find_interpreters({"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # the distribution "lab" of the index
    (tmp_path / "lab-8.10.dist-info").mkdir()
    (tmp_path / "lab-8.10.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 8.10\n")
    (tmp_path / "lab-8.10.dist-info/top_level.txt").write_text("lab\n")
    with_broken = Discovery(
        interpreters=discovered.interpreters, broken=(Broken(path="/opt/python", reason="gave no answer"),)
    )

    def make(name: str, **options: object) -> Engine:
        raise EngineError("no engine answers; start one")

    monkeypatch.setattr(engines, "make", make)
    monkeypatch.setattr(discovery, "find_interpreters", lambda: with_broken)
    code, out, _ = lab("doctor")
    assert code == 3
    section = out.partition("Pythons of this machine, for --engine local\n")[2].partition("\n\n")[0]
    assert [line.split(maxsplit=2) for line in section.splitlines()] == [
        ["3.8", f"{tmp_path}/bin/python3.8", "Python 3.8.1 is too old (a cell needs 3.9 or later)"],
        ["3.13", f"{tmp_path}/bin/python3.13"],
        ["?", "/opt/python", "gave no answer"],
    ]
    assert "lab 8.10 has the import name of multicore-lab" in " ".join(out.split())


def test_cpus_that_a_control_group_isolates_are_said_to_keep_threads_on_one_cpu(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = host.read_topology(FIELD / "05-v1-load-balance-off.txt")

    def make(name: str, **options: object) -> Engine:
        raise EngineError("no engine answers; start one")

    monkeypatch.setattr(engines, "make", make)
    monkeypatch.setattr(host, "read_topology", lambda: here)
    monkeypatch.setattr(discovery, "find_interpreters", lambda: Discovery(interpreters=(), broken=()))
    said = " ".join(lab("doctor")[1].split())
    assert "isolated CPUs keep every thread of a cell on one CPU" in said
    assert "or leave the CPU set that is not balanced" in said


def test_a_capture_says_anywhere_what_is_true_here(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "cpus.txt"
    assert lab("doctor", "--capture", str(file)) == (0, f"{file}\n", "")
    here, there = (
        json.loads(lab("cpus", "--no-measure", "--format", "json", *options)[1])
        for options in ((), ("--root", str(file)))
    )
    assert {**here, "python_believes": None} == there
    assert host.read_topology(file) == host.read_topology()


def test_another_distribution_with_the_same_import_name_is_one_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "namesakes", lambda: ["lab 8.10"])
    _, out, _ = lab("doctor")
    (line,) = [line for line in out.splitlines() if "lab 8.10" in line]
    assert "has the import name of multicore-lab" in line
    assert "in a virtual environment of its own" in out


def test_a_capture_that_cannot_be_written_is_one_line(lab: Lab, tmp_path: Path) -> None:
    code, _, err = lab("doctor", "--capture", str(tmp_path))
    assert code == 2
    assert "is a folder; name a file in it" in err
    code, _, err = lab("doctor", "--capture", str(tmp_path / "none" / "file"))
    assert code == 3
    assert "No such file or directory; name another file" in err
