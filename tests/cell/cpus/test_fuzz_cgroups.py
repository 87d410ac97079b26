"""Control groups, namespaces and mounts by chance: the lab agrees with a model of the kernel."""

from __future__ import annotations

import math
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, given, seed, settings

from lab.cell.cpus.effective import EffectiveCpus, effective_cpus
from tests.support.kernel_model import State, files, truth, write
from tests.support.kernel_states import states
from tests.support.memory_files import MemoryFiles

#: The examples of a slow test; the parts run side by side.
_PARTS = range(4)
_EXAMPLES = 10_000 // len(_PARTS)


def disagreements(state: State, seen: EffectiveCpus) -> list[str]:
    """What the lab says that is not so."""
    right = truth(state)
    said = "\n".join(seen.contradictions)
    pairs = {
        "P": (seen.parallelism, right.parallelism),
        "R": (seen.rate, float(right.rate)),
        "quotas": ([limit.cpus for limit in seen.limits], [float(quota) for quota in right.quotas]),
        "version": (seen.cgroup, right.version),
        "unseen": ("its own limit cannot be seen" in said, right.unseen),
        "unseen CPU set": ("isolates its CPUs cannot be seen" in said, right.set_unseen),
        "throughput": (seen.throughput_workers, max(1, math.ceil(right.rate))),
        "latency": (seen.latency_workers, max(1, math.floor(right.rate))),
    }
    return [f"{name}: the lab says {lab}, right is {model}" for name, (lab, model) in pairs.items() if lab != model]


@settings(max_examples=200, derandomize=True, database=None)
@given(states())
def test_two_hundred_states_are_seen_as_they_are(state: State) -> None:
    root = tempfile.mkdtemp(prefix="kernel-")
    try:
        write(files(state), root)
        assert disagreements(state, effective_cpus(root)) == []
    finally:
        shutil.rmtree(root)


@pytest.mark.slow
@pytest.mark.parametrize("part", _PARTS)
def test_ten_thousand_states_are_seen_as_they_are(part: int) -> None:
    @seed(part)
    @settings(max_examples=_EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(states())
    def run(state: State) -> None:
        assert disagreements(state, effective_cpus(MemoryFiles(files(state)))) == []

    run()
