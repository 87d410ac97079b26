"""``lab.effective_cpus()``: P and R in every state of the kernel's files that we know of, and whatever they hold."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lab
from lab.cell.cpus.cpulist import render
from lab.cell.cpus.effective import EffectiveCpus, Quota, effective_cpus
from tests.support.kernel_trees import mounts, tree

CGROUP = "sys/fs/cgroup"
STATUS = "proc/self/status"
ISOLATED = "sys/devices/system/cpu/isolated"
ONLINE = "sys/devices/system/cpu/online"
#: The user that has no rights of its own on any Linux.
NOBODY = 65534

Files = dict[str, str]


def machine(mask: str | None = "0-3", online: str | None = "0-3", **more: str) -> Files:
    """The affinity mask and the CPUs on line; ``isolated`` besides."""
    files = {} if mask is None else {STATUS: f"Name:\tpython\nCpus_allowed:\tf\nCpus_allowed_list:\t{mask}\n"}
    if online is not None:
        files[ONLINE] = online + "\n"
    if "isolated" in more:
        files[ISOLATED] = more["isolated"] + "\n"
    return files


def v2(group: str, files: Mapping[str, str], top: str = "/", *also: str) -> Files:
    """Version 2; ``files`` are named below the mount point, ``top`` is the group that shows there; ``also`` are further
    mounts."""
    named = {f"{CGROUP}/{name}": text for name, text in {"cgroup.procs": "1", **files}.items()}
    lines = (f"{top} /{CGROUP} cgroup2 rw,nsdelegate", *also)
    return {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": mounts(*lines), **named}


def v1(group: str, files: Mapping[str, str], top: str = "/", names: str = "cpu,cpuacct", *also: str) -> Files:
    """Version 1; ``files`` are named below the folder of cgroups, where the CPU controller is ``cpu`` in any case."""
    shown = group.removeprefix(top.rstrip("/")).rstrip("/")
    tasks = {f"{folder}{shown}/tasks": "1" for folder in ("cpu", "cpuset")}
    named = {f"{CGROUP}/{name}": text for name, text in {**tasks, **files}.items()}
    lines = (f"{top} /{CGROUP}/cpu cgroup rw,{names}", f"{top} /{CGROUP}/cpuset cgroup rw,cpuset", *also)
    groups = f"3:memory:/elsewhere\n2:{names}:{group}\n1:cpuset:{group}\n0::{group}\n"
    return {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts(*lines), **named}


def cfs(folder: str, quota: str, period: str | None = "100000") -> Files:
    """The two files of a quota of version 1, below the CPU controller's folder."""
    files = {f"cpu{folder}/cpu.cfs_quota_us": quota + "\n"}
    return files if period is None else {**files, f"cpu{folder}/cpu.cfs_period_us": period + "\n"}


def leaf(cpu_max: str) -> Files:
    """Version 2 with this ``cpu.max`` in the only group."""
    return v2("/a", {"a/cpu.max": cpu_max})


#: sentence -> (files, P, R, version, part of the only contradiction, or None). The mask is 0-3 unless the files say.
STATES: dict[str, tuple[Files, int, float, int | None, str | None]] = {
    # No limit at all.
    "no control groups: the mask": ({}, 4, 4, None, None),
    "version 2 without a quota: the mask": (v2("/", {}), 4, 4, 2, None),
    "version 1 without a quota: the mask": (v1("/", {}), 4, 4, 1, None),
    "max is no quota": (leaf("max 100000\n"), 4, 4, 2, None),
    "max without a period is no quota": (leaf("max\n"), 4, 4, 2, None),
    "an empty cpu.max is no quota": (leaf(""), 4, 4, 2, None),
    "a cpu.max of blanks is no quota": (leaf(" \n\n"), 4, 4, 2, None),
    "-1 is no quota in version 1": (v1("/a", cfs("/a", "-1")), 4, 4, 1, None),
    "an empty cpu.cfs_quota_us is no quota": (v1("/a", cfs("/a", "", "")), 4, 4, 1, None),
    "a period without a quota is none": (v1("/a", {"cpu/a/cpu.cfs_period_us": "100000"}), 4, 4, 1, None),
    "weights are not limits": (v2("/a", {"a/cpu.weight": "1\n", "a/cpu.weight.nice": "19"}), 4, 4, 2, None),
    "shares are not limits": (v1("/a", {"cpu/a/cpu.shares": "2\n"}), 4, 4, 1, None),
    "a burst is not a limit": (v2("/a", {"a/cpu.max": "200000 100000", "a/cpu.max.burst": "50000"}), 4, 2, 2, None),
    "utilisation clamps are not limits": (v2("/a", {"a/cpu.uclamp.max": "10.00"}), 4, 4, 2, None),
    # Quotas of one level.
    "one and a half": (leaf("150000 100000\n"), 4, 1.5, 2, None),
    "a half, below one CPU": (leaf("50000 100000\n"), 4, 0.5, 2, None),
    "exactly two": (leaf("200000 100000\n"), 4, 2, 2, None),
    "one and a tenth, as --cpus 1.1 sets it": (leaf("110000 100000\n"), 4, 1.1, 2, None),
    "a hair above two": (leaf("200001 100000\n"), 4, 2.00001, 2, None),
    "a third": (leaf("33333 100000\n"), 4, 0.33333, 2, None),
    "a short period": (leaf("1000 2000\n"), 4, 0.5, 2, None),
    "the longest period": (leaf("2500000 1000000\n"), 4, 2.5, 2, None),
    "more than the mask: the mask": (leaf("800000 100000\n"), 4, 4, 2, None),
    "a quota without its period has the usual one": (leaf("150000\n"), 4, 1.5, 2, None),
    "blanks at the end and tabs between": (leaf("150000\t100000  \n\n"), 4, 1.5, 2, None),
    "version 1, cpu,cpuacct": (v1("/a", cfs("/a", "150000")), 4, 1.5, 1, None),
    "version 1, cpuacct,cpu": (v1("/a", cfs("/a", "150000"), "/", "cpuacct,cpu"), 4, 1.5, 1, None),
    "version 1, cpu alone": (v1("/a", cfs("/a", "150000"), "/", "cpu"), 4, 1.5, 1, None),
    "version 1 without the period's file": (v1("/a", cfs("/a", "50000", None)), 4, 0.5, 1, None),
    # Files that the kernel would not write.
    "a quota of zero is none": (leaf("0 100000\n"), 4, 4, 2, "no quota"),
    "-1 in version 2 is none": (leaf("-1 100000\n"), 4, 4, 2, None),
    "another negative quota is none": (leaf("-5 100000\n"), 4, 4, 2, "'-5'"),
    "a fraction of a microsecond": (leaf("150000.5 100000\n"), 4, 1.500005, 2, None),
    "a number with an exponent": (leaf("1.5e5 1e5\n"), 4, 1.5, 2, None),
    "a period of zero is the usual one": (leaf("150000 0\n"), 4, 1.5, 2, "no period"),
    "a negative period is the usual one": (v1("/a", cfs("/a", "150000", "-100000")), 4, 1.5, 1, "no period"),
    "max for a period is the usual one": (leaf("150000 max\n"), 4, 1.5, 2, "no period"),
    "words are no quota": (leaf("nonsense here\n"), 4, 4, 2, "'nonsense'"),
    "not a number is no quota": (leaf("nan 100000\n"), 4, 4, 2, "'nan'"),
    "infinity is no quota": (leaf("inf 100000\n"), 4, 4, 2, "'inf'"),
    "digits of another script are no quota": (leaf("١٥٠٠٠٠ 100000\n"), 4, 4, 2, "no quota"),
    "a NUL in the file is no quota": (leaf("150\x00000 100000\n"), 4, 4, 2, "no quota"),
    "a number of a thousand digits is no quota": (leaf("9" * 1000 + " 100000\n"), 4, 4, 2, "no quota"),
    "the largest number that fits is no limit": (leaf(f"{2**63 - 1} 100000\n"), 4, 4, 2, None),
    "a third word is not read": (leaf("150000 100000 7\n"), 4, 1.5, 2, "two words"),
    # Several levels.
    "the least of three levels, at the top": (
        v2("/p/b/l", {"p/cpu.max": "120000 100000", "p/b/cpu.max": "400000 100000", "p/b/l/cpu.max": "250000 100000"}),
        4,
        1.2,
        2,
        None,
    ),
    "the least of three levels, at the leaf": (
        v2("/p/b/l", {"p/cpu.max": "300000 100000", "p/b/cpu.max": "max 100000", "p/b/l/cpu.max": "70000 100000"}),
        4,
        0.7,
        2,
        None,
    ),
    "levels with other periods": (
        v2("/p/l", {"p/cpu.max": "15000 10000", "p/l/cpu.max": "1600000 1000000"}),
        4,
        1.5,
        2,
        None,
    ),
    "an empty leaf does not hide the parent": (
        v2("/p/l", {"p/cpu.max": "50000 100000", "p/l/cpu.max": ""}),
        4,
        0.5,
        2,
        None,
    ),
    "a leaf without the controller": (
        v2("/p/l", {"p/cpu.max": "50000 100000", "p/l/cgroup.procs": "1"}),
        4,
        0.5,
        2,
        None,
    ),
    "damage in the leaf does not hide the parent": (
        v2("/p/l", {"p/cpu.max": "50000 100000", "p/l/cpu.max": "?"}),
        4,
        0.5,
        2,
        "'?'",
    ),
    "a threaded group below its domain": (
        v2("/d/t", {"d/cpu.max": "300000 100000", "d/t/cgroup.type": "threaded", "d/t/cpu.max": "150000 100000"}),
        4,
        1.5,
        2,
        None,
    ),
    "version 1, the parent's quota": (v1("/p/l", {**cfs("/p", "60000"), **cfs("/p/l", "-1")}), 4, 0.6, 1, None),
    "version 1, both have one": (v1("/p/l", {**cfs("/p", "160000"), **cfs("/p/l", "60000")}), 4, 0.6, 1, None),
    "version 1, a child with a hair more, which the kernel does not tell apart": (
        v1("/p/l", {**cfs("/p", "100000", "300001"), **cfs("/p/l", "333333", "1000000")}),
        4,
        100000 / 300001,
        1,
        None,
    ),
    "version 1, a child with more than its parent": (
        v1("/p/l", {**cfs("/p", "60000"), **cfs("/p/l", "200000")}),
        4,
        0.6,
        1,
        "version 1 does not allow that",
    ),
    # Namespaces and mounts.
    "a container sees its group as the top of the mount": (
        v2("/docker/c", {"cpu.max": "150000 100000"}, "/docker/c"),
        4,
        1.5,
        2,
        None,
    ),
    "a private namespace": (v2("/", {"cpu.max": "150000 100000"}), 4, 1.5, 2, None),
    "version 1 in a container": (v1("/docker/c", cfs("", "150000"), "/docker/c"), 4, 1.5, 1, None),
    "a group below the container's": (
        v2("/docker/c/x", {"cpu.max": "150000 100000", "x/cpu.max": "90000 100000"}, "/docker/c"),
        4,
        0.9,
        2,
        None,
    ),
    "the mount's top is another group": (
        v2("/docker/c", {"cpu.max": "150000 100000"}, "/other"),
        4,
        4,
        None,
        "its own limit cannot be seen",
    ),
    "a name that only begins alike": (
        v2("/docker/cd", {"cpu.max": "150000 100000"}, "/docker/c"),
        4,
        4,
        None,
        "its own limit cannot be seen",
    ),
    "a group outside of the namespace": (
        v2("/../../x", {"cpu.max": "150000 100000"}),
        4,
        4,
        None,
        "its own limit cannot be seen",
    ),
    "a mount from outside of the namespace": (
        v2("/", {"cpu.max": "150000 100000"}, "/../.."),
        4,
        1.5,
        2,
        "its own limit cannot be seen",
    ),
    "a group whose folder is not shown": (v2("/gone", {"cpu.max": "150000 100000"}), 4, 1.5, 2, "does not show"),
    "a bind mount of another group beside the real one": (
        {**v2("/a", {"a/cpu.max": "150000 100000"}, "/", "/b /bind cgroup2 rw"), "bind/cpu.max": "10000 100000"},
        4,
        1.5,
        2,
        None,
    ),
    "of two mounts that hold the group, the one with more levels": (
        {
            **v2("/p/l", {"p/cpu.max": "50000 100000", "p/l/cpu.max": "150000 100000"}, "/", "/p/l /bind cgroup2 rw"),
            "bind/cpu.max": "150000 100000",
        },
        4,
        0.5,
        2,
        None,
    ),
    "a later mount on the same point covers the first": (
        v2("/docker/c", {"cpu.max": "150000 100000"}, "/", f"/docker/c /{CGROUP} cgroup2 rw"),
        4,
        1.5,
        2,
        None,
    ),
    "blanks in the mount point": (
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": mounts("/ /my\\040groups cgroup2 rw"),
            "my groups/cpu.max": "70000 100000",
        },
        4,
        0.7,
        2,
        None,
    ),
    "a mount that is not there": (
        {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mounts("/ /no cgroup2 rw")},
        4,
        4,
        None,
        "its own limit cannot be seen",
    ),
    "no mountinfo": ({"proc/self/cgroup": "0::/a\n"}, 4, 4, None, "which no mount shows"),
    "noise for mounts and groups": (
        {"proc/self/cgroup": "x\n:\n", "proc/self/mountinfo": "x - y\n\n"},
        4,
        4,
        None,
        None,
    ),
    # Both versions.
    "hybrid: CPU time is under version 1": (
        v1("/a", {**cfs("/a", "50000"), "unified/a/tasks": "1"}, "/", "cpu", f"/ /{CGROUP}/unified cgroup2 rw"),
        4,
        0.5,
        1,
        None,
    ),
    "hybrid with a quota in version 2 as well": (
        v1(
            "/a",
            {**cfs("/a", "50000"), "unified/a/cpu.max": "20000 100000"},
            "/",
            "cpu",
            f"/ /{CGROUP}/unified cgroup2 rw",
        ),
        4,
        0.5,
        1,
        "not counted",
    ),
    "time in version 2, the CPU set in version 1": (
        {
            "proc/self/cgroup": "3:cpuset:/a\n0::/a\n",
            "proc/self/mountinfo": mounts(f"/ /{CGROUP}/cpuset cgroup rw,cpuset", f"/ /{CGROUP}/unified cgroup2 rw"),
            f"{CGROUP}/cpuset/a/cpuset.cpus": "0-1",
            f"{CGROUP}/unified/a/cpu.max": "150000 100000",
            **machine("0-1"),
        },
        2,
        1.5,
        2,
        None,
    ),
    # The mask, CPU sets and CPUs on line.
    "a mask of one": (machine("2"), 1, 1, None, None),
    "a mask with gaps": (machine("0,2-3,7", "0-7"), 4, 4, None, None),
    "a mask below the quota": ({**leaf("300000 100000"), **machine("1")}, 1, 1, 2, None),
    "the CPU set is the mask": ({**v2("/a", {"a/cpuset.cpus.effective": "0-1"}), **machine("0-1")}, 2, 2, 2, None),
    "the mask is smaller than the CPU set": (
        {**v2("/a", {"a/cpuset.cpus.effective": "0-3"}), **machine("1-2")},
        2,
        2,
        2,
        None,
    ),
    "the CPU set is smaller than the mask": (v2("/a", {"a/cpuset.cpus.effective": "0-1"}), 4, 4, 2, "the mask counts"),
    "the CPU set of version 1 is smaller than the mask": (
        v1("/a", {"cpuset/a/cpuset.cpus": "0-3", "cpuset/a/cpuset.effective_cpus": "1"}),
        4,
        4,
        1,
        "the mask counts",
    ),
    "the CPU set and the mask have nothing in common": (
        v2("/a", {"a/cpuset.cpus.effective": "8-9"}),
        4,
        4,
        2,
        "the mask counts",
    ),
    "an empty CPU set is the parent's": (
        {**v2("/p/l", {"p/cpuset.cpus.effective": "0-1", "p/l/cpuset.cpus.effective": "\n"}), **machine("0-1")},
        2,
        2,
        2,
        None,
    ),
    "a leaf without the CPU set's controller": (
        {**v2("/p/l", {"p/cpuset.cpus.effective": "0-1", "p/l/cgroup.procs": "1"}), **machine("0-1")},
        2,
        2,
        2,
        None,
    ),
    "a damaged CPU set": (v2("/a", {"a/cpuset.cpus.effective": "0-x"}), 4, 4, 2, "no list of CPUs"),
    "a CPU set that runs backwards": (v2("/a", {"a/cpuset.cpus.effective": "3-0"}), 4, 4, 2, "no list of CPUs"),
    "a CPU set without end": (v2("/a", {"a/cpuset.cpus.effective": "0-999999"}), 4, 4, 2, "no list of CPUs"),
    "a CPU of the mask is off line": (machine("0-3", "0-2"), 4, 4, None, "the mask counts"),
    "no CPU of the mask is on line": (machine("0-3", "8-9"), 4, 4, None, "the mask counts"),
    "no list of CPUs on line": (machine("0-3", None), 4, 4, None, None),
    "a damaged list of CPUs on line": (machine("0-3", "all"), 4, 4, None, "no list of CPUs"),
    "no mask: what is on line": (machine(None, "0-1"), 2, 2, None, "does not tell the affinity mask"),
    "a damaged mask: what is on line": (machine("0-x", "0-1"), 2, 2, None, "does not tell the affinity mask"),
    "more CPUs than any mask shows at once": (machine("0-1023", "0-1023"), 1024, 1024, None, None),
    # Isolated CPUs.
    "isolated CPUs outside of the mask": (machine("0-3", "0-7", isolated="4-7"), 4, 4, None, None),
    "a mask that spans isolated CPUs": (machine("0-7", "0-7", isolated="4-7"), 4, 4, None, None),
    "a mask of isolated CPUs only": (machine("4-7", "0-7", isolated="4-7"), 1, 1, None, None),
    "a mask of one isolated CPU": (machine("4", "0-7", isolated="4-7"), 1, 1, None, None),
    "no isolated CPU, as old kernels write it": (machine("0-3", isolated="(null)"), 4, 4, None, None),
    "an isolated partition": (
        v2("/p/l", {"p/cpuset.cpus.partition": "isolated", "p/l/cpuset.cpus.partition": "member"}),
        1,
        1,
        2,
        None,
    ),
    "an isolated partition that is not valid": (
        v2("/p", {"p/cpuset.cpus.partition": "isolated invalid (Parent is not a partition root)"}),
        4,
        4,
        2,
        None,
    ),
    "a partition with load balancing": (v2("/p", {"p/cpuset.cpus.partition": "root"}), 4, 4, 2, None),
    "isolated CPUs and a quota above them": (
        {**leaf("300000 100000"), **machine("0-3", isolated="2-3")},
        2,
        2,
        2,
        None,
    ),
    "isolated CPUs and a quota below them": (
        {**leaf("150000 100000"), **machine("0-3", isolated="2-3")},
        2,
        1.5,
        2,
        None,
    ),
}


def test_the_table_has_at_least_sixty_states() -> None:
    assert len(STATES) >= 60


@pytest.mark.parametrize("sentence", STATES)
def test_effective_cpus_where(sentence: str, tmp_path: Path) -> None:
    files, parallelism, rate, version, contradiction = STATES[sentence]
    effective = effective_cpus(tree(tmp_path, files if {STATUS, ONLINE} & set(files) else {**machine(), **files}))
    assert (effective.parallelism, effective.rate, effective.cgroup) == (parallelism, rate, version)
    assert isinstance(effective.rate, float)
    assert len(effective.contradictions) == (contradiction is not None), effective.contradictions
    if contradiction is not None:
        assert contradiction in effective.contradictions[0]


@pytest.mark.parametrize(
    ("cpu_max", "throughput", "latency"),
    [
        ("50000 100000", 1, 1),
        ("1000 1000000", 1, 1),
        ("100000 100000", 1, 1),
        ("110000 100000", 2, 1),
        ("150000 100000", 2, 1),
        ("199999 100000", 2, 1),
        ("200000 100000", 2, 2),
        ("200001 100000", 3, 2),
        ("99999 33333", 3, 3),
        ("300000 100001", 3, 2),
        ("9000000000000001 3000000000000000", 4, 3),  # as a float it is 3
        ("150000.5 50000.1", 4, 3),
        ("800000 100000", 4, 4),
        ("max 100000", 4, 4),
    ],
)
def test_the_advice_rounds_exactly(cpu_max: str, throughput: int, latency: int, tmp_path: Path) -> None:
    effective = effective_cpus(tree(tmp_path, {**machine(), **leaf(cpu_max)}))
    assert (effective.throughput_workers, effective.latency_workers) == (throughput, latency)


def test_where_nothing_is_known_there_is_one_cpu(tmp_path: Path) -> None:
    effective = effective_cpus(str(tmp_path))
    assert (effective.parallelism, effective.rate, effective.cpus) == (1, 1.0, (0,))
    assert "does not tell the affinity mask" in effective.contradictions[0]


def test_limits_name_every_level_the_leaf_first(tmp_path: Path) -> None:
    files = v2("/p/l", {"p/cpu.max": "15000 10000", "p/l/cpu.max": "300000 100000"})
    effective = effective_cpus(tree(tmp_path, {**machine(), **files}))
    folders = [str(tmp_path / CGROUP / name) for name in ("p/l", "p")]
    assert effective.limits == (Quota(folders[0], 300000, 100000), Quota(folders[1], 15000, 10000))
    assert [limit.cpus for limit in effective.limits] == [3.0, 1.5]


def test_isolated_cpus_are_named_though_they_do_not_count(tmp_path: Path) -> None:
    effective = effective_cpus(tree(tmp_path, machine("0-7", "0-7", isolated="4-7,9")))
    assert (effective.cpus, effective.isolated) == (tuple(range(8)), (4, 5, 6, 7))


def test_a_folder_in_the_place_of_a_file_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / CGROUP / "a/cpu.max").mkdir(parents=True)
    effective = effective_cpus(tree(tmp_path, {**machine(), **v2("/a", {})}))
    assert (effective.rate, effective.contradictions) == (4.0, ())


def test_bytes_that_are_no_text_are_no_limit(tmp_path: Path) -> None:
    root = tree(tmp_path, {**machine(), **leaf("")})
    (tmp_path / CGROUP / "a/cpu.max").write_bytes(b"\xff\xfe150000 100000\n")
    effective = effective_cpus(root)
    assert effective.rate == 4.0
    assert "no quota" in effective.contradictions[0]


@pytest.fixture
def readable_by_nobody() -> Iterator[Path]:
    """A folder for a process without root's rights. pytest's own folders are closed to such a process."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def without_roots_rights() -> Iterator[None]:
    """Root may read every file, so it becomes another user for a while."""
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_not_be_read_is_no_limit(readable_by_nobody: Path) -> None:
    root = tree(readable_by_nobody, {**machine(), **leaf("50000 100000")})
    assert effective_cpus(root).rate == 0.5
    (readable_by_nobody / CGROUP / "a/cpu.max").chmod(0)
    with without_roots_rights():
        assert effective_cpus(root).rate == 4.0


text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["max", "-1", "0", "", "\n", "max 100000", "0-3", "(null)", "/", "/a", "/../..", "0-99999999", "1e99"]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.tuples(st.integers(), st.integers()).map(lambda two: f"{two[0]} {two[1]}"),
    st.lists(st.integers(0, 70000), max_size=4).map(lambda ids: ",".join(map(str, ids))),
    st.text(alphabet="0123456789-,.eE+ \t\n", max_size=20),
)
NAMES = [
    STATUS,
    ONLINE,
    ISOLATED,
    *(f"{CGROUP}/{folder}{name}" for folder in ("", "a/") for name in ("cpu.max", "cpu.stat", "cpuset.cpus.effective")),
    *(f"{CGROUP}/cpu/{folder}cpu.cfs_{name}_us" for folder in ("", "a/") for name in ("quota", "period")),
    f"{CGROUP}/cpuset/cpuset.cpus",
]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    files=st.dictionaries(st.sampled_from(NAMES), text, max_size=len(NAMES)),
    mask=st.one_of(text.map(lambda cpus: f"Cpus_allowed_list:\t{cpus}"), st.just("Cpus_allowed_list:\t0-3")),
    kernel=st.sampled_from([v2("/a", {}), v1("/a", {}), v1("/", {}), v2("/a/b", {}, "/x"), {}]),
    damage=st.tuples(st.sampled_from(["proc/self/cgroup", "proc/self/mountinfo", "proc/none"]), text),
)
def test_whatever_stands_in_the_files_there_is_an_answer(
    files: Files, mask: str, kernel: Files, damage: tuple[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        effective = effective_cpus(write(root, {STATUS: mask, **kernel, **dict([damage]), **files}))
    assert effective.parallelism >= 1
    assert 0 < effective.rate <= effective.parallelism
    assert 1 <= effective.latency_workers <= effective.throughput_workers <= effective.parallelism
    assert set(effective.isolated) <= set(effective.cpus)
    assert all(sentence.isprintable() for sentence in effective.contradictions)


def write(root: Path, files: Files) -> str:
    """A tree of files with any text, also such as no encoding has."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
    return str(root)


@pytest.mark.parametrize(("cpus", "written"), [((), ""), ((3,), "3"), ((1, 0, 2), "0-2"), ((0, 2, 3, 9), "0,2-3,9")])
def test_cpus_are_written_as_the_kernel_does(cpus: tuple[int, ...], written: str) -> None:
    assert render(cpus) == written


def test_this_very_process_has_what_its_mask_says() -> None:
    effective = lab.effective_cpus()
    assert isinstance(effective, EffectiveCpus)
    assert set(effective.cpus) <= os.sched_getaffinity(0)
    assert 0 < effective.rate <= effective.parallelism <= len(os.sched_getaffinity(0))


def test_a_narrowed_mask_is_seen_at_once() -> None:
    cpu = min(os.sched_getaffinity(0))
    source = f"import os, lab; os.sched_setaffinity(0, [{cpu}]); print(lab.effective_cpus().cpus)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == f"({cpu},)\n"


def test_the_library_is_typed_and_loads_nothing_before_it_is_used() -> None:
    assert (Path(lab.__file__).parent / "py.typed").exists()
    assert typing.get_type_hints(lab.effective_cpus)["return"] is lab.EffectiveCpus
    source = "import lab, sys; print([name for name in sys.modules if name.startswith('lab.')])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_another_name_is_missing_as_from_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'lab' has no attribute 'efective_cpus'"):
        _ = lab.efective_cpus
