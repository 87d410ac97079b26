"""Which cells run side by side, and that they never share a core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model.topology import Topology
from lab.planning import placement
from lab.planning.packing import Packer, Run, WaitingCell, lower_bound, makespan, most_at_once, schedule
from tests.cell.cpus.test_topology import HYBRID
from tests.planning.test_placement import topologies
from tests.support.machines import simulated, topology_of


def requests(*sizes: int, seconds: float = 1.0) -> list[WaitingCell]:
    return [WaitingCell(name=f"{place}", size=size, seconds=seconds) for place, size in enumerate(sizes)]


def overlaps(topology: Topology, runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Cells that ran at the same time and shared a core."""
    clashes = []
    for place, run in enumerate(runs):
        cores = {topology.by_id[cpu].core for cpu in run.cpus}
        for earlier_run in runs[:place]:
            same_time = run.began < earlier_run.ends and earlier_run.began < run.ends
            if same_time and cores & {topology.by_id[cpu].core for cpu in earlier_run.cpus}:
                clashes.append((earlier_run.request.name, run.request.name))
    return clashes


def shown(runs: Sequence[Run]) -> list[tuple[int, tuple[int, ...], float]]:
    return [(run.request.size, run.cpus, run.began) for run in runs]


def test_on_two_cpus_two_cells_of_one_run_side_by_side() -> None:
    assert shown(schedule(simulated(2), requests(1, 1, 2))) == [(2, (0, 1), 0), (1, (0,), 1), (1, (1,), 1)]


def test_on_two_siblings_they_run_one_after_the_other() -> None:
    assert shown(schedule(simulated(1, threads=2), requests(1, 1))) == [(1, (0,), 0), (1, (0,), 1)]


def test_one_job_at_a_time_is_one_after_the_other_on_the_best_cpus() -> None:
    assert shown(schedule(simulated(8), requests(1, 2, 1), jobs=1)) == [(2, (0, 1), 0), (1, (0,), 1), (1, (0,), 2)]


def test_no_more_run_at_a_time_than_jobs() -> None:
    assert [run.began for run in schedule(simulated(8), requests(1, 1, 1, 1, 1), jobs=2)] == [0, 0, 1, 1, 2]


def test_larger_cells_begin_first_and_longer_ones_of_the_same_size() -> None:
    asked = [
        WaitingCell(name="a", size=1, seconds=5),
        WaitingCell(name="b", size=2, seconds=1),
        WaitingCell(name="c", size=2, seconds=3),
    ]
    assert [run.request.name for run in schedule(simulated(4), asked)] == ["c", "b", "a"]


def test_side_by_side_they_keep_off_each_others_nodes_while_there_is_room() -> None:
    runs = schedule(simulated(16, packages=2, nodes=2), requests(1, 1, 1))
    assert [run.cpus for run in runs] == [(0,), (8,), (1,)]


def test_a_cell_waits_rather_than_take_slower_or_more_distant_cores_than_it_would_get_alone() -> None:
    hybrid = topology_of(HYBRID)
    runs = schedule(hybrid, requests(*[1] * 7))
    assert [run.began for run in runs] == [0] * 6 + [1]
    assert {cpu for run in runs for cpu in run.cpus} == {0, 2, 4, 6, 8, 10}
    split = schedule(simulated(8, per_cache=4), requests(3, 3, 2))
    assert [(run.cpus, run.began) for run in split] == [((0, 1, 2), 0), ((4, 5, 6), 0), ((0, 1), 1)]


def test_a_cell_that_no_cpu_set_limits_runs_alone() -> None:
    asked = [*requests(1, 1), WaitingCell(name="quota", size=1, alone=True)]
    runs = schedule(simulated(8), asked)
    assert [(run.request.name, run.began) for run in runs] == [("quota", 0), ("0", 1), ("1", 1)]


def test_a_cell_on_explicit_ids_waits_for_just_these() -> None:
    asked = [WaitingCell(name="mine", size=2, cpus=(0, 4)), *requests(3)]
    assert shown(schedule(simulated(4, threads=2), asked)) == [(3, (0, 1, 2), 0), (2, (0, 4), 1)]


def test_smaller_cells_use_what_room_a_larger_one_leaves() -> None:
    assert [run.began for run in schedule(simulated(4), requests(3, 3, 1, 1))] == [0, 0, 1, 1]


@pytest.mark.parametrize("asked", [requests(5), [WaitingCell(name="a", size=1), WaitingCell(name="a", size=1)]])
def test_what_can_never_run_is_refused(asked: list[WaitingCell]) -> None:
    with pytest.raises(ValueError, match=r"can never run|the same name"):
        schedule(simulated(4), asked)


def test_the_packer_serves_a_runner_that_asks_again_whenever_a_cell_has_ended() -> None:
    packer = Packer(simulated(4))
    big, small = WaitingCell(name="big", size=3), WaitingCell(name="small", size=2)
    assert packer.next({}, [small, big]) == (big, (0, 1, 2))
    assert packer.next({"big": (big, (0, 1, 2))}, [small]) is None
    assert packer.next({}, [small]) == (small, (0, 1))


@given(topologies(), st.data())
def test_no_plan_ever_shares_a_core_on_any_machine(topology: Topology, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, len(topology.allowed)), min_size=1, max_size=12))
    asked = [
        WaitingCell(name=f"{place}", size=size, seconds=data.draw(st.integers(1, 4)), alone=data.draw(st.booleans()))
        for place, size in enumerate(sizes)
    ]
    smt = data.draw(st.booleans())
    jobs = data.draw(st.sampled_from([None, 1, 2, 5]))
    runs = schedule(topology, asked, jobs=jobs, smt=smt)
    assert sorted(run.request.name for run in runs) == sorted(request.name for request in asked)
    assert overlaps(topology, runs) == []
    assert all({*run.cpus} <= {*topology.allowed} and len(run.cpus) == run.request.size for run in runs)
    assert all(
        sum(neighbour.began <= run.began < neighbour.ends for neighbour in runs) <= (jobs or len(runs)) for run in runs
    )
    assert runs == schedule(topology, asked, jobs=jobs, smt=smt)


def test_the_work_for_a_plan_grows_with_its_cells_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = simulated(256, threads=2, nodes=4)
    choices: list[int] = []
    choose = placement.choose

    def counted(topology: Topology, size: int, **settings: Any) -> placement.Choice | None:
        choices.append(size)
        return choose(topology, size, **settings)

    monkeypatch.setattr(placement, "choose", counted)
    for count in (25, 100):
        choices.clear()
        runs = schedule(topology, requests(*[512 * (place + 1) // (count + 1) for place in range(count)]))
        assert len(runs) == count
        assert len(choices) <= 3 * count  # where it would run alone, and where it does
        at_once = [sum(run.began <= start < run.ends for run in runs) for start in {run.began for run in runs}]
        assert most_at_once(runs) == max(at_once)


@pytest.mark.parametrize("cpus", [8, 16, 64, 128])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_mixed_plan_is_nearly_as_short_as_it_can_be(cpus: int, threads: int) -> None:
    topology = simulated(cpus // threads, threads=threads, nodes=max(1, cpus // 32))
    asked = requests(*[size for size in (1, 2, 4, cpus) for _ in range(8)])
    assert makespan(schedule(topology, asked)) <= 1.10 * lower_bound(topology, asked)
