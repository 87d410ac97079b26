"""What many machines cost: planning for a thousand nodes, and keeping what they report at the same time. Prints.

    python benchmarks/nodes.py [--nodes 1000] [--at-once 16]

Each node has 128 CPUs on 64 cores and 4 NUMA nodes, and gets cells of 1, 2, 4 and all CPUs. "plan" is what ``lab run``
computes of each node that has been read. "store" is what it does with the records: it checks each, numbers and hashes,
writes it, and seals the session; each node has a session of its own, as with ``--host`` and ``--engine slurm``. The
nodes are simulated by the fake engine, which hands over each cell's stream at once, so only the lab's own work counts.
The exit code is 1 if a record is lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the machines and the streams are the tests'

from lab.cell.cpus import topology as reader
from lab.engines.fake import Fake
from lab.model.cell import Cell, CellResult, Record
from lab.model.topology import from_reading
from lab.planning import cells as planner
from lab.planning.jobs import job_of
from lab.running import runner
from lab.sessions.folder import SessionFolder
from tests.support import scripts
from tests.support.machines import build, cores, machine

CPUS, SIZES = 128, (1, 2, 4, "all")
#: Each cell says as much as ``gil`` does in so many rounds.
ROUNDS = 20


class Silent:
    """Progress that nobody sees."""

    def cell_begins(self, cell: Cell) -> None:
        """A cell starts."""

    def record(self, record: Record) -> None:
        """A record came."""

    def cell_ends(self, result: CellResult) -> None:
        """A cell ended."""


class Never:
    """Nobody asks to stop."""

    requested = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000, metavar="N")
    parser.add_argument("--at-once", type=int, default=16, metavar="N", help="nodes that report at the same time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plans = planned(options.nodes, Path(folder))
        lost = stored(plans, options.at_once, Path(folder) / "sessions")
    sys.exit(lost > 0)


def planned(nodes: int, folder: Path) -> list[tuple[Cell, ...]]:
    """The cells of each node; prints how long the planning took."""
    groups = [cores(16, 2, first=16 * node, apart=CPUS // 2, node=node, cache=node) for node in range(4)]
    reading = reader.read_topology(str(build(machine(*groups), folder)))
    began, used = time.perf_counter(), time.process_time()
    plans = [planner.plan(SIZES, from_reading(reading)) for _ in range(nodes)]
    took, used = time.perf_counter() - began, time.process_time() - used
    print(f"plan of {nodes} nodes of {CPUS} CPUs, {len(plans[0])} cells each: {took:.2f} s ({used:.2f} s of CPU)")
    return plans


def stored(plans: list[tuple[Cell, ...]], at_once: int, parent: Path) -> int:
    """Keep what all nodes report; prints at which rate, and returns how many records are lost."""
    rounds = [message for _ in range(ROUNDS) for message in scripts.gil(2)]
    streams = {cell.id: scripts.stream(cell.id, cell.cpus, {"gil": rounds}, host_cpus=CPUS) for cell in plans[0]}
    records, size = (sum(map(measure, streams.values())) for measure in (lambda text: text.count(b"\n"), len))
    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(at_once) as pool:
        kept = sum(pool.map(lambda number: _report(number, plans[number], streams, parent), range(len(plans))))
    took, used = time.perf_counter() - began, time.process_time() - used
    total = records * len(plans)
    print(
        f"store of {total} records ({size * len(plans) / 1e6:.0f} MB), {at_once} nodes at a time: {took:.1f} s"
        f" ({used:.1f} s of CPU), {total / took:.0f} records/s; lost: {total - kept}"
    )
    return total - kept


def _report(number: int, cells: tuple[Cell, ...], streams: Mapping[str, bytes], parent: Path) -> int:
    """Run the cells of a node; returns how many records its session has."""
    name = f"node-{number}"
    with SessionFolder(parent, name) as folder:
        jobs = [job_of(name, cell, ("gil",), 10.0, 0.05) for cell in cells]
        engine = Fake(machine=scripts.machine(CPUS), cells=streams)
        runner.run(engine, jobs, folder, Silent(), Never())
        folder.seal()
        assert folder.failure is None, folder.failure
    return sum(path.read_bytes().count(b"\n") for path in (parent / name).glob("*.jsonl"))


if __name__ == "__main__":
    main()
