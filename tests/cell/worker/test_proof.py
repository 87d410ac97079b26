"""What a cell sees of its limits and its cores, read from kernel trees made for the test, and what taints it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cell.cpus import cpulist, topology
from lab.cell.worker import proof
from lab.judging import proofs
from lab.judging.verdicts import facts_of
from lab.model.cell import Cell, CellResult, Limit, Outcome
from tests.support import cells, scripts
from tests.support.kernel_trees import hybrid, quotas, tree, v2


def test_the_proof_of_this_very_process_is_what_the_system_says(tmp_path: Path) -> None:
    reading = proof.take_proof()
    assert reading["affinity"] == sorted(os.sched_getaffinity(0))
    assert reading["cpu_count"] == os.cpu_count()
    assert reading["pool_size"] in (os.cpu_count(), len(reading["affinity"]))
    assert json.loads(json.dumps(reading)) == reading
    assert 0 < proofs.rate(reading) <= len(reading["affinity"])


def test_the_root_stands_in_for_every_file_that_is_read(tmp_path: Path) -> None:
    files = v2("/", cpu_max="100000 200000")
    root = tree(
        tmp_path,
        {**files, "sys/devices/system/cpu/online": "0-63\n", "sys/devices/system/cpu/isolated": "8-9\n"},
    )
    reading = proof.take_proof(root)
    assert (reading["host_cpus"], reading["isolated"], quotas(reading)) == ("0-63", "8-9", [0.5])


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            v2("/p/l", p__cpuset_cpus_partition="isolated\n", p__l__cpuset_cpus_partition="member\n"),
            id="a partition of version 2",
        ),
        pytest.param(hybrid("5:cpuset:/\n", cpuset__cpuset_sched_load_balance="0\n"), id="a CPU set of version 1"),
    ],
)
def test_where_the_control_group_is_not_balanced_the_whole_mask_is_isolated(
    files: Mapping[str, str], tmp_path: Path
) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    reading = proof.take_proof(tree(tmp_path, {**files, **cpu_files(isolated="\n")}), pool=False)
    assert reading["isolated"] == (cpulist.render(cpus) if cpus[1:] else "")
    assert facts_of(cell_result(saw=cpus, start=reading)).isolated == (tuple(cpus) if cpus[1:] else ())


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
        pytest.param(sharing("3"), (0, 1), [[0, 1]], id="the other's file is missing"),
        pytest.param(sharing("", ""), (0, 1), [], id="empty files"),
        pytest.param({}, (0, 1), [], id="no files"),
        pytest.param(sharing("3", "3"), (), [], id="no CPU"),
    ],
)
def test_siblings_are_those_of_its_cpus_that_share_a_core(
    files: Mapping[str, str], cpus: Sequence[int], cores: list[list[int]], tmp_path: Path
) -> None:
    assert topology.siblings(cpus, tree(tmp_path, files)) == cores


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
    assert topology.kinds(cpus, tree(tmp_path, files)) == kinds


def test_the_proof_has_the_cores_of_the_affinity_mask_only(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    masks = {f"cpu{cpu}__topology__thread_siblings_list": f"0-{cpus[-1] + 1}" for cpu in range(cpus[-1] + 2)}
    values = {f"cpu{cpu}__cpu_capacity": str(2**cpu) for cpu in range(cpus[-1] + 2)}
    assert proof.take_proof(tree(tmp_path / "siblings", cpu_files(**masks)))["siblings"] == ([cpus] if cpus[1:] else [])
    # Each has another capacity, and the CPU after them does not count.
    assert proof.take_proof(tree(tmp_path / "kinds", cpu_files(**values)))["kinds"] == len(cpus)


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
    cell = Cell(id="cell", limit=Limit(cpus=len(asked)), size=len(asked), cpus=tuple(asked))
    made = scripts.result(cell, raw)
    records = list(made.records)
    if start:
        changed = {**records[0].data, "proof": before}
        records[0] = records[0]._replace(data=changed)
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
    cell = Cell(id="cell", limit=Limit(cpus=1), size=1, cpus=(0,))
    assert proofs.taints(scripts.result(cell, b"")) == ()


def test_a_cell_that_never_ended_is_judged_by_what_it_saw_at_the_start() -> None:
    whole = cell_result(saw=(0,))
    torn = dataclasses.replace(whole, records=whole.records[:1])
    assert proofs.taints(torn)[0] == "asked for CPUs 0-1, inside saw 0"


def test_the_pool_that_is_tried_leaves_no_worker_behind_however_slowly_it_is_ended() -> None:
    # A pool starts a worker anew for each that has gone: one that is taken apart worker by worker grows them back.
    slow = """if True:
        import multiprocessing.process, time
        from lab.cell.cpus.pool_trial import try_pool

        kill = multiprocessing.process.BaseProcess.kill

        def slowly(process):
            kill(process)
            time.sleep(0.5)

        multiprocessing.process.BaseProcess.kill = slowly
        print(try_pool().workers)
    """
    mark = f"MULTICORE_LAB_TEST_{uuid.uuid4().hex}"
    done = subprocess.run(
        [sys.executable, "-c", slow], env={**os.environ, mark: "1"}, stdout=subprocess.PIPE, check=True
    )
    left = cells.still_living(mark)
    for line in left:
        os.kill(int(line.partition(":")[0]), signal.SIGKILL)
    assert left == []
    assert int(done.stdout) > 0
