"""What a cell sees of its limits, read from kernel trees made for the test, and when that taints a cell."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import proofs
from lab.model import Cell, CellResult, Outcome
from lab.worker import proof
from tests import scripts


def tree(root: Path, files: Mapping[str, str]) -> str:
    """A folder that stands in for ``/``: path -> text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(root)


def mounts(*lines: str) -> str:
    """A mountinfo (man 5 proc): each line is ``TOP POINT TYPE OPTIONS``; ordinary mounts stand around them."""
    found = ["22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw", "23 22 0:5 / /dev rw - devtmpfs udev rw"]
    for number, line in enumerate(lines, 30):
        top, point, kind, options = line.split()
        found.append(f"{number} 22 0:{number} {top} {point} rw,nosuid shared:9 master:1 - {kind} cgroup {options}")
    return "\n".join(found) + "\n"


V2 = "/ /sys/fs/cgroup cgroup2 rw,nsdelegate"
V1_CPU = "/ /sys/fs/cgroup/cpu cgroup rw,cpu"
V1_CPUSET = "/ /sys/fs/cgroup/cpuset cgroup rw,cpuset"


def v2(group: str, *, mounted: str = V2, **files: str) -> dict[str, str]:
    """A version 2 tree; ``files`` are named below the mount point, ``__`` for ``/`` and ``_`` for ``.``."""
    named = {f"sys/fs/cgroup/{name.replace('__', '/').replace('_', '.')}": text for name, text in files.items()}
    return {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": mounts(mounted), **named}


def quotas(found: Mapping[str, Any]) -> list[float]:
    return [level["quota_cpus"] for level in found["quotas"]]


def rate(cpus: int, found: Mapping[str, Any]) -> float:
    """R of a cell with that many CPUs in its mask."""
    return proofs.rate({"affinity": list(range(cpus)), "quotas": found["quotas"]})


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
    found = proof.cgroups(tree(tmp_path, files))
    assert found["version"] == 2
    assert quotas(found) == pytest.approx(expected)
    for level in found["quotas"]:
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
    found = proof.cgroups(tree(tmp_path, files))
    assert found["version"] == 1
    assert quotas(found) == expected
    for level in found["quotas"]:
        assert (level["throttled_periods"], level["throttled_seconds"]) == (2, 1.5)


def test_the_least_of_all_visible_ancestors_is_the_rate(tmp_path: Path) -> None:
    files = v2(
        "/pod/box/leaf",
        cpu_max="max 100000",
        pod__cpu_max="120000 100000",
        pod__box__cpu_max="400000 100000",
        pod__box__leaf__cpu_max="250000 100000",
    )
    found = proof.cgroups(tree(tmp_path, files))
    assert quotas(found) == [2.5, 4.0, 1.2]  # the leaf first
    assert rate(4, found) == 1.2
    assert rate(1, found) == 1.0


def test_a_level_without_a_quota_does_not_hide_those_above_it(tmp_path: Path) -> None:
    found = proof.cgroups(tree(tmp_path, v2("/pod/leaf", pod__cpu_max="50000 100000", pod__leaf__cpu_max="")))
    assert quotas(found) == [0.5]


def test_without_any_quota_the_rate_is_the_affinity_mask(tmp_path: Path) -> None:
    found = proof.cgroups(tree(tmp_path, v2("/", cpu_stat="usage_usec 1")))
    assert (found["version"], found["quotas"], rate(3, found)) == (2, [], 3.0)


@pytest.mark.parametrize(
    ("group", "mounted", "folder"),
    [
        pytest.param("/docker/abc", "/docker/abc /sys/fs/cgroup cgroup2 rw", "", id="the container's group is the top"),
        pytest.param("/docker/abc/x", "/docker/abc /sys/fs/cgroup cgroup2 rw", "x", id="below the container's group"),
        pytest.param("/docker/abc", "/other /sys/fs/cgroup cgroup2 rw", "", id="not below the mount's top"),
        pytest.param("/docker/abcd", "/docker/abc /sys/fs/cgroup cgroup2 rw", "", id="a name that only begins alike"),
        pytest.param("/", "/ /sys/fs/cgroup cgroup2 rw", "", id="a private namespace"),
        pytest.param("/../../outside", "/ /sys/fs/cgroup cgroup2 rw", "", id="outside of a private namespace"),
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
    found = proof.cgroups(tree(tmp_path, files))
    expected = {"": [3.0], "x": [1.0, 3.0], "half": [2.0, 3.0]}[folder]
    assert quotas(found) == expected


def test_a_mount_point_with_blanks_in_its_name_is_found(tmp_path: Path) -> None:
    files = v2("/", mounted="/ /my\\040groups cgroup2 rw")
    files["my groups/cpu.max"] = "70000 100000"
    assert quotas(proof.cgroups(tree(tmp_path, files))) == [0.7]


def hybrid(groups: str, **files: str) -> dict[str, str]:
    named = {f"sys/fs/cgroup/{name.replace('__', '/').replace('_', '.', 1)}": text for name, text in files.items()}
    return {
        "proc/self/cgroup": groups,
        "proc/self/mountinfo": mounts(V1_CPU, V1_CPUSET, "/ /sys/fs/cgroup/unified cgroup2 rw"),
        **named,
    }


def test_a_hybrid_machine_has_its_limits_in_version_1(tmp_path: Path) -> None:
    files = {
        **hybrid("3:cpuset:/box\n2:cpu:/box\n0::/box\n"),
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000",
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpuset/box/cpuset.cpus": "0-1\n",
        "sys/fs/cgroup/unified/box/cpu.max": "100 100000",
    }
    found = proof.cgroups(tree(tmp_path, files))
    assert (found["version"], quotas(found), found["cpuset"]) == (1, [0.5], "0-1")


def test_a_machine_with_the_cpuset_in_version_1_and_time_in_version_2_is_read_from_both(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "3:cpuset:/box\n0::/box\n",
        "proc/self/mountinfo": mounts(V1_CPUSET, "/ /sys/fs/cgroup/unified cgroup2 rw"),
        "sys/fs/cgroup/cpuset/box/cpuset.cpus": "3",
        "sys/fs/cgroup/unified/box/cpu.max": "100000 100000",
    }
    found = proof.cgroups(tree(tmp_path, files))
    assert (found["version"], quotas(found), found["cpuset"]) == (2, [1.0], "3")


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
    assert proof.cgroups(root)["cpuset"] == cpuset


def test_the_cpu_set_of_version_2_is_the_nearest_that_is_not_empty(tmp_path: Path) -> None:
    files = v2("/a/b", cpuset_cpus_effective="0-7", a__cpuset_cpus_effective="2-3\n", a__b__cpuset_cpus_effective="\n")
    assert proof.cgroups(tree(tmp_path, files))["cpuset"] == "2-3"


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
    assert proof.cgroups(tree(tmp_path, files)) == {"version": None, "cpuset": None, "quotas": []}


def test_the_proof_of_this_very_process_is_what_the_system_says(tmp_path: Path) -> None:
    found = proof.take()
    assert found["affinity"] == sorted(os.sched_getaffinity(0))
    assert found["cpu_count"] == os.cpu_count()
    assert found["pool_size"] in (os.cpu_count(), len(found["affinity"]))
    assert json.loads(json.dumps(found)) == found
    assert 0 < proofs.rate(found) <= len(found["affinity"])


def test_the_root_stands_in_for_every_file_that_is_read(tmp_path: Path) -> None:
    files = v2("/", cpu_max="100000 200000")
    root = tree(
        tmp_path,
        {**files, "sys/devices/system/cpu/online": "0-63\n", "sys/devices/system/cpu/isolated": "8-9\n"},
    )
    found = proof.take(root)
    assert (found["host_cpus"], found["isolated"], quotas(found)) == ("0-63", "8-9", [0.5])


# What its cores are, and how often a quota has stopped it.


def cpu_files(**files: str) -> dict[str, str]:
    """Files below ``/sys/devices/system/cpu``: ``cpu0__cpu_capacity`` is ``cpu0/cpu_capacity``."""
    return {f"sys/devices/system/cpu/{name.replace('__', '/')}": text for name, text in files.items()}


def sharing(*masks: str) -> dict[str, str]:
    """The siblings' masks of CPUs 0, 1, 2 ..."""
    return cpu_files(**{f"cpu{cpu}__topology__thread_siblings": mask + "\n" for cpu, mask in enumerate(masks)})


@pytest.mark.parametrize(
    ("files", "cpus", "cores"),
    [
        pytest.param(sharing("1", "2", "4", "8"), (0, 1, 2, 3), [], id="a core each"),
        pytest.param(sharing("3", "3", "c", "c"), (0, 1, 2, 3), [[0, 1], [2, 3]], id="neighbours share"),
        pytest.param(sharing("5", "a", "5", "a"), (0, 1, 2, 3), [[0, 2], [1, 3]], id="the second half shares"),
        pytest.param(sharing("5", "a", "5", "a"), (0, 1), [], id="the sibling is not in the mask"),
        pytest.param(sharing("5", "a", "5", "a"), (0, 1, 2), [[0, 2]], id="one sibling of two is in the mask"),
        pytest.param(sharing("f", "f", "f", "f"), (0, 1, 3), [[0, 1, 3]], id="four threads a core"),
        pytest.param(sharing("3", "3", "4", "8"), (0, 1, 2, 3), [[0, 1]], id="one core of three"),
        pytest.param(
            sharing("00000001,00000001", "00000000,00000006", "00000000,00000006"),
            (0, 1, 2),
            [[1, 2]],
            id="more than 32 CPUs",
        ),
        pytest.param(sharing("3"), (0, 1), [], id="the other's file is missing"),
        pytest.param(sharing("", ""), (0, 1), [], id="empty files"),
        pytest.param({}, (0, 1), [], id="no files"),
        pytest.param(sharing("3", "3"), (), [], id="no CPU"),
    ],
)
def test_siblings_are_those_of_its_cpus_that_share_a_core(
    files: Mapping[str, str], cpus: Sequence[int], cores: list[list[int]], tmp_path: Path
) -> None:
    assert proof.siblings(cpus, tree(tmp_path, files)) == cores


def units(core: str | None = None, atom: str | None = None) -> dict[str, str]:
    """The lists of CPUs that x86 counts with the one kind of unit, and with the other."""
    lists = {"cpu_core": core, "cpu_atom": atom}
    return {f"sys/devices/{name}/cpus": text + "\n" for name, text in lists.items() if text is not None}


def capacities(*values: int) -> dict[str, str]:
    """The capacities of CPUs 0, 1, 2 ... as ARM has them."""
    return cpu_files(**{f"cpu{cpu}__cpu_capacity": f"{value}\n" for cpu, value in enumerate(values)})


@pytest.mark.parametrize(
    ("files", "cpus", "kinds"),
    [
        pytest.param({}, (0, 1), 1, id="no files"),
        pytest.param({}, (), 1, id="no CPU"),
        pytest.param(capacities(1024, 1024), (0, 1), 1, id="one capacity"),
        pytest.param(capacities(446, 446, 1024, 1024), (0, 1, 2, 3), 2, id="two capacities"),
        pytest.param(capacities(250, 740, 1024), (0, 1, 2), 3, id="three capacities"),
        pytest.param(capacities(446, 446, 1024, 1024), (2, 3), 1, id="the large ones only"),
        pytest.param(capacities(1024), (0, 1), 1, id="a capacity is missing"),
        pytest.param(units("0-7", "8-15"), (6, 7, 8), 2, id="core and atom"),
        pytest.param(units("0-7", "8-15"), (0, 7), 1, id="core only"),
        pytest.param(units("0-7", "8-15"), (8, 15), 1, id="atom only"),
        pytest.param(units("0-3,8", "4-7,9"), (8, 9), 2, id="lists with gaps"),
        pytest.param(units("0,2", "1"), (0, 2), 1, id="single ids"),
        pytest.param(units(core="0-7"), (0, 1), 1, id="no atom at all"),
        pytest.param(units("0-7", ""), (0, 1), 1, id="all atoms are off line"),
        pytest.param(units("0-7", "8-15"), (20, 21), 1, id="CPUs in neither list"),
    ],
)
def test_the_kinds_of_cores_are_those_of_its_own_cpus(
    files: Mapping[str, str], cpus: Sequence[int], kinds: int, tmp_path: Path
) -> None:
    assert proof.kinds(cpus, tree(tmp_path, files)) == kinds


def test_the_proof_has_the_cores_of_the_affinity_mask_only(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    masks = {f"cpu{cpu}__topology__thread_siblings": "all" for cpu in range(mine[-1] + 2)}
    values = {f"cpu{cpu}__cpu_capacity": str(cpu) for cpu in range(mine[-1] + 2)}
    found = proof.take(tree(tmp_path, cpu_files(**masks, **values)))
    assert found["siblings"] == ([mine] if len(mine) > 1 else [])
    assert found["kinds"] == len(mine)  # each has another capacity, and the CPU after them does not count


def test_the_periods_in_which_a_quota_of_version_2_stopped_it_are_added_up(tmp_path: Path) -> None:
    files = v2(
        "/pod/leaf",
        cpu_stat="nr_throttled 100\n",
        pod__cpu_max="120000 100000",
        pod__cpu_stat="nr_periods 50\nnr_throttled 3\nthrottled_usec 9\n",
        pod__leaf__cpu_max="50000 100000",
        pod__leaf__cpu_stat="usage_usec 8\nnr_periods 50\nnr_throttled 4\n",
    )
    assert proof.throttled_periods(tree(tmp_path, files)) == 7  # the top has no quota to stop it with


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
    assert proof.throttled_periods(tree(tmp_path, files)) == 8


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
    assert proof.throttled_periods(tree(tmp_path, files)) == 0


# What taints a cell.


def cell_result(
    asked: Sequence[int] = (0, 1),
    saw: Sequence[int] = (0, 1),
    outside: Mapping[str, Any] | None = None,
    pinned_by: str = "engine",
    start: Mapping[str, Any] | None = None,
    end: Mapping[str, Any] | None = None,
) -> CellResult:
    """A cell that asked for these CPUs and saw those; ``start`` and ``end`` change entries of its proofs."""
    before = {**scripts.proof(saw, host_cpus=4), **(start or {})}
    raw = scripts.stream("cell", saw, host_cpus=4, pinned_by=pinned_by, end={**before, **(end or {})})
    cell = Cell(id="cell", label="x", size=len(asked), cpus=tuple(asked))
    made = scripts.result(cell, raw)
    records = list(made.records)
    if start:
        changed = {**records[0].data, "proof": before}
        records[0] = dataclasses.replace(records[0], data=changed)
    seen = {"cpuset": "0-1", "warnings": []} if outside is None else outside
    return CellResult(
        cell=cell,
        status=made.status,
        reason=None,
        records=tuple(records),
        outcome=Outcome(exit_code=0, outside=seen),
    )


def quota(cpus: float, throttled: int = 0) -> dict[str, Any]:
    return {"quotas": [{"quota_cpus": cpus, "throttled_periods": throttled, "throttled_seconds": 0.1 * throttled}]}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        pytest.param(cell_result(), None, id="all agree"),
        pytest.param(cell_result(outside={"cpuset": "1,0", "warnings": []}), None, id="written otherwise"),
        pytest.param(cell_result(pinned_by="worker", outside={}), None, id="pinned by itself"),
        pytest.param(
            cell_result(pinned_by="worker", outside={}, start={"cpuset_effective": "0-3"}),
            None,
            id="pinned by itself within a larger set",
        ),
        pytest.param(cell_result(start={"cpuset_effective": None}), None, id="the control group is not to be seen"),
        pytest.param(cell_result(start=quota(1.5), end=quota(1.5, throttled=9)), None, id="throttled by its quota"),
        pytest.param(cell_result(saw=(0, 1, 2, 3)), "asked for CPUs 0-1, inside saw 0-3", id="the limit was dropped"),
        pytest.param(cell_result(saw=(2, 3)), "asked for CPUs 0-1, inside saw 2-3", id="other CPUs"),
        pytest.param(
            cell_result(outside={"cpuset": "0-3", "warnings": []}),
            "asked for CPUs 0-1, the engine says it set 0-3",
            id="the engine set more",
        ),
        pytest.param(
            cell_result(outside={"cpuset": "", "warnings": []}),
            "asked for CPUs 0-1, the engine says it set none",
            id="the engine set none",
        ),
        pytest.param(
            cell_result(outside={"cpuset": "0-1", "warnings": ["Your kernel does not support cpuset"]}),
            "Your kernel does not support cpuset",
            id="the engine warned",
        ),
        pytest.param(
            cell_result(start={"cpuset_effective": "0-3"}),
            "asked for CPUs 0-1, the control group has 0-3",
            id="the control group has more",
        ),
        pytest.param(
            cell_result(end={"affinity": [0, 1, 2]}),
            "affinity changed from [0, 1] to [0, 1, 2] while it ran",
            id="widened while it ran",
        ),
        pytest.param(cell_result(end={"pool_size": 4}), "pool_size changed from 2 to 4 while it ran", id="Pool() grew"),
        pytest.param(
            cell_result(start=quota(1.5), end=quota(2.0)),
            "the quota changed from [1.5] to [2.0] while it ran",
            id="another quota",
        ),
        pytest.param(
            cell_result(end=quota(0.5)), "the quota changed from [] to [0.5] while it ran", id="a quota out of nowhere"
        ),
    ],
)
def test_a_cell_is_tainted_by(result: CellResult, reason: str | None) -> None:
    assert (reason in proofs.taints(result)) if reason else (proofs.taints(result) == ())


def test_a_cell_that_never_started_proves_nothing_either_way() -> None:
    cell = Cell(id="cell", label="1", size=1, cpus=(0,))
    assert proofs.taints(scripts.result(cell, b"")) == ()


def test_a_cell_that_never_ended_is_judged_by_what_it_saw_at_the_start() -> None:
    whole = cell_result(saw=(0,))
    torn = dataclasses.replace(whole, records=whole.records[:1])
    assert proofs.taints(torn)[0] == "asked for CPUs 0-1, inside saw 0"
