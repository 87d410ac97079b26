"""The map of a machine: right, and small whatever the machine."""

from __future__ import annotations

from hypothesis import given

from lab.model.topology import Topology
from lab.reports.tables import machine_map
from tests.cell.cpus.test_topology import PHONE, UNITS
from tests.planning.test_placement import topologies
from tests.support.machines import cores, machine, simulated, topology_of


def test_cpus_in_parentheses_share_a_core_and_kinds_are_named() -> None:
    assert machine_map.draw_map(topology_of(UNITS)) == [
        "22 CPUs, 16 cores, 1 package, 1 NUMA node, 1 last-level cache",
        "  package 0, node 0, L3: performance (0,1) (2,3) (4,5) (6,7) (8,9) (10,11);",
        "    efficiency 12-19",
        "  package 0, node 0: low-power 20-21",
    ]


def test_what_the_kernel_does_not_tell_is_said() -> None:
    assert machine_map.draw_map(topology_of(PHONE))[0].endswith("NUMA nodes unknown, 1 last-level cache")
    assert machine_map.draw_map(topology_of(machine(cores(2, cache=None))))[0].endswith("caches unknown")


def test_cpus_that_are_not_for_everyone_are_marked() -> None:
    made = machine(cores(4, 2), offline=(3,), isolated=(6, 7))
    drawn = machine_map.draw_map(topology_of(made))
    assert drawn[1:] == [
        "  package 0, node 0, L3: (0,1) 2 (4,5) (6,7)",
        "  offline: 3",
        "  isolated from the scheduler: 6-7",
    ]


def test_a_node_without_memory_is_not_said_to_be_forbidden() -> None:
    extra = {"sys/devices/system/node/has_memory": "0", "proc/self/status": "Mems_allowed_list:\t0\n"}
    made = machine(cores(2), cores(2, first=2, node=1), extra=extra)
    assert machine_map.draw_map(topology_of(made))[3:] == ["  in a NUMA node without memory: 2-3"]


def test_a_thousand_cpus_take_less_than_a_screen() -> None:
    drawn = machine_map.draw_map(simulated(512, threads=2, packages=2, nodes=8))
    assert drawn[0] == "1024 CPUs, 512 cores, 2 packages, 8 NUMA nodes, 64 last-level caches"
    assert drawn[1] == "  package 0, node 0, L3: (0,512) (1,513) (2,514) (3,515) (4,516) (5,517) (6,518)"
    assert "  … 53 more such groups …" in drawn
    assert len(drawn) < 30


@given(topologies())
def test_no_map_is_wider_than_a_terminal_or_longer_than_two_screens(topology: Topology) -> None:
    drawn = machine_map.draw_map(topology)
    assert max(map(len, drawn)) <= machine_map.WIDTH
    assert len(drawn) < 60


def test_a_core_stays_whole_where_nodes_cut_it() -> None:
    nodes = {f"sys/devices/system/node/node{node}/cpulist": f"{2 * node}-{2 * node + 1}" for node in (0, 1)}
    made = machine(cores(2, 2, apart=2, node=None, cache=None), extra=nodes)
    assert machine_map.draw_map(topology_of(made))[1:] == ["  package 0, nodes 0-1: (0,2) (1,3)"]
