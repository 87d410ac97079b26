"""States that a model of the kernel and the lab once saw differently, each with the answer of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.cpus.effective import effective_cpus
from tests.support.kernel_trees import tree

STATUS = "Pid:\t4711\nCpus_allowed_list:\t0-3\n"
ROOT = "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
V2 = "- cgroup2 cgroup2 rw\n"
UNSEEN = "its own limit cannot be seen"


def seen(
    folder: Path, cgroup: str, mountinfo: str, files: dict[str, str], status: str = STATUS
) -> tuple[float, int | None, bool]:
    """R, the version and whether the own limit is said to be unseen."""
    given = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": ROOT + mountinfo, "proc/self/status": status}
    effective = effective_cpus(tree(folder, {"sys/devices/system/cpu/online": "0-3", **given, **files}))
    return effective.rate, effective.cgroup, any(UNSEEN in sentence for sentence in effective.contradictions)


def test_cpu_time_under_version_1_that_is_not_mounted_is_unseen_whatever_version_2_shows(tmp_path: Path) -> None:
    mountinfo = f"30 22 0:30 / /cg rw {V2}"
    assert seen(tmp_path, "2:cpu:/a\n0::/a\n", mountinfo, {"cg/a/cgroup.procs": "4711\n"}) == (4.0, None, True)


def test_version_2_without_the_controllers_may_be_hidden(tmp_path: Path) -> None:
    mountinfo = "30 22 0:30 / /cpu rw - cgroup cgroup rw,cpu,cpuset\n"
    files = {"cpu/a/cpu.cfs_quota_us": "50000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}
    assert seen(tmp_path, "2:cpu,cpuset:/a\n0::/b\n", mountinfo, files) == (0.5, 1, False)


def test_a_group_over_which_another_one_is_bound_is_unseen(tmp_path: Path) -> None:
    mountinfo = f"30 22 0:30 / /cg rw {V2}31 30 0:30 /other /cg/a rw {V2}"
    files = {"cg/a/cpu.max": "10000 100000\n", "cg/other/cpu.max": "10000 100000\n"}
    assert seen(tmp_path, "0::/a\n", mountinfo, files) == (4.0, 2, True)


def test_levels_are_taken_from_all_mounts_that_show_one(tmp_path: Path) -> None:
    mountinfo = f"30 22 0:30 / /cg rw {V2}31 30 0:31 / /cg/a/b rw - tmpfs none rw\n32 22 0:30 /a/b /own rw {V2}"
    files = {"cg/a/cpu.max": "50000 100000\n", "cg/a/b/x": "", "own/cpu.max": "150000 100000\n"}
    assert seen(tmp_path, "0::/a/b\n", mountinfo, files) == (0.5, 2, False)


def test_a_level_between_a_mount_from_above_and_the_namespace_is_found_by_the_process(tmp_path: Path) -> None:
    mountinfo = f"30 22 0:30 / /cg rw {V2}31 22 0:30 /../.. /host rw {V2}"
    files = {
        "cg/cgroup.procs": "4711\n",
        "host/cgroup.procs": "1\n",
        "host/pod/cpu.max": "50000 100000\n",
        "host/pod/own/cgroup.procs": "4711\n",
    }
    assert seen(tmp_path, "0::/\n", mountinfo, files) == (0.5, 2, False)


def test_a_parent_of_the_namespace_is_not_above_a_process_that_is_elsewhere(tmp_path: Path) -> None:
    mountinfo = f"30 22 0:30 /.. /parent rw {V2}31 22 0:30 /../../x /own rw {V2}"
    files = {"parent/cpu.max": "50000 100000\n", "own/cpu.max": "150000 100000\n"}
    assert seen(tmp_path, "0::/../../x\n", mountinfo, files) == (1.5, 2, False)


@pytest.mark.parametrize(
    ("domain", "own"),
    [
        pytest.param({"cgroup.procs": "4711\n", "cgroup.threads": ""}, {"cgroup.threads": "4711\n"}, id="version 2"),
        pytest.param({"cgroup.procs": "4711\n", "tasks": "4712\n"}, {"tasks": "4711\n"}, id="version 1"),
    ],
)
def test_a_group_of_threads_is_told_from_its_domain(
    domain: dict[str, str], own: dict[str, str], tmp_path: Path
) -> None:
    files = {f"host/d/{name}": text for name, text in domain.items()}
    files |= {f"host/d/t/{name}": text for name, text in own.items()}
    mountinfo = f"31 22 0:30 /../.. /host rw {V2}"
    assert seen(tmp_path, "0::/\n", mountinfo, {**files, "host/d/t/cpu.max": "50000 100000\n"}) == (0.5, 2, False)


def test_a_partition_that_is_not_valid_leaves_the_process_in_that_of_its_parent(tmp_path: Path) -> None:
    files = {"cg/a/cpuset.cpus.partition": "isolated", "cg/a/b/cpuset.cpus.partition": "root invalid (No CPU)"}
    assert seen(tmp_path, "0::/a/b\n", f"30 22 0:30 / /cg rw {V2}", files) == (1.0, 2, False)


def test_the_parents_ids_count_and_not_the_order_of_the_lines(tmp_path: Path) -> None:
    mountinfo = f"32 31 0:30 / /cg rw {V2}31 22 0:31 / /cg rw - tmpfs none rw\n"
    assert seen(tmp_path, "0::/a\n", mountinfo, {"cg/a/cpu.max": "50000 100000\n"}) == (0.5, 2, False)


def test_ids_that_are_not_the_kernels_are_not_believed(tmp_path: Path) -> None:
    mountinfo = f"31 22 0:31 / /sys/fs/cgroup rw - tmpfs none rw\n32 22 0:30 / /sys/fs/cgroup/unified rw {V2}"
    files = {"sys/fs/cgroup/unified/a/cpu.max": "50000 100000\n"}
    assert seen(tmp_path, "0::/a\n", mountinfo, files) == (0.5, 2, False)


def test_a_hidden_mount_stays_hidden_in_whatever_order_the_lines_stand(tmp_path: Path) -> None:
    mountinfo = f"36 22 0:31 / /sys/fs rw - tmpfs none rw\n31 22 0:30 / /sys/fs/cgroup rw {V2}"
    files = {"sys/fs/cgroup/a/cpu.max": "50000 100000\n"}
    assert seen(tmp_path, "0::/a\n", mountinfo, files) == (4.0, None, True)


def test_an_effective_cpu_set_without_prefix_is_read_before_the_one_that_was_set(tmp_path: Path) -> None:
    mountinfo = "30 22 0:30 / /sets rw - cgroup cgroup rw,noprefix,cpuset,cpuset_v2_mode\n"
    files = {"sets/a/cpus": "0-7\n", "sets/a/effective_cpus": "1\n"}
    (tmp_path / "root").mkdir()
    seen(tmp_path, "2:cpuset:/a\n", mountinfo, files, status="Pid:\t4711\n")
    assert effective_cpus(str(tmp_path)).cpus == (1,)


def test_a_group_whose_mounts_are_all_hidden_is_unseen_though_folders_of_that_name_show(tmp_path: Path) -> None:
    mountinfo = "30 22 0:30 / /cg rw - cgroup cgroup rw,cpu\n31 30 0:31 / /cg rw - cgroup cgroup rw,memory\n"
    assert seen(tmp_path, "3:cpu:/a\n2:memory:/a\n", mountinfo, {"cg/a/tasks": "4711\n"}) == (4.0, None, True)


@pytest.mark.parametrize(
    ("namespace", "top", "group", "whole"),
    [
        pytest.param("cgroup:[4026531835]", "/", "/a/b", True, id="a plain machine"),
        pytest.param("cgroup:[4026531835]", "/", "/", True, id="the top itself"),
        pytest.param("cgroup:[4026531835]", "/a", "/a/b", False, id="a container that sees its own part"),
        pytest.param("cgroup:[4026532000]", "/", "/a/b", False, id="a namespace of its own"),
        pytest.param(None, "/", "/a/b", False, id="a kernel that does not tell"),
    ],
)
def test_no_group_is_hidden_where_all_levels_show_in_the_outermost_namespace(
    tmp_path: Path, namespace: str | None, top: str, group: str, whole: bool
) -> None:
    given = {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": f"{ROOT}30 22 0:30 {top} /cg rw {V2}"}
    root = tree(tmp_path, {**given, "proc/self/status": STATUS, "cg/a/b/cpu.max": "max\n", "cg/b/cpu.max": "max\n"})
    if namespace:
        (Path(root) / "proc/self/ns").mkdir()
        (Path(root) / "proc/self/ns/cgroup").symlink_to(namespace)
    assert effective_cpus(root).sees_all_groups is whole
