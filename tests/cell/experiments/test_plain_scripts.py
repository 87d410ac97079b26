"""The plain scripts beside the lab: they count on their own, and take turns with the lab's rounds in one cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cell.claims.estimates import median
from lab.cell.experiments import gil
from lab.cell.experiments._internal import plain_scripts
from tests.support import cells


@pytest.mark.measures
@pytest.mark.parametrize("target", [plain_scripts.count, plain_scripts.finish])
def test_processes_on_one_cpu_gain_nothing(target: plain_scripts.Target) -> None:
    cpu = cells.CPUS[0]
    tries: list[float] = []
    # Beside a busy neighbour two processes get 2 of 3 turns where one gets 1 of 2. Two CPUs would give 2 every time.
    while len(tries) < 5 and not (tries and 0.6 < tries[-1] < 1.8):
        tries.append(median([plain_scripts.speed_up(target, "processes", (cpu, cpu)) for _ in range(3)]))
    assert 0.6 < tries[-1] < 1.8, tries


@pytest.mark.measures
def test_the_lab_and_each_script_take_turns(tmp_path: Path) -> None:
    ran = cells.run(cells.job([plain_scripts.NAME], seconds=1.5), tmp_path)
    samples = [(record.data["name"], record.data["values"]) for record in ran.records if record.kind == "sample"]
    names = [name for name, _ in samples]
    turn = ["round"] * plain_scripts.ROUNDS + ["plain"]
    assert names == turn * (len(names) // len(turn))
    for name, values in samples:
        assert set(plain_scripts.ARMS) <= set(values)
        if name == "plain":
            assert all(set(scripts) == {"count", "finish"} for scripts in values.values())
    rounds = [values for name, values in samples if name == "round"]
    assert all(blocks["one process"]["rate"] > 0 or blocks["one process"]["disturbed"] for blocks in rounds)
    assert any(blocks["one process"]["rate"] > 0 for blocks in rounds)
    assert {arm.name for arm in gil.arms_for(2)} >= set(rounds[0])
