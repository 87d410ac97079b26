"""The counters of a control group, read from kernel trees made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.programs.group_counters import Counters, OwnGroup
from lab.cell.programs.run import counted
from tests.support.kernel_trees import mounts, tree, v2

#: Version 1: the files of each controller stand below its own mount.
V1 = {
    "proc/self/cgroup": "4:memory:/\n3:cpu,cpuacct:/\n",
    "proc/self/mountinfo": mounts(
        "/ /sys/fs/cgroup/memory cgroup rw,memory", "/ /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct"
    ),
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
    "sys/fs/cgroup/memory/memory.max_usage_in_bytes": "5000\n",
    "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "3000000000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage_user": "2000000000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage_sys": "1000000000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage_percpu": "1000000000 2000000000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 500000000\n",
}
V2 = v2(
    "/",
    memory_current="1000\n",
    memory_peak="5000\n",
    memory_events="low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n",
    cpu_stat="usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n"
    "nr_periods 9\nnr_throttled 4\nthrottled_usec 500000\n",
    cpu_pressure="some avg10=0.00 avg60=0.00 avg300=0.00 total=250000\n",
)


@pytest.mark.parametrize(
    ("files", "pressure", "each_cpu"), [pytest.param(V1, None, [1, 2], id="1"), pytest.param(V2, 0.25, None, id="2")]
)
def test_both_versions_count_alike(
    files: dict[str, str], pressure: float | None, each_cpu: list[float] | None, tmp_path: Path
) -> None:
    read = OwnGroup(tree(tmp_path, files)).read()
    expected = Counters(
        cpu=3, user=2, system=1, each_cpu=each_cpu, periods=9, throttled_periods=4, throttled_seconds=0.5,
        pressure=pressure, memory=1000, memory_peak=5000, oom_kills=2, own=read.own,
    )  # fmt: skip
    assert read == expected


def test_a_counter_that_is_not_there_is_missing_and_not_0(tmp_path: Path) -> None:
    read = OwnGroup(tree(tmp_path, v2("/", memory_current="x\n"))).read()
    assert read == Counters(own=read.own)


@pytest.mark.parametrize(("peak", "known"), [(7000, 6000), (5000, None), (None, None)])
def test_a_run_has_a_peak_of_the_group_only_where_it_set_a_new_one(peak: int | None, known: int | None) -> None:
    before = Counters(memory=1000, memory_peak=5000, oom_kills=1, each_cpu=[1.0, 2.0])
    differences = counted(before, before._replace(memory_peak=peak, oom_kills=3, each_cpu=[1.5, 2.0]))
    assert (differences.get("group_memory"), differences["oom_kills"]) == (known, 2)
    assert (differences["each_cpu"], differences["periods"]) == ([0.5, 0.0], None)
