"""Which CPUs a cell gets on machines of every shape, and what it says of them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cell.cpus import cpulist
from lab.model.topology import CoreKind, Cpu, Topology
from lab.planning import placement
from tests.cell.cpus.test_topology import HYBRID, PHONE, UNITS
from tests.support.machines import Machine, cores, machine, simulated, topology_of

#: Three cores in one package, five in the other.
THREE_AND_FIVE = machine(cores(3, package=0, cache=0), cores(5, first=3, package=1, node=1, cache=1))
#: One package with two threads a core, one with one.
HALF_SMT = machine(cores(4, 2, package=0, cache=0), cores(4, first=8, package=1, node=1, cache=1))
#: Two packages, one node each, with four caches of four cores each, and two threads a core.
CHIPLETS = machine(
    *(cores(4, 2, first=4 * cache, apart=32, package=cache // 4, node=cache // 4, cache=cache) for cache in range(8))
)
#: Two NUMA nodes in each package, whose cores all share one cache (sub-NUMA clustering).
CLUSTERED = machine(*(cores(4, first=4 * node, package=node // 2, node=node, cache=node // 2) for node in range(4)))
LONE_THREADS = machine(cores(4, 8), offline=tuple(cpu for cpu in range(32) if cpu % 8 > 1))
ISOLATED = machine(cores(4, 2, apart=4), isolated=(2, 3, 6, 7))


ISOLATED_BY = "isolcpus, or a CPU set that is not balanced"
STATUS = "proc/self/status"
HAS_MEMORY = "sys/devices/system/node/has_memory"
HALF_OURS = machine(cores(4, 2, apart=4), extra={STATUS: "Cpus_allowed_list:\t0-3,6\n"})
HALF_SHOWN = replace(HALF_OURS, extra={**(HALF_OURS.extra or {}), "sys/devices/system/cpu/online": "0-3,6"})


@pytest.mark.parametrize(
    ("made", "size", "smt", "chosen"),
    [
        pytest.param(machine(cores(1)), 1, False, "0", id="a single CPU"),
        pytest.param(machine(cores(4, 2)), 2, False, "0,2", id="two cores, not two threads"),
        pytest.param(machine(cores(4, 2)), 2, True, "0-1", id="two threads when asked"),
        pytest.param(machine(cores(4, 2, apart=4)), 3, True, "0-1,4", id="a core and a half"),
        pytest.param(machine(cores(4, 2)), 5, False, "0-2,4,6", id="a sibling when nothing else is left"),
        pytest.param(machine(cores(2, first=3), cores(2, first=70, package=1, cache=1)), 3, False, "3-4,70", id="gaps"),
        pytest.param(THREE_AND_FIVE, 3, False, "0-2", id="3 + 5: the tighter package"),
        pytest.param(THREE_AND_FIVE, 4, False, "3-6", id="3 + 5: the only one with four"),
        pytest.param(THREE_AND_FIVE, 6, False, "0,3-7", id="3 + 5: the larger one whole"),
        pytest.param(THREE_AND_FIVE, 8, False, "0-7", id="3 + 5: all"),
        pytest.param(HALF_SMT, 4, False, "0,2,4,6", id="half SMT: a package"),
        pytest.param(HALF_SMT, 8, False, "0,2,4,6,8-11", id="half SMT: both before any sibling"),
        pytest.param(HALF_SMT, 9, False, "0-2,4,6,8-11", id="half SMT: then a sibling"),
        pytest.param(HALF_SMT, 4, True, "0-3", id="half SMT: siblings where there are any"),
        pytest.param(CHIPLETS, 4, False, "0-3", id="chiplets: one cache"),
        pytest.param(CHIPLETS, 6, False, "0-5", id="chiplets: two caches of one node"),
        pytest.param(CHIPLETS, 16, False, "0-15", id="chiplets: a node"),
        pytest.param(CHIPLETS, 18, False, "0-17", id="chiplets: as few nodes as can be"),
        pytest.param(CHIPLETS, 8, True, "0-3,32-35", id="chiplets: a cache with all threads"),
        pytest.param(CLUSTERED, 4, False, "0-3", id="clusters: a node"),
        pytest.param(CLUSTERED, 6, False, "0-5", id="clusters: two nodes of one package"),
        pytest.param(LONE_THREADS, 4, False, "0,8,16,24", id="most threads off line"),
        pytest.param(HYBRID, 6, False, "0,2,4,6,8,10", id="hybrid: performance cores"),
        pytest.param(HYBRID, 7, False, "12-18", id="hybrid: one kind, if the slower one"),
        pytest.param(HYBRID, 9, False, "0,2,4,6,8,10,12-14", id="hybrid: two kinds before siblings"),
        pytest.param(HYBRID, 15, False, "0-2,4,6,8,10,12-19", id="hybrid: siblings last"),
        pytest.param(HYBRID, 8, True, "0-7", id="hybrid: siblings of one kind when asked"),
        pytest.param(UNITS, 9, False, "0,2,4,6,8,10,12-14", id="low power: the two kinds nearest in speed"),
        pytest.param(PHONE, 1, False, "7", id="four kinds: the fastest"),
        pytest.param(PHONE, 2, False, "3-4", id="four kinds: the fastest that has two"),
        pytest.param(PHONE, 3, False, "0-2", id="four kinds: the only one that has three"),
        pytest.param(PHONE, 4, False, "3-6", id="four kinds: two of the same speed"),
        pytest.param(PHONE, 5, False, "3-7", id="four kinds: no slow core while there are faster ones"),
        pytest.param(ISOLATED, 2, False, "0-1", id="isolated: others first"),
        pytest.param(ISOLATED, 4, False, "0-1,4-5", id="isolated: siblings before them"),
        pytest.param(ISOLATED, 5, False, "0-2,4-5", id="isolated: when nothing else is left"),
    ],
)
def test_a_cell_gets(made: Machine, size: int, smt: bool, chosen: str) -> None:
    choice = placement.choose(topology_of(made), size, smt=smt)
    assert choice is not None
    assert cpulist.render(choice.cpus) == chosen


def test_a_node_counts_for_more_than_a_cache_and_a_full_one_is_left_for_another() -> None:
    topology = simulated(16, nodes=2, per_cache=4)
    free = [2, 3, 6, 7, *range(8, 16)]
    choice = placement.choose(topology, 4, free=free)
    assert choice is not None
    assert choice.cpus == (8, 9, 10, 11)
    roomy = placement.choose(topology, 1, free=range(1, 16), spread=True)
    tight = placement.choose(topology, 1, free=range(1, 16))
    assert roomy is not None
    assert tight is not None
    assert (roomy.cpus, tight.cpus) == ((8,), (1,))


@pytest.mark.parametrize("size", [0, -1, 9])
def test_a_size_that_is_not_there_is_no_choice(size: int) -> None:
    assert placement.choose(simulated(8), size) is None


@pytest.mark.parametrize(
    ("made", "size", "notes"),
    [
        pytest.param(machine(cores(4, 2)), 4, [], id="nothing special"),
        pytest.param(machine(cores(1, 2)), 2, ["SMT siblings share a core: CPUs 0-1"], id="siblings"),
        pytest.param(
            machine(cores(6, 2, apart=6)),
            12,
            ["SMT siblings share 6 cores: CPUs 0,6; 1,7; 2,8; 3,9 and 2 more"],
            id="many siblings",
        ),
        pytest.param(HYBRID, 10, ["cores of 2 kinds: performance 0,2,4,6,8,10, efficiency 12-15"], id="kinds"),
        pytest.param(THREE_AND_FIVE, 6, ["spans 2 NUMA nodes: 0-1"], id="nodes"),
        pytest.param(CHIPLETS, 6, ["spans 2 last-level caches"], id="caches"),
        pytest.param(
            machine(cores(2, node=None), cores(2, first=2, package=1, node=None, cache=1)),
            3,
            ["spans 2 packages: 0-1"],
            id="packages",
        ),
        pytest.param(
            machine(cores(2), isolated=(1,)),
            2,
            [f"isolated from the scheduler ({ISOLATED_BY}): CPUs 1; it moves nothing to them"],
            id="isolated",
        ),
        pytest.param(
            machine(cores(2, node=0), cores(2, first=2, node=1), extra={STATUS: "Mems_allowed_list:\t1\n"}),
            3,
            [
                "spans 2 NUMA nodes: 0-1",
                "the memory of NUMA node 0 is forbidden here (cpuset.mems): CPUs there use that of others",
            ],
            id="memory that is forbidden",
        ),
        pytest.param(
            machine(
                *(cores(2, first=2 * node, node=node) for node in range(3)),
                extra={STATUS: "Mems_allowed_list:\t0\n", HAS_MEMORY: "0,2"},
            ),
            6,
            [
                "spans 3 NUMA nodes: 0-2",
                "the memory of NUMA node 2 is forbidden here (cpuset.mems): CPUs there use that of others",
                "NUMA node 1 has no memory: CPUs there use that of others",
            ],
            id="memory that is forbidden, and none",
        ),
        pytest.param(
            machine(cores(2, node=1), cores(1, first=2, node=None)),
            3,
            ["the kernel names no NUMA node of CPU 2"],
            id="a CPU without a node",
        ),
        pytest.param(
            machine(cores(3, 2, apart=3), extra={STATUS: "Cpus_allowed_list:\t0-2\n"}),
            3,
            ["shares 3 cores with CPUs 3-5, which are not ours"],
            id="cores that others use too",
        ),
        pytest.param(
            HALF_SHOWN,
            2,
            ["shares a core with CPU 4, which is not ours"],
            id="a core that others use too, where lxcfs shows our CPUs only",
        ),
    ],
)
def test_a_cell_says_what_is_special_about_its_cpus(made: Machine, size: int, notes: list[str]) -> None:
    topology = topology_of(made)
    choice = placement.choose(topology, size)
    assert choice is not None
    assert list(placement.notes(topology, choice)) == notes


@pytest.mark.parametrize(
    ("made", "size", "smt", "chosen"),
    [
        pytest.param(
            machine(cores(2, node=0), cores(2, first=2, node=1), extra={STATUS: "Mems_allowed_list:\t1\n"}),
            2,
            False,
            "2-3",
            id="a node whose memory is forbidden comes last",
        ),
        pytest.param(
            machine(cores(2, node=0), cores(2, first=2, node=1), extra={HAS_MEMORY: "1"}),
            2,
            False,
            "2-3",
            id="a node without memory comes last",
        ),
        pytest.param(
            machine(cores(2, node=0), cores(2, first=2, node=1), extra={STATUS: "Mems_allowed_list:\t0-7\n"}),
            2,
            False,
            "0-1",
            id="nodes that are not there may be allowed",
        ),
        pytest.param(HALF_OURS, 1, False, "2", id="a whole core first"),
        pytest.param(HALF_SHOWN, 1, False, "2", id="a whole core first, where lxcfs shows our CPUs only"),
        pytest.param(HALF_OURS, 2, False, "0,2", id="a core for each CPU, whole cores first"),
        pytest.param(HALF_OURS, 2, True, "2,6", id="whole cores first, thread by thread"),
        pytest.param(HALF_OURS, 3, True, "0,2,6", id="then the others"),
    ],
)
def test_cpus_that_others_disturb_come_after_the_rest(made: Machine, size: int, smt: bool, chosen: str) -> None:
    choice = placement.choose(topology_of(made), size, smt=smt)
    assert choice is not None
    assert cpulist.render(choice.cpus) == chosen


@st.composite
def topologies(draw: st.DrawFn, most: int = 256) -> Topology:
    """Any machine of 1 to ``most`` CPUs: ids with gaps, one to eight threads a core, several kinds, odd groups, CPUs
    that are isolated or not ours."""
    count = draw(st.integers(1, most))
    gaps = draw(st.booleans())
    ids = (
        sorted(draw(st.sets(st.integers(0, 4 * most), min_size=count, max_size=count))) if gaps else list(range(count))
    )
    threads = draw(st.sampled_from([1, 2, 4, 8]))
    total = -(-count // threads)
    apart = draw(st.booleans())
    kinds = draw(st.integers(1, 4))
    per_kind, per_node, per_cache = (draw(st.integers(1, max(total, 1))) for _ in range(3))
    places = [(place % total if apart else place // threads) for place in range(count)]
    first: dict[int, int] = {}
    for place, cpu_id in zip(places, ids, strict=True):
        first.setdefault(place, cpu_id)
    made = tuple(
        Cpu(
            id=cpu_id,
            core=first[place],
            package=place // (2 * per_node),
            node=place // per_node,
            cache=place // per_cache,
            kind=min(place // per_kind, kinds - 1),
        )
        for place, cpu_id in zip(places, ids, strict=True)
    )
    allowed = draw(st.sets(st.sampled_from(ids), min_size=1)) if draw(st.booleans()) else ids
    return Topology(
        cpus=made,
        kinds=tuple(CoreKind(name=f"kind {kind}", speed=draw(st.integers(0, 3))) for kind in range(kinds)),
        cache_levels=(3,) * (total + 1),
        isolated=tuple(sorted(draw(st.sets(st.sampled_from(ids), max_size=count // 4)))),
        allowed=tuple(sorted(allowed)),
    )


@given(topologies(), st.integers(1, 256), st.booleans(), st.booleans())
def test_on_any_machine_a_cell_gets_what_it_asks_for_and_siblings_and_isolated_cpus_last(
    topology: Topology, size: int, smt: bool, spread: bool
) -> None:
    choice = placement.choose(topology, size, smt=smt, spread=spread)
    if size > len(topology.allowed):
        assert choice is None
        return
    assert choice is not None
    assert choice == placement.choose(topology, size, smt=smt, spread=spread)
    assert len(choice.cpus) == size
    assert {*choice.cpus} <= {*topology.allowed}
    others = {*topology.allowed} - {*topology.isolated}
    assert len(choice.isolated) == max(0, size - len(others))
    here = {topology.by_id[cpu].core for cpu in others}
    whole = {core for core in here if {*topology.cores[core]} <= {*topology.allowed}}
    if size <= (sum(topology.by_id[cpu].core in whole for cpu in others) if smt else len(whole)):
        assert not choice.foreign
    if not smt and size <= len(here):
        assert not choice.siblings
        enough = whole if size <= len(whole) else here
        per_kind = [len({core for core in enough if topology.by_id[core].kind == kind}) for kind in range(4)]
        assert (len(choice.kinds) == 1) == (max(per_kind) >= size)


@given(topologies(), st.integers(1, 64))
def test_a_cell_that_fits_into_one_node_or_cache_stays_in_it(topology: Topology, size: int) -> None:
    choice = placement.choose(topology, size)
    if choice is None or choice.isolated or choice.siblings or choice.foreign or len(choice.kinds) > 1:
        return
    room: dict[tuple[int, ...], set[int]] = {}
    for cpu in {*topology.allowed} - {*topology.isolated}:
        if not topology.foreign.isdisjoint(topology.cores[topology.by_id[cpu].core]):
            continue  # such a core comes after whole ones, however close it is
        details = topology.by_id[cpu]
        if details.kind == choice.kinds[0]:
            room.setdefault((details.package, details.node, details.cache), set()).add(details.core)
    if max(map(len, room.values())) >= size:
        assert (len(choice.packages), len(choice.nodes), len(choice.caches)) == (1, 1, 1)


def test_a_choice_from_many_caches_takes_time_in_proportion_to_the_cpus() -> None:
    def seconds(cpus: int) -> float:
        """The least CPU time of some choices of three quarters of the CPUs, of which half are isolated."""
        topology = replace(simulated(cpus, per_cache=2), isolated=tuple(range(0, cpus, 2)))
        spent = []
        for _ in range(4):
            began = time.process_time()
            assert placement.choose(topology, cpus * 3 // 4)
            spent.append(time.process_time() - began)
        return min(spent)

    assert seconds(8192) < 64 * seconds(512)  # 16 times as many CPUs
