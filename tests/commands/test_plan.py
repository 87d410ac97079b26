"""``lab plan --topology``: a plan for another machine, without any engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab import engines
from lab.engines.fake import Fake
from tests.cell.cpus.test_field_cases import FIELD
from tests.cell.cpus.test_topology import HYBRID
from tests.support import scripts
from tests.support.machines import build, cores, machine
from tests.support.terminal import Lab


def test_a_plan_for_another_machine_shows_its_map_and_every_cells_cpus_and_why(lab: Lab, tmp_path: Path) -> None:
    root = build(HYBRID, tmp_path / "tree")
    code, out, err = lab("plan", "gil", "--topology", str(root), "--cpus", "2,8,10,all,64")
    assert (code, err) == (0, "")
    for line in (
        "20 CPUs, 14 cores, 1 package, 1 NUMA node, 1 last-level cache",
        "10: cores of 2 kinds: performance 0,2,4,6,8,10, efficiency 12-15",
        "20 = all: SMT siblings share 6 cores: CPUs 0-1; 2-3; 4-5; 6-7 and 2 more",
    ):
        assert line in out.splitlines()
    assert "untestable: needs 64 CPUs," in out
    assert "\n8         12-19" in out


def test_siblings_only_when_asked(lab: Lab, tmp_path: Path) -> None:
    root = str(build(machine(cores(4, 2)), tmp_path / "tree"))
    assert "0,2 " in lab("plan", "--topology", root, "--cpus", "2")[1]
    assert "SMT siblings share a core: CPUs 0-1" in lab("plan", "--topology", root, "--cpus", "2", "--smt")[1]


def test_a_folder_without_a_machine_and_an_engine_beside_it_are_refused(lab: Lab, tmp_path: Path) -> None:
    code, out, err = lab("plan", "--topology", str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert "does not exist; give the folder that holds a machine's sys and proc" in err
    code, _, err = lab("plan", "--topology", str(tmp_path), "--engine", "local")
    assert code == 2
    assert "leave out --engine" in err


def test_a_plan_says_how_many_cells_would_run_side_by_side(lab: Lab, tmp_path: Path) -> None:
    root = str(build(machine(cores(8, 1)), tmp_path / "tree"))
    side_by_side = lab("plan", "--topology", root, "--cpus", "1,2,4")[1].splitlines()[-1]
    assert side_by_side.startswith("up to 3 cells side by side on the machine in")
    assert "if a sentinel shows that they disturb each other" in side_by_side
    for options in (("--cpus", "1,2,4", "--jobs", "1"), ("--cpus", "2,8")):
        assert lab("plan", "--topology", root, *options)[1].splitlines()[-1].startswith("one cell after the other on")


def test_cells_that_share_a_quota_are_planned_one_after_the_other(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_line(quota: float) -> str:
        details = {"engine_version": "27.0", "probe": {"quotas": [{"quota_cpus": quota}]}}
        described = replace(scripts.machine(8), details=details)
        monkeypatch.setattr(engines, "make", lambda name, **_: Fake(machine=described, cells={}))
        return lab("plan", "--engine", "docker", "--cpus", "1,2,4")[1].splitlines()[-1]

    assert last_line(2.0).startswith("one cell after the other on engine docker, in about ")
    assert last_line(8.0).startswith("up to 3 cells side by side on engine docker, in about ")


def test_its_json_has_the_cells_of_a_sessions_document(lab: Lab) -> None:
    root = str(FIELD / "54-half-foreign-core.txt")
    code, out, _ = lab("plan", "gil", "--topology", root, "--cpus", "1,2,6", "--format", "json")
    document = json.loads(out)
    assert (code, document["host"]["cpus"], document["experiments"]) == (0, [0, 1, 2, 3, 6], ["gil"])
    cells = [(cell["id"], cell["cpus"], cell["status"], cell["notes"]) for cell in document["cells"]]
    assert cells == [
        ("cpu1", [2], "planned", []),
        ("cpu2", [0, 2], "planned", ["shares a core with CPU 4, which is not ours"]),
        ("cpu6", [], "unavailable", []),
    ]
    names = ("parallelism_cpus", "rate_cpus", "delivered_cpus")
    assert {cell[name] for cell in document["cells"] for name in names} == {None}
