"""What planning costs: the time to read, choose and pack on large machines. Prints; asserts nothing.

    python benchmarks/plan.py

"plan" is what `lab plan` and `lab run` compute of a machine that has been read; "read" the files of a machine of that
size, below a temporary folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the machines are the tests'

from lab.cell.cpus import topology as reader
from lab.model import topology
from lab.planning import cells
from lab.planning.packing import Packer, WaitingCell, schedule
from lab.reports.tables import machine_map
from tests.support.machines import build, cores, machine

REPEATS = 7
SIZES = (1, 2, 4, 100, 300, 513, "all")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for count in (64, 256, 1024):
        took = {what: f"{seconds * 1e3:.1f} ms" for what, seconds in costs(count).items()}
        print(f"{count} CPUs: " + ", ".join(f"{what} {text}" for what, text in took.items()))


def costs(count: int) -> dict[str, float]:
    """What each step takes on a machine of that many CPUs, two to a core, in seconds."""
    half = count // 2
    groups = [
        cores(8, 2, first=place * 8, apart=half, package=place * 16 // half, node=place * 32 // half, cache=place)
        for place in range(half // 8)
    ]
    sizes = [size for size in SIZES if size == "all" or int(size) <= count]
    requests = [WaitingCell(name=f"{size}-{turn}", size=size) for size in (1, 2, 4, count) for turn in range(8)]
    with tempfile.TemporaryDirectory() as folder:
        root = str(build(machine(*groups), Path(folder)))
        reading = reader.read_topology(root)

        def read_back() -> topology.Topology:
            return topology.from_reading(reading)

        return {
            "read": fastest(lambda: reader.read_topology(root)),
            f"plan of {len(sizes)} cells": fastest(lambda: cells.plan(sizes, read_back())),
            "first of 32 cells to pack": fastest(lambda: Packer(read_back()).next({}, requests)),
            "packing of 32 cells": fastest(lambda: schedule(read_back(), requests)),
            "map": fastest(lambda: machine_map.draw_map(read_back())),
        }


def fastest(act: Callable[[], object]) -> float:
    """The least of some runs, in seconds: other work on the machine only ever adds."""
    best = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - begun)
    return best


if __name__ == "__main__":
    main()
