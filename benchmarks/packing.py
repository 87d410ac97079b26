"""How near packing comes to the shortest possible plan, on simulated machines. Prints; asserts nothing.

    python benchmarks/packing.py

Cells of 1, 2, 4 and all CPUs, eight of each; first all equally long, then of random lengths (the worst of 50 draws).
The bound is that of `lab.planning.packing.lower_bound`, which no schedule without shared cores can beat.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the machines are the tests'

from lab.model.topology import Topology
from lab.planning.packing import WaitingCell, lower_bound, makespan, schedule
from tests.support.machines import simulated

DRAWS = 50


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for cpus in (8, 16, 64, 128):
        for threads in (1, 2):
            topology = simulated(cpus // threads, threads=threads, nodes=max(1, cpus // 32))
            equal = ratio(topology, cpus, lambda: 1.0)
            drawn = random.Random(1)
            worst = max(ratio(topology, cpus, functools.partial(drawn.uniform, 0.5, 1.5)) for _ in range(DRAWS))
            what = f"{cpus} CPUs on {cpus // threads} cores"
            print(f"{what}: makespan {equal:.3f} of the lower bound; with lengths 1 to 3 apart at worst {worst:.3f}")


def ratio(topology: Topology, cpus: int, seconds: Callable[[], float]) -> float:
    """Makespan over lower bound of one plan, whose cells take as long as ``seconds()`` says."""
    asked = [
        WaitingCell(name=f"{size}-{copy}", size=size, seconds=seconds())
        for size in (1, 2, 4, cpus)
        for copy in range(8)
    ]
    return makespan(schedule(topology, asked)) / lower_bound(topology, asked)


if __name__ == "__main__":
    main()
