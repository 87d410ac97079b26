"""What plans, machines and sessions cost at several sizes, and whether this grows faster than the work. Prints.

    python benchmarks/size.py [plan] [machine] [session] [--records 1000000] [--session DIR]

- ``plan``: 10, 100, 300 and 1,000 cells on a machine of 1,024 CPUs: planned, packed side by side, run by the fake
  engine, and reported;
- ``machine``: the files of 8, 128, 1,024 and 8,192 CPUs: read, planned for, and drawn;
- ``session``: 1,000 records and ten times as many, up to ``--records``: written, read, judged, reported, compared,
  merged and verified. They are made of the records of a real session (``--session``), with numbers that differ by a
  percent.

Each step runs in a process of its own, so its seconds include the start of Python, and its memory is the peak. A step
that ends in "…" includes those above it. The exponent says how the cost grows with the size: 1 is as the work does. It
is that of a fit to what the larger sizes cost more than the smallest. The exit code is 1 if a cost grows faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from tabulate import tabulate

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import growth, large_sessions
from benchmarks.growth import ROOT, Cost
from lab.sessions import loading
from lab.text import units
from tests.support import machines

#: A real session of two cells with the default experiments.
SESSION = ROOT / "tests" / "data" / "stored" / "docker"

#: The CPUs of the machine that the cells are planned for.
MACHINE_CPUS = 1024

#: An exponent above this says that a cost grows faster than the work. The rest is what the measurement may be off by.
MOST = 1.2

Result = TypeVar("Result")

#: A step: its name, and what Python is started with.
Step = tuple[str, Sequence[str]]

_READ = "import sys; from lab.cell.cpus import topology as reader; reading = reader.read_topology(sys.argv[1])"
_PARSED = f"{_READ}; from lab.model.topology import from_reading; topology = from_reading(reading)"
_PLANNED = (
    f"{_PARSED}; from lab.planning import cells, packing; cells.plan((1, 2, 4, 'all'), topology);"
    " packing.schedule(topology, [packing.WaitingCell(name=str(n), size=2 ** (n % 4)) for n in range(32)])"
)
_DRAWN = f"{_PARSED}; from lab.reports.tables import machine_map; machine_map.draw_map(topology)"
_WRITTEN = "import sys; from benchmarks import large_sessions as sessions; sessions.write_streams(*sys.argv[1:])"
_LOADED = "import pathlib, sys; from lab.sessions import loading; folder = pathlib.Path(sys.argv[1])"
# As loading.load_session does; it reads and judges in one go.
_RECORDS = f"{_LOADED}; import gc; gc.disable(); kept = [loading.read_records(path) for path in folder.glob('*.jsonl')]"
_JUDGED = f"{_LOADED}; loading.load_session(folder)"


def of_plan(count: int, folder: Path) -> Iterator[Step]:
    """The steps for a plan of that many cells."""
    tree = _apart(write_machine, MACHINE_CPUS, folder / "tree")
    large = ",".join(str(MACHINE_CPUS * (place + 1) // (count + 1)) for place in range(count))
    quotas = ",".join(f"{0.01 + place / 1000:g}" for place in range(count // 5))
    plan = ["-m", "lab", "plan", "--topology", str(tree)]
    yield "planned: lab plan --format json", [*plan, "--cpus", large, "--format", "json"]
    yield "and packed: lab plan", [*plan, "--cpus", large]
    yield "the same, small cells with quotas", [*plan, "--cpus", "1,2,4,8,16", "--quota", quotas]
    streams = _apart(large_sessions.many_cells, count, folder / "streams")
    yield "run, judged and written", ["-c", _WRITTEN, str(streams), str(folder / "kept")]
    yield from _reported(next(folder.glob("kept/*/seal.json")).parent, folder)


def of_machine(count: int, folder: Path) -> Iterator[Step]:
    """The steps for a machine of that many CPUs."""
    tree = str(_apart(write_machine, count, folder / "tree"))
    yield "files read", ["-c", _READ, tree]
    yield "and parsed", ["-c", _PARSED, tree]
    yield "and planned, 32 cells packed", ["-c", _PLANNED, tree]
    yield "parsed and drawn", ["-c", _DRAWN, tree]
    yield "lab plan", ["-m", "lab", "plan", "--topology", tree, "--cpus", "1,2,4,all"]


def of_session(count: int, folder: Path, source: Path) -> Iterator[Step]:
    """The steps for a session of that many records."""
    streams = folder / "streams"
    _apart(large_sessions.multiply, source, streams, count)
    yield "judged and written", ["-c", _WRITTEN, str(streams), str(folder / "kept")]
    session = next(folder.glob("kept/*/seal.json")).parent
    yield "read", ["-c", _RECORDS, str(session)]
    yield "and judged", ["-c", _JUDGED, str(session)]
    yield from _reported(session, folder)
    yield "lab merge", ["-m", "lab", "merge", str(session), "--format", "json"]
    yield "lab verify", ["-m", "lab", "verify", str(session)]
    yield "lab compare, with itself", ["-m", "lab", "compare", str(session), str(session)]


def _reported(session: Path, folder: Path) -> Iterator[Step]:
    yield "lab report --terminal", ["-m", "lab", "report", str(session), "--terminal"]
    yield "lab report (a page)", ["-m", "lab", "report", str(session), "--output", str(folder / "page.html")]


def _apart(act: Callable[..., Result], *arguments: object) -> Result:
    """The result of a call in a process of its own: what is started from a large process counts as large."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(act, *arguments).result()


def write_machine(count: int, root: Path) -> Path:
    """Write the kernel's files of a machine: two CPUs to a core, eight cores to a cache, and 64 to a node."""
    half, size = count // 2, min(8, count // 2)
    groups = [
        machines.cores(size, 2, first=place * size, apart=half, package=place // 16, node=place // 8, cache=place)
        for place in range(half // size)
    ]
    return machines.build(machines.machine(*groups), root)


def table(sizes: Sequence[int], costs: dict[str, list[Cost]], unit: str) -> tuple[str, list[str]]:
    """The costs of the steps at these sizes as a Markdown table, and what grows faster than the work."""
    rows, faster = [], []
    for step, each in costs.items():
        exponents = {
            what: growth.exponent(sizes, [getattr(one, field) for one in each])
            for what, field in (("CPU time", "cpu"), ("memory", "memory"))
        }
        faster += [f"{step}: {what}" for what, value in exponents.items() if value and value > MOST]
        shown = ["-" if value is None else f"{value:.2f}" for value in exponents.values()]
        rows.append((step, *map(_shown, each), *shown))
    head = ("step", *(f"{size:,} {unit}" for size in sizes), "exponent of CPU time", "of memory")
    return tabulate(rows, head, tablefmt="github", disable_numparse=True), faster


def _shown(cost: Cost) -> str:
    return f"{cost.wall:.2f} s ({cost.cpu:.2f} s), {units.quantity(cost.memory, 'bytes')}"


def measured(steps: Callable[[int, Path], Iterator[Step]], sizes: Sequence[int]) -> dict[str, list[Cost]]:
    """What each step costs at each size."""
    costs: dict[str, list[Cost]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for name, arguments in steps(size, Path(folder)):
                costs.setdefault(name, []).append(growth.cost(arguments))
    return costs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="plan, machine, session (default: all)")
    parser.add_argument("--records", type=int, default=1_000_000, help="the largest session (default: 1000000)")
    parser.add_argument("--session", type=Path, default=SESSION, help="what its records are made of")
    options = parser.parse_args()
    source = loading.find_session(options.session)
    records = [10**power for power in range(3, 10) if 10**power <= options.records]
    parts: dict[str, tuple[Callable[[int, Path], Iterator[Step]], Sequence[int], str]] = {
        "plan": (of_plan, (10, 100, 300, 1000), "cells"),
        "machine": (of_machine, (8, 128, 1024, 8192), "CPUs"),
        "session": (partial(of_session, source=source), records, "records"),
    }
    if unknown := [part for part in options.parts if part not in parts]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(parts)}")
    faster = []
    for part in options.parts or parts:
        steps, sizes, unit = parts[part]
        text, too_fast = table(sizes, measured(steps, sizes), unit)
        print(text, end="\n\n", flush=True)
        faster += too_fast
    print("Elapsed time (CPU time), peak memory. Grows faster than the work:", "; ".join(faster) or "nothing")
    return int(bool(faster))


if __name__ == "__main__":
    sys.exit(main())
