"""The limits of control groups, read from kernel trees made for the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.cell.cpus import cgroups
from lab.judging import proofs
from tests.support.kernel_trees import V1_CPUSET, V2, hybrid, mounts, quotas, tree, v2


def rate(cpus: int, groups: Mapping[str, Any]) -> float:
    """R of a cell with that many CPUs in its mask."""
    return proofs.rate({"affinity": list(range(cpus)), "quotas": groups["quotas"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("150000 100000\n", [1.5], id="one and a half"),
        pytest.param("50000 100000\n", [0.5], id="half"),
        pytest.param("10000 30000\n", [1 / 3], id="a third"),
        pytest.param("1000 1000000\n", [0.001], id="a thousandth"),
        pytest.param("max 100000\n", [], id="max"),
        pytest.param("max\n", [], id="max without a period"),
        pytest.param("200000\n", [2.0], id="without a period"),
        pytest.param("", [], id="empty"),
        pytest.param("\n", [], id="a bare newline"),
        pytest.param("-1 100000\n", [], id="minus one"),
        pytest.param("0 100000\n", [], id="zero"),
        pytest.param("100000 0\n", [1.0], id="a period of zero"),
        pytest.param("nonsense here\n", [], id="nonsense"),
        pytest.param(None, [], id="missing"),
    ],
)
def test_a_quota_of_version_2(text: str | None, expected: list[float], tmp_path: Path) -> None:
    files = v2("/leaf", leaf__cpu_stat="nr_throttled 3\nthrottled_usec 250000\n")
    if text is not None:
        files["sys/fs/cgroup/leaf/cpu.max"] = text
    groups = cgroups.cgroups(tree(tmp_path, files))
    assert groups["version"] == 2
    assert quotas(groups) == pytest.approx(expected)
    for level in groups["quotas"]:
        assert (level["throttled_periods"], level["throttled_seconds"]) == (3, 0.25)
        assert level["folder"].endswith("sys/fs/cgroup/leaf")


@pytest.mark.parametrize("options", ["rw,cpu", "rw,cpu,cpuacct", "rw,cpuacct,cpu"])
@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [
        pytest.param("150000", "100000", [1.5], id="one and a half"),
        pytest.param("-1", "100000", [], id="minus one"),
        pytest.param("0", "100000", [], id="zero"),
        pytest.param("max", "100000", [], id="max"),
        pytest.param("", "", [], id="empty"),
        pytest.param("50000", None, [0.5], id="without a period"),
        pytest.param(None, "100000", [], id="missing"),
    ],
)
def test_a_quota_of_version_1(
    options: str, quota: str | None, period: str | None, expected: list[float], tmp_path: Path
) -> None:
    names = options.removeprefix("rw,")
    point = f"sys/fs/cgroup/{names}"
    files = {
        "proc/self/cgroup": f"5:memory:/elsewhere\n4:{names}:/docker/abc\n1:name=systemd:/docker/abc\n",
        "proc/self/mountinfo": mounts(
            f"/ /{point} cgroup {options}", "/ /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd"
        ),
        f"{point}/docker/abc/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 1500000000\n",
    }
    if quota is not None:
        files[f"{point}/docker/abc/cpu.cfs_quota_us"] = quota + "\n"
    if period is not None:
        files[f"{point}/docker/abc/cpu.cfs_period_us"] = period + "\n"
    groups = cgroups.cgroups(tree(tmp_path, files))
    assert groups["version"] == 1
    assert quotas(groups) == expected
    for level in groups["quotas"]:
        assert (level["throttled_periods"], level["throttled_seconds"]) == (2, 1.5)


def test_the_least_of_all_visible_ancestors_is_the_rate(tmp_path: Path) -> None:
    files = v2(
        "/pod/box/leaf",
        cpu_max="max 100000",
        pod__cpu_max="120000 100000",
        pod__box__cpu_max="400000 100000",
        pod__box__leaf__cpu_max="250000 100000",
    )
    groups = cgroups.cgroups(tree(tmp_path, files))
    assert quotas(groups) == [2.5, 4.0, 1.2]  # the leaf first
    assert rate(4, groups) == 1.2
    assert rate(1, groups) == 1.0


def test_a_level_without_a_quota_does_not_hide_those_above_it(tmp_path: Path) -> None:
    groups = cgroups.cgroups(tree(tmp_path, v2("/pod/leaf", pod__cpu_max="50000 100000", pod__leaf__cpu_max="")))
    assert quotas(groups) == [0.5]


def test_without_any_quota_the_rate_is_the_affinity_mask(tmp_path: Path) -> None:
    groups = cgroups.cgroups(tree(tmp_path, v2("/", cpu_stat="usage_usec 1")))
    assert (groups["version"], groups["quotas"], rate(3, groups)) == (2, [], 3.0)


@pytest.mark.parametrize(
    ("group", "mounted", "folder"),
    [
        pytest.param("/docker/abc", "/docker/abc /sys/fs/cgroup cgroup2 rw", "", id="the container's group is the top"),
        pytest.param("/docker/abc/x", "/docker/abc /sys/fs/cgroup cgroup2 rw", "x", id="below the container's group"),
        pytest.param("/docker/abc", "/other /sys/fs/cgroup cgroup2 rw", "nothing", id="not below the mount's top"),
        pytest.param(
            "/docker/abcd", "/docker/abc /sys/fs/cgroup cgroup2 rw", "nothing", id="a name that only begins alike"
        ),
        pytest.param("/", "/ /sys/fs/cgroup cgroup2 rw", "", id="a private namespace"),
        pytest.param("/../../outside", "/ /sys/fs/cgroup cgroup2 rw", "nothing", id="outside of a private namespace"),
        pytest.param("/", "/../.. /sys/fs/cgroup cgroup2 rw", "", id="a mount from outside of the namespace"),
        pytest.param("/gone/leaf", "/ /sys/fs/cgroup cgroup2 rw", "", id="a folder that is not shown here"),
        pytest.param(
            "/half/gone", "/ /sys/fs/cgroup cgroup2 rw", "half", id="a folder of which only the parent is shown"
        ),
    ],
)
def test_where_a_groups_own_folder_is(group: str, mounted: str, folder: str, tmp_path: Path) -> None:
    files = v2(
        group, mounted=mounted, cpu_max="300000 100000", x__cpu_max="100000 100000", half__cpu_max="200000 100000"
    )
    groups = cgroups.cgroups(tree(tmp_path, files))
    expected = {"": [3.0], "x": [1.0, 3.0], "half": [2.0, 3.0], "nothing": []}[folder]
    assert quotas(groups) == expected


def test_a_mount_point_with_blanks_in_its_name_is_found(tmp_path: Path) -> None:
    files = v2("/", mounted="/ /my\\040groups cgroup2 rw")
    files["my groups/cpu.max"] = "70000 100000"
    assert quotas(cgroups.cgroups(tree(tmp_path, files))) == [0.7]


def test_a_hybrid_machine_has_its_limits_in_version_1(tmp_path: Path) -> None:
    files = {
        **hybrid("3:cpuset:/box\n2:cpu:/box\n0::/box\n"),
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000",
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpuset/box/cpuset.cpus": "0-1\n",
        "sys/fs/cgroup/unified/box/cpu.max": "100 100000",
    }
    groups = cgroups.cgroups(tree(tmp_path, files))
    assert (groups["version"], quotas(groups), groups["cpuset"]) == (1, [0.5], "0-1")


def test_a_machine_with_the_cpuset_in_version_1_and_time_in_version_2_is_read_from_both(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "3:cpuset:/box\n0::/box\n",
        "proc/self/mountinfo": mounts(V1_CPUSET, "/ /sys/fs/cgroup/unified cgroup2 rw"),
        "sys/fs/cgroup/cpuset/box/cpuset.cpus": "3",
        "sys/fs/cgroup/unified/box/cpu.max": "100000 100000",
    }
    groups = cgroups.cgroups(tree(tmp_path, files))
    assert (groups["version"], quotas(groups), groups["cpuset"]) == (2, [1.0], "3")


@pytest.mark.parametrize(
    ("files", "cpuset"),
    [
        pytest.param({"cpuset/box/cpuset.effective_cpus": "1", "cpuset/box/cpuset.cpus": "0-1"}, "1", id="effective"),
        pytest.param({"cpuset/box/cpuset.cpus": "0-1"}, "0-1", id="as set"),
        pytest.param({"cpuset/box/cpuset.cpus": "\n", "cpuset/cpuset.cpus": "0-3"}, "0-3", id="the parent's"),
        pytest.param({"cpuset/box/tasks": "1"}, None, id="not there"),
    ],
)
def test_the_cpu_set_of_version_1(files: Mapping[str, str], cpuset: str | None, tmp_path: Path) -> None:
    named = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    root = tree(tmp_path, {**hybrid("3:cpuset:/box\n2:cpu:/box\n0::/box\n"), "sys/fs/cgroup/cpu/tasks": "1", **named})
    assert cgroups.cgroups(root)["cpuset"] == cpuset


def test_the_cpu_set_of_version_2_is_the_nearest_that_is_not_empty(tmp_path: Path) -> None:
    files = v2("/a/b", cpuset_cpus_effective="0-7", a__cpuset_cpus_effective="2-3\n", a__b__cpuset_cpus_effective="\n")
    assert cgroups.cgroups(tree(tmp_path, files))["cpuset"] == "2-3"


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing at all"),
        pytest.param({"proc/self/cgroup": "0::/\n"}, id="no mountinfo"),
        pytest.param({"proc/self/mountinfo": mounts(V2)}, id="no cgroup file"),
        pytest.param({"proc/self/cgroup": "", "proc/self/mountinfo": ""}, id="empty files"),
        pytest.param({"proc/self/cgroup": "x\n\n", "proc/self/mountinfo": "x - y\n\n"}, id="noise"),
        pytest.param({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mounts(V2)}, id="a mount that is not there"),
    ],
)
def test_without_control_groups_nothing_is_claimed(files: Mapping[str, str], tmp_path: Path) -> None:
    assert cgroups.cgroups(tree(tmp_path, files)) == {"version": None, "cpuset": None, "quotas": []}


def test_the_periods_in_which_a_quota_of_version_2_stopped_it_are_added_up(tmp_path: Path) -> None:
    files = v2(
        "/pod/leaf",
        cpu_stat="nr_throttled 100\n",
        pod__cpu_max="120000 100000",
        pod__cpu_stat="nr_periods 50\nnr_throttled 3\nthrottled_usec 9\n",
        pod__leaf__cpu_max="50000 100000",
        pod__leaf__cpu_stat="usage_usec 8\nnr_periods 50\nnr_throttled 4\n",
    )
    root = tree(tmp_path, files)
    assert cgroups.throttled_periods(root) == 7  # the top has no quota to stop it with
    tightest = cgroups.tightest(root)
    assert tightest is not None
    assert (tightest.quota_cpus, tightest.throttled_periods, tightest.periods) == (0.5, 4, 50)


def test_the_periods_in_which_a_quota_of_version_1_stopped_it_are_added_up(tmp_path: Path) -> None:
    cpu = "sys/fs/cgroup/cpu"
    files = {
        **hybrid("3:cpuset:/box\n2:cpu:/box/leaf\n0::/box\n"),
        f"{cpu}/box/leaf/cpu.cfs_quota_us": "50000",
        f"{cpu}/box/leaf/cpu.cfs_period_us": "100000",
        f"{cpu}/box/leaf/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 1500000000\n",
        f"{cpu}/box/cpu.cfs_quota_us": "150000",
        f"{cpu}/box/cpu.stat": "nr_periods 9\nnr_throttled 6\n",
        f"{cpu}/cpu.cfs_quota_us": "-1",
        f"{cpu}/cpu.stat": "nr_throttled 100\n",
        "sys/fs/cgroup/unified/box/cpu.max": "100 100000",
        "sys/fs/cgroup/unified/box/cpu.stat": "nr_throttled 1000\n",
    }
    root = tree(tmp_path, files)
    assert cgroups.throttled_periods(root) == 8
    tightest = cgroups.tightest(root)
    assert tightest is not None
    assert (tightest.quota_cpus, tightest.throttled_periods, tightest.periods) == (0.5, 2, 9)
    assert tightest.throttled_seconds == 1.5


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="no control groups"),
        pytest.param(v2("/", cpu_max="max 100000", cpu_stat="nr_throttled 5"), id="no quota"),
        pytest.param(v2("/", cpu_max="50000 100000"), id="a quota without statistics"),
        pytest.param(v2("/", cpu_max="50000 100000", cpu_stat="nr_throttled 0\n"), id="never stopped"),
    ],
)
def test_what_no_quota_has_stopped_was_never_throttled(files: Mapping[str, str], tmp_path: Path) -> None:
    root = tree(tmp_path, files)
    assert cgroups.throttled_periods(root) == 0
    tightest = cgroups.tightest(root)
    assert tightest is None or (tightest.throttled_periods, tightest.throttled_seconds) == (0, 0)
