"""States of real systems, made by hand after public reports: each has one right answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.cpus import cpulist
from lab.cell.cpus.capture import root_at
from lab.cell.cpus.effective import effective_cpus
from lab.cell.cpus.topology import read_topology
from lab.planning import placement
from lab.reports.tables import machine_map
from lab.running import host
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
    for root in (unpacked(name, tmp_path), root_at(str(*FIELD.glob(f"{name}-*.txt")))):
        effective = effective_cpus(root)
        assert (effective.parallelism, effective.rate, effective.throughput_workers) == (parallelism, rate, workers)


def test_a_cell_on_cpus_that_are_not_balanced_says_so(tmp_path: Path) -> None:
    topology = host.read_topology(Path(unpacked("05", tmp_path)))
    assert (topology.isolated, topology.usable) == ((4, 5, 6, 7), (4, 5, 6, 7))
    choice = placement.choose(topology, 2)
    assert choice is not None
    assert "it moves nothing to them" in placement.notes(topology, choice)[-1]


def test_a_list_of_another_cpu_is_not_believed(tmp_path: Path) -> None:
    assert read_topology(unpacked("53", tmp_path))["caches"] == [[3, "0-1"], [3, "2-3"]]


@pytest.mark.parametrize(
    ("name", "size", "chosen", "notes"),
    [
        pytest.param("11", 4, "11-14", (), id="sockets by their lists"),
        pytest.param("13", 4, "4-7", (), id="CPUs of the node that there is"),
        pytest.param("13", 1, "1", ("the kernel names no NUMA node of CPU 1",), id="a CPU without a node"),
        pytest.param("16", 2, "2-3", (), id="a made-up list of CPUs on line"),
        pytest.param("16", 4, "2-3,34-35", ("SMT siblings share 2 cores: CPUs 2,34; 3,35",), id="two cores"),
        pytest.param("54", 1, "2", (), id="a core that is ours as a whole"),
        pytest.param("54", 2, "0,2", ("shares a core with CPU 4, which is not ours",), id="one that is not"),
    ],
)
def test_a_cell_gets_the_best_cpus_and_says_what_they_are(
    name: str, size: int, chosen: str, notes: tuple[str, ...], tmp_path: Path
) -> None:
    topology = host.read_topology(Path(unpacked(name, tmp_path)))
    choice = placement.choose(topology, size)
    assert choice is not None
    assert (cpulist.render(choice.cpus), placement.notes(topology, choice)) == (chosen, notes)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        pytest.param("11", ["15 CPUs, 15 cores, 3 packages, NUMA nodes unknown, caches unknown"], id="sockets"),
        pytest.param(
            "13",
            [
                "7 CPUs, 7 cores, 1 package, 1 NUMA node, caches unknown",
                "  package 0, no node known: 1-3",
                "  package 0, node 1: 4-7",
                "  offline: 0",
                "  in no NUMA node that the kernel names: 1-3",
            ],
            id="CPUs without a node",
        ),
        pytest.param(
            "16",
            [
                "8 CPUs, 4 cores, 1 package, NUMA nodes unknown, caches unknown",
                "  package 0: (0,32) (1,33) (2,34) (3,35)",
                "  outside this process's CPU affinity: 0-1,32-33",
            ],
            id="a made-up list of CPUs on line",
        ),
    ],
)
def test_the_map_shows_what_is_known(name: str, lines: list[str], tmp_path: Path) -> None:
    drawn = machine_map.draw_map(host.read_topology(Path(unpacked(name, tmp_path))))
    assert drawn[: len(lines)] == lines


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
