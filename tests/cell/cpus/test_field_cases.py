"""States of real systems, made by hand after public reports: each has one right answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.cpus.effective import effective_cpus
from lab.cell.cpus.topology import read_topology
from tests.support.paths import TESTS

FIELD = TESTS / "data" / "field"


def unpacked(name: str, folder: Path) -> str:
    """A root folder with the files of a state, in which a line ``@@ PATH`` begins the file at that path."""
    (file,) = FIELD.glob(f"{name}-*.txt")
    for part in file.read_text().split("@@ ")[1:]:
        path, _, text = part.partition("\n")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "parallelism", "rate", "workers"),
    [
        pytest.param("01", 4, 4.0, 4, id="lxcfs numbers the CPUs on line from 0"),
        pytest.param("04", 6, 6.0, 6, id="the CPU set of a group that the process is not in"),
        pytest.param("05", 1, 1.0, 1, id="a CPU set of version 1 without load balancing"),
        pytest.param("06", 8, 2.0, 2, id="the later of two mounts cannot be reached"),
        pytest.param("50", 4, 0.5, 1, id="a mount that a later one on its parent hides"),
        pytest.param("51", 4, 0.5, 1, id="a parent above the namespace"),
        pytest.param("52", 4, 0.2, 1, id="a name that ends in a blank"),
    ],
)
def test_what_bounds_the_process_is_found(
    name: str, parallelism: int, rate: float, workers: int, tmp_path: Path
) -> None:
    effective = effective_cpus(unpacked(name, tmp_path))
    assert (effective.parallelism, effective.rate, effective.throughput_workers) == (parallelism, rate, workers)


def test_a_list_of_another_cpu_is_not_believed(tmp_path: Path) -> None:
    assert read_topology(unpacked("53", tmp_path))["caches"] == [[3, "0-1"], [3, "2-3"]]


def test_a_file_that_denies_cpus_is_named_and_does_not_count(tmp_path: Path) -> None:
    contradictions = effective_cpus(unpacked("01", tmp_path)).contradictions
    assert contradictions == ("the affinity mask is 2-3,34-35, the list of CPUs on line is 0-3: the mask counts",)


def test_a_group_that_no_mount_shows_is_said_to_be_unknown(tmp_path: Path) -> None:
    root = unpacked("06", tmp_path)
    (tmp_path / "proc/self/cgroup").write_text("0::/elsewhere\n")
    effective = effective_cpus(root)
    assert "its own limit cannot be seen" in effective.contradictions[0]


def test_a_group_below_a_bound_tree_is_recognised_by_the_process(tmp_path: Path) -> None:
    root = unpacked("06", tmp_path)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    status = tmp_path / "proc/self/status"
    status.write_text(f"Pid:\t4711\n{status.read_text()}")
    group = tmp_path / "sys/fs/cgroup/system.slice/snap.app.app-1.scope"
    (group / "cgroup.procs").write_text("12\n4711\n")
    mounts = tmp_path / "proc/self/mountinfo"
    mounts.write_text(mounts.read_text().replace(" / /", " /.. /"))
    assert effective_cpus(root).rate == 2.0
