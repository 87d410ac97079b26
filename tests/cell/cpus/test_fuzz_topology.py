"""Processors by chance: the lab agrees with a model of them about cores, packages and nodes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, seed, settings

from lab.cell.cpus.topology import read_topology
from tests.support.memory_files import MemoryFiles
from tests.support.processor_model import Processors, machines

#: The parts of the slow test run side by side.
_PARTS = range(4)
_EXAMPLES = 10_000 // len(_PARTS)


def members(text: str) -> frozenset[int]:
    """The CPUs of a list."""
    ends = [part.split("-") for part in text.split(",")]
    return frozenset(cpu for part in ends for cpu in range(int(part[0]), int(part[-1]) + 1))


def disagreements(machine: Processors) -> list[str]:
    """What the lab says that is not so."""
    assume(machine.online)
    seen = read_topology(MemoryFiles(machine.files()))
    pairs = {
        "on line": (members(seen["online"]), frozenset(thread.cpu for thread in machine.online)),
        "cores": ({members(core) for core in seen["cores"]}, machine.cores()),
        "packages": ({members(package) for package in seen["packages"].values()}, machine.packages()),
        "nodes": ({int(node): members(cpus) for node, cpus in seen["nodes"].items()}, machine.nodes()),
    }
    return [f"{name}: the lab says {lab}, right is {model}" for name, (lab, model) in pairs.items() if lab != model]


@settings(max_examples=200, derandomize=True, database=None)
@given(machines())
def test_two_hundred_machines_are_read_as_they_are(machine: Processors) -> None:
    assert disagreements(machine) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", _PARTS)
def test_ten_thousand_machines_are_read_as_they_are(part: int) -> None:
    @seed(part)
    @settings(max_examples=_EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(machines())
    def run(machine: Processors) -> None:
        assert disagreements(machine) == []

    run()
