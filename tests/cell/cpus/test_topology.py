"""What is read of a machine from its kernel's files, however old, odd or broken they are."""

from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.cell.cpus import cpulist
from lab.cell.cpus import topology as reader
from lab.cell.cpus.sysfs import listed, masked
from lab.cell.worker.record_writer import LONGEST_RECORD, Channel
from lab.cell.worker.supervisor import describe
from lab.engines.probing import machine_from
from lab.errors import UsageError
from lab.model.topology import flat, from_reading, from_stored
from lab.running import host
from tests.support import scripts
from tests.support.machines import Core, Machine, build, cores, files, in_memory, machine, mask, topology_of
from tests.support.memory_files import MemoryFiles
from tests.support.paths import ROOT

#: Where real machines' trees lie, beside the repository; see the README there. They are no part of the project.
REAL = Path(os.environ.get("MULTICORE_LAB_TOPOLOGIES") or ROOT.parent / "shared" / "topologies")

P = {"max_khz": 5000000, "base_khz": 1900000}
E = {"max_khz": 3900000, "base_khz": 1400000}

HYBRID = machine(cores(6, 2, **P), cores(8, first=12, **E))
UNITS = machine(
    cores(6, 2, unit="cpu_core", **P),
    cores(8, first=12, unit="cpu_atom", **E),
    cores(2, first=20, unit="cpu_atom", cache=None, max_khz=2500000),
)
PHONE = machine(
    cores(3, capacity=280, midr="0x00000000411fd461", node=None),
    cores(2, first=3, capacity=855, midr="0x00000000411fd4d0", node=None),
    cores(2, first=5, capacity=855, midr="0x00000000412fd470", node=None),
    cores(1, first=7, capacity=1024, midr="0x00000000411fd4e0", node=None),
)


def reading_of(made: Machine, root: Path) -> dict[str, Any]:
    return reader.read_topology(str(build(made, root)))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(cores(4, 2), ["0-1", "2-3", "4-5", "6-7"], id="neighbours"),
        pytest.param(cores(4, 2, apart=4), ["0,4", "1,5", "2,6", "3,7"], id="halves"),
        pytest.param(cores(2, 8), ["0-7", "8-15"], id="eight threads a core"),
        pytest.param(cores(3, first=5), ["5", "6", "7"], id="ids that do not begin at 0"),
        pytest.param([Core(cpus=(2, 40)), Core(cpus=(7, 99), number=1)], ["2,40", "7,99"], id="gaps"),
        pytest.param(cores(1), ["0"], id="a single CPU"),
    ],
)
@pytest.mark.parametrize("masks", [False, True], ids=["lists", "masks"])
def test_cores_are_told_by_lists_and_by_masks_alike(
    made: list[Core], expected: list[str], masks: bool, tmp_path: Path
) -> None:
    assert reading_of(machine(made, masks=masks), tmp_path)["cores"] == expected


def test_lists_and_masks_of_a_machine_with_everything_say_the_same(tmp_path: Path) -> None:
    groups = [cores(4, 2, first=8 * node, package=node // 2, node=node, cache=node) for node in range(8)]
    as_lists = reading_of(machine(*groups, offline=(9, 30, 31)), tmp_path / "lists")
    as_masks = reading_of(machine(*groups, offline=(9, 30, 31), masks=True), tmp_path / "masks")
    assert as_lists == as_masks
    assert as_lists["offline"] == "9,30-31"
    assert as_lists["packages"] == {"0": "0-8,10-15", "1": "16-29", "2": "32-47", "3": "48-63"}
    assert as_lists["nodes"]["1"] == "8,10-15"
    assert as_lists["caches"][3] == [3, "24-29"]
    assert "8" in as_lists["cores"]  # its sibling is off line


@pytest.mark.parametrize("broken", ["", "(null)", "2-3"])
def test_what_one_thread_says_of_its_core_and_package_holds_for_the_others(broken: str, tmp_path: Path) -> None:
    tree = files(machine(cores(2, 2), cores(2, 2, first=4, package=1)))
    for cpu in range(8):
        tree[f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"] = "-1"
        tree[f"sys/devices/system/cpu/cpu{cpu}/topology/core_siblings_list"] = broken if cpu % 4 < 2 else ""
    for cpu in (3, 7):
        tree[f"sys/devices/system/cpu/cpu{cpu}/topology/core_siblings_list"] = "0-3" if cpu == 3 else "4-7"
    for cpu in (0, 4):
        tree[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = broken
    build(machine([], extra=tree), tmp_path)
    seen = reader.read_topology(str(tmp_path))
    assert seen["cores"] == ["0-1", "2-3", "4-5", "6-7"]
    assert list(seen["packages"].values()) == ["0-3", "4-7"]


def test_a_core_number_that_each_node_of_a_package_counts_anew_makes_no_siblings(tmp_path: Path) -> None:
    groups = [cores(4, first=4 * node, package=node // 2, node=node, cache=node) for node in range(4)]
    assert len(reading_of(machine(*groups), tmp_path)["cores"]) == 16


def test_without_files_of_siblings_package_and_core_number_tell_a_core(tmp_path: Path) -> None:
    tree = {
        name: text
        for name, text in files(machine(cores(2, 2, package=1), cores(2, 2, first=4, package=3))).items()
        if "siblings" not in name
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert reader.read_topology(str(tmp_path))["cores"] == ["0-1", "2-3", "4-5", "6-7"]


@pytest.mark.parametrize(("siblings", "expected"), [("2", ["0", "1"]), ("4", ["0-1"])], ids=["denied", "not denied"])
def test_cpuinfo_alone_makes_siblings_unless_it_denies_them(siblings: str, expected: list[str], tmp_path: Path) -> None:
    lines = f"physical id : 0\nsiblings : {siblings}\ncore id : 0\ncpu cores : 2\nmodel name :  An   Old One\n"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor : 0\n{lines}\nprocessor : 1\n{lines}\n")
    seen = reader.read_topology(str(tmp_path))
    assert (seen["online"], seen["cores"], seen["model"]) == ("0-1", expected, "An Old One")


@pytest.mark.parametrize(
    ("text", "online", "model"),
    [
        pytest.param(
            "vendor_id : IBM/S390\nprocessor 0: version = FF\nprocessor 3: version = FF\n", "0,3", "IBM/S390", id="s390"
        ),
        pytest.param(
            "cpu\t\t: UltraSparc\nState:\nCPU0:\t\tonline\nCPU9:\t\tonline\n", "0,9", "UltraSparc", id="SPARC"
        ),
        pytest.param("processor\t: 0\ncpu\t: POWER9\n\nprocessor\t: 8\ncpu\t: POWER9\n", "0,8", "POWER9", id="POWER"),
        pytest.param("nothing of the kind\n", "", "", id="noise"),
    ],
)
def test_cpuinfo_of_other_architectures_names_the_cpus(text: str, online: str, model: str, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    seen = reader.read_topology(str(tmp_path))
    assert (seen["online"], seen["model"]) == (online, model)


def test_the_highest_level_is_the_last_cache_whatever_its_index(tmp_path: Path) -> None:
    made = machine(cores(4, cache=0), cores(4, first=4, cache=1))
    assert reading_of(made, tmp_path)["caches"] == [[3, "0-3"], [3, "4-7"]]


def test_an_instruction_cache_is_nobodys_last_level(tmp_path: Path) -> None:
    extra = {
        "sys/devices/system/cpu/cpu0/cache/index9/level": "4",
        "sys/devices/system/cpu/cpu0/cache/index9/type": "Instruction",
        "sys/devices/system/cpu/cpu0/cache/index9/shared_cpu_list": "0-1",
    }
    assert reading_of(machine(cores(2), extra=extra), tmp_path)["caches"] == [[3, "0-1"]]


def test_a_node_with_memory_only_is_left_out(tmp_path: Path) -> None:
    made = machine(cores(2, node=0), cores(2, first=2, node=4), extra={"sys/devices/system/node/node2/cpulist": ""})
    assert reading_of(made, tmp_path)["nodes"] == {"0": "0-1", "4": "2-3"}


@pytest.mark.parametrize(
    ("has_memory", "allowed", "forbidden", "without"),
    [
        pytest.param("0", "0", (), (1,), id="the kernel allows what there is"),
        pytest.param("0-1", "0", (1,), (), id="memory that is there and forbidden"),
        pytest.param("0,7", "", (), (1,), id="nothing is known of what is allowed"),
        pytest.param("(null)", "0", (1,), (), id="nothing is known of what is there"),
    ],
)
def test_memory_that_a_node_does_not_have_is_not_forbidden(
    has_memory: str, allowed: str, forbidden: tuple[int, ...], without: tuple[int, ...]
) -> None:
    extra = {
        "sys/devices/system/node/has_memory": has_memory,
        "proc/self/status": f"Mems_allowed_list:\t{allowed}\n",
    }
    topology = topology_of(machine(cores(2), cores(2, first=2, node=1), extra=extra))
    assert (topology.forbidden_memory, topology.without_memory) == (forbidden, without)


def test_a_cpus_own_link_tells_its_node_where_the_nodes_do_not(tmp_path: Path) -> None:
    build(machine(cores(2, node=None)), tmp_path)
    for cpu, node in ((0, 1), (1, 3)):
        (tmp_path / f"sys/devices/system/cpu/cpu{cpu}/node{node}").mkdir()
    assert reader.read_topology(str(tmp_path))["nodes"] == {"1": "0", "3": "1"}


def test_without_nodes_caches_or_frequencies_the_cores_are_all_alike() -> None:
    topology = topology_of(machine(cores(4, 2, node=None, cache=None)))
    assert (len(topology.cores), topology.smt, topology.packages, topology.nodes) == (4, True, (0,), ())
    assert [kind.name for kind in topology.kinds] == [""]


def kinds(made: Machine, root: Path) -> list[tuple[str, str]]:
    return [(kind["name"], kind["cpus"]) for kind in reading_of(made, root)["kinds"]]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(HYBRID, [("performance", "0-11"), ("efficiency", "12-19")], id="by frequency"),
        pytest.param(
            UNITS,
            [("performance", "0-11"), ("efficiency", "12-19"), ("low-power", "20-21")],
            id="by unit, low power too",
        ),
        pytest.param(
            PHONE,
            [("performance", "7"), ("middle 1", "3-4"), ("middle 2", "5-6"), ("efficiency", "0-2")],
            id="by capacity and part",
        ),
        pytest.param(
            machine(cores(2, max_khz=5000000), cores(1, first=2, max_khz=5200000), cores(1, first=3, max_khz=5400000)),
            [("", "0-3")],
            id="turbo bins",
        ),
        pytest.param(
            machine(*(cores(1, first=cpu, max_khz=4000000 + 100000 * cpu) for cpu in range(16))),
            [("", "0-15")],
            id="preferred cores, each a little faster than the next",
        ),
        pytest.param(
            machine(
                cores(2, unit="cpu_core", max_khz=4800000),
                cores(2, first=2, unit="cpu_core", max_khz=5700000),
                cores(4, first=4, unit="cpu_atom", max_khz=4300000),
            ),
            [("performance", "0-3"), ("efficiency", "4-7")],
            id="turbo bins further apart than the kinds",
        ),
        pytest.param(
            machine(cores(4, base_khz=2800000, max_khz=3600000), cores(4, first=4, base_khz=2100000, max_khz=3600000)),
            [("", "0-7")],
            id="a higher base frequency for some",
        ),
        pytest.param(machine(cores(3, 2), cores(3, first=6, package=1)), [("", "0-8")], id="one package without SMT"),
        pytest.param(machine(cores(3, 2), offline=(1,)), [("", "0,2-5")], id="a sibling off line"),
        pytest.param(
            machine(cores(2, 2, l1="48K"), cores(4, first=4, l1="32K")),
            [("performance", "0-3"), ("efficiency", "4-7")],
            id="by first-level caches alone",
        ),
        pytest.param(
            machine(cores(2, midr="0x411fd0c0"), cores(2, first=2, midr="0x413fd0c1")), [("", "0-3")], id="revisions"
        ),
        pytest.param(
            machine(cores(2, capacity=1024), cores(2, first=2, capacity=978)), [("", "0-3")], id="capacity bins"
        ),
    ],
)
def test_kinds_of_core_are_what_the_kernel_says_first_and_frequencies_last(
    made: Machine, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    assert kinds(made, tmp_path) == expected


@pytest.mark.parametrize(
    ("extra", "allowed"),
    [
        pytest.param({}, "0-7", id="no word of it"),
        pytest.param({"proc/self/status": "Name:\tcat\nCpus_allowed_list:\t2-3\n"}, "2-3", id="affinity"),
        pytest.param(
            {
                "proc/self/cpuset": "/a/b",
                "proc/mounts": "none /cg cgroup2 rw 0 0",
                "cg/a/b/cpuset.cpus.effective": "0-5",
            },
            "0-5",
            id="a control group of version 2, nested",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "3:cpuset:/a",
                "proc/mounts": "none /dev/cpuset cpuset rw 0 0",
                "dev/cpuset/a/cpus": "1,9",
            },
            "1",
            id="a CPU set of old, with a CPU that is not there",
        ),
        pytest.param({"proc/self/status": "Cpus_allowed_list:\t(null)\n"}, "0-7", id="noise"),
    ],
)
def test_what_another_machines_process_may_use_is_what_its_tree_says(
    extra: dict[str, str], allowed: str, tmp_path: Path
) -> None:
    build(machine(cores(8), extra=extra), tmp_path)
    assert cpulist.render(host.read_topology(tmp_path).allowed) == allowed


@pytest.mark.parametrize(
    ("kind", "allowed", "isolated"),
    [
        pytest.param("isolated", "0-3", "0-3,7", id="a partition that is not balanced, and isolcpus"),
        pytest.param("isolated", "2", "7", id="one CPU, where there is nothing to balance"),
        pytest.param("root", "0-3", "7", id="a partition that is balanced"),
    ],
)
def test_where_the_control_group_is_not_balanced_all_allowed_cpus_are_isolated(
    kind: str, allowed: str, isolated: str
) -> None:
    extra = {
        "proc/self/status": f"Cpus_allowed_list:\t{allowed}\n",
        "proc/self/cgroup": "0::/a",
        "proc/mounts": "none /cg cgroup2 rw 0 0",
        "cg/a/cpuset.cpus.partition": kind,
    }
    assert cpulist.render(topology_of(machine(cores(8), isolated=(7,), extra=extra)).isolated) == isolated


@pytest.mark.parametrize(
    "ours",
    [
        pytest.param("2,5,9,11", id="single CPUs"),
        pytest.param("1-2,9-10", id="whole cores"),
        pytest.param("0-3", id="the first thread of each of four cores"),
    ],
)
def test_a_list_that_names_only_a_containers_cpus_does_not_switch_off_the_others(ours: str) -> None:
    made = machine(cores(8, 2, apart=8), offline=(15,))
    extra = {"sys/devices/system/cpu/online": ours, "proc/self/status": f"Cpus_allowed_list:\t{ours}\n"}
    topology = topology_of(dataclasses.replace(made, extra=extra))
    assert (cpulist.render(topology.online), topology.offline) == ("0-14", (15,))
    assert cpulist.render(topology.allowed) == ours
    assert topology.foreign == {*range(15)} - {*topology.allowed}
    assert len(topology.cores) == 8


def test_here_our_own_affinity_is_what_we_may_use() -> None:
    assert host.read_topology().allowed == tuple(sorted(os.sched_getaffinity(0)))


def test_what_we_may_run_on_is_on_line_whatever_the_files_say() -> None:
    topology = from_reading(reader.read_topology(allowed=(0, 70000)))
    assert topology.allowed == (0, 70000)
    assert topology.cores[70000] == (70000,)


@pytest.mark.parametrize("name", ["missing", "file", "empty"])
def test_a_folder_without_a_machine_gets_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"--topology .*give the folder that holds a machine's sys and proc"):
        host.read_topology(tmp_path / name)


SMALL_HYBRID = machine(cores(2, 2, l1="48K", unit="cpu_core", **P), cores(2, first=4, l1="32K", unit="cpu_atom", **E))
GARBAGE = st.sampled_from(["", "(null)", "-1", "0-", "9" * 30, "ff,", "3-1", "zzz", "\x00", "0\n1\n"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_file_that_is_empty_or_garbage_makes_the_reader_fail(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = data.draw(st.sampled_from([PHONE, SMALL_HYBRID, machine(cores(4, 2), masks=True)]))
    root = tmp_path_factory.mktemp("tree")
    tree = files(made)
    for name in data.draw(st.lists(st.sampled_from(sorted(tree)), max_size=20)):
        tree[name] = data.draw(GARBAGE)
    build(machine(extra=tree), root)
    seen = reader.read_topology(str(root))
    topology = from_reading(seen)
    ids = [cpu.id for cpu in topology.cpus]
    assert ids == sorted({*ids})
    assert sorted(cpu for core in topology.cores.values() for cpu in core) == ids
    assert all(cpu.kind < max(len(topology.kinds), 1) for cpu in topology.cpus)


def test_a_large_machine_fits_into_records_and_comes_back_as_it_was(tmp_path: Path) -> None:
    groups = [
        cores(8, 2, first=8 * cache, apart=512, package=cache // 32, node=cache // 16, cache=cache)
        for cache in range(64)
    ]
    seen = reader.read_topology(in_memory(machine(*groups)))
    path = tmp_path / "records"
    with path.open("wb") as stream:
        channel = Channel(stream.fileno(), "s", "probe")
        channel.emit("start", {"python": scripts.python(), "proof": scripts.proof(range(1024), 1024)})
        describe(channel, seen)
        channel.end({"proof": {}, "stopped": False})
    lines = path.read_bytes().splitlines()
    assert max(map(len, lines)) < LONGEST_RECORD
    assert len(lines) > 3
    topology = machine_from("docker", path.read_bytes(), None, {}).topology
    assert topology == from_reading(json.loads(json.dumps(seen)))
    assert (len(topology.cpus), len(topology.cores), len(topology.nodes), len(topology.cache_levels)) == (
        1024,
        512,
        4,
        64,
    )
    assert topology.cores[511] == (511, 1023)


#: Archive -> cores, packages, nodes, last-level caches, kinds, CPUs off line, CPUs that may be used.
REAL_MACHINES = {
    "16em64t-4s2c2t-offlines.tar.bz2": (7, 4, 1, 4, 1, 4, 12),
    "20em64t-hybrid-1p6c2t+2ca4co1t.tar.bz2": (14, 1, 1, 1, 2, 0, 20),
    "32amd64-4s2n4c-cgroup2.tar.bz2": (32, 4, 8, 8, 1, 0, 6),
    "arm-A510-A710-A715-X3.tar.gz": (8, 3, 0, 1, 4, 0, 8),  # it has no nodes
    "x86_64-64cpu-linux6.2.tar.gz": (4, 1, 1, 1, 1, 0, 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL_MACHINES)
def test_real_machines_are_read_as_they_are(name: str, tmp_path: Path) -> None:
    if not (REAL / name).is_file():
        pytest.skip(f"{REAL / name} is not there")
    with tarfile.open(REAL / name) as archive:
        archive.extractall(tmp_path, filter="tar")
    (root,) = tmp_path.iterdir()
    topology = host.read_topology(root)
    counts = (
        len(topology.cores),
        len(topology.packages),
        len(topology.nodes),
        len(topology.cache_levels),
        len(topology.kinds),
    )
    assert (*counts, len(topology.offline), len(topology.allowed)) == REAL_MACHINES[name]


def test_masks_are_read_as_they_are_written() -> None:
    assert masked(mask({0, 31, 32, 100})) == {0, 31, 32, 100}
    assert masked("ff") == {*range(8)}
    assert listed("0-2,5") == {0, 1, 2, 5}
    assert not listed("0-2;4") | masked("0x1") | masked("") | listed("(null)")


@pytest.mark.parametrize("cpus", [1, 2, 16])
def test_a_topology_survives_being_stored(cpus: int) -> None:
    topology = flat(range(cpus))
    assert from_stored(json.loads(json.dumps(dataclasses.asdict(topology)))) == topology


@pytest.mark.parametrize(
    ("cpuinfo", "is_virtual"),
    [
        (b"processor\t: 0\nflags\t\t: fpu hypervisor sse\n", True),
        (b"processor\t: 0\nflags\t\t: fpu sse\n", False),
        (b"processor\t: 0\nFeatures\t: fp asimd\n", None),  # ARM says nothing of it
    ],
)
def test_a_processor_may_say_that_it_is_virtual(cpuinfo: bytes, is_virtual: bool | None) -> None:
    files = MemoryFiles({b"proc/cpuinfo": cpuinfo, b"sys/devices/system/cpu/online": b"0\n"})
    assert from_reading(reader.read_topology(files)).is_virtual is is_virtual
