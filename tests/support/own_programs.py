"""Sessions of ``lab exec`` that nobody measured: what each run took is made up, and varies a little."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.cell.programs.program import Program
from lab.cell.programs.run import Run
from lab.judging.assembly import assemble
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.planning.programs import Workload
from tests.support import scripts
from tests.support.scripts import Said

MAKE = Program(label="make", words=("make", "-j2"))


def run(wall: float, **changes: Any) -> dict[str, Any]:
    """A run that took so long, as a cell records it."""
    usual = Run(wall=wall, cpu=0.9 * wall, user=0.8 * wall, system=0.1 * wall, counted_by="tree", code=0)
    values = {**usual._asdict(), "tree_memory": 50_000_000, "processes": 3, "threads": 5, **changes}
    return {"failed": False, "ending": "", **values}


def failing(**changes: Any) -> dict[str, Any]:
    """A run that ended with exit code 2."""
    return run(0.1, **{"code": 2, "failed": True, "ending": "ended with exit code 2", "words": "no rule", **changes})


def session(
    walls: Mapping[int, float],
    *,
    programs: Sequence[Program] = (MAKE,),
    spread: float = 0.01,
    runs: int = 10,
    made: Mapping[int, Sequence[dict[str, Any]]] | None = None,
    lacking: Sequence[int] = (),
    factors: Mapping[str, float] | None = None,
    speed: float = 1.0,
    seed: int = 1,
    **changes: Any,
) -> Session:
    """A session of these programs in cells of these sizes, in which a run takes so long.

    ``speed`` is that of the machine: what one process does beside each run. ``factors`` says how many times as long the
    runs of a program take, by its label. ``made`` are the runs of every turn of a size, in the place of those. The
    machine lacks the sizes of ``lacking``.
    """
    order, of_speed = random.Random(seed), random.Random(-seed)
    workload = Workload(programs=tuple(programs), runs=runs)
    planned = [scripts.cell(size, max(walls)) for size in (*walls, *lacking)]
    results = []
    for cell in workload.cells(planned, seed=1):
        if not cell.available:
            results.append(CellResult(cell=cell, status=Status.UNAVAILABLE, reason=cell.reason))
            continue

        def one_run(label: str, size: int = cell.size) -> dict[str, Any]:
            return run((factors or {}).get(label, 1.0) * walls[size] * order.uniform(1 - spread, 1 + spread), **changes)

        said: dict[str, list[Said]] = {}
        for program in workload.in_turn(cell.turn):
            these = (made or {}).get(cell.size) or [one_run(program.label) for _ in range(program.most_runs or 1)]
            alone = [{"rate": 20000 * speed * of_speed.uniform(0.99, 1.01), "disturbed": None} for _ in these]
            said[program.experiment] = [
                sample
                for each, block in zip(these, alone, strict=True)
                for sample in (
                    ("sample", {"name": "round", "values": {"one process": block}}),
                    ("sample", {"name": "run", "values": {"program": each}}),
                )
            ]
        results.append(scripts.result(cell, scripts.stream(cell.id, cell.cpus, said, host_cpus=max(walls))))
    names = [program.experiment for program in programs]
    return assemble(
        id="scripted",
        began=0.0,
        machine=replace(scripts.machine(max(walls)), image=None),
        arguments={"experiments": names, "workload": workload.to_stored(), "seed": 1},
        experiments=names,
        results=results,
        code_sha256="0" * 64,
        wall_seconds=1.0,
    )


@functools.cache
def every_kind() -> dict[str, Session]:
    """A session of each kind that looks different."""
    several = [MAKE._replace(label=f"make, n={n}", parameters={"n": n}, words=("make", f"-j{n}")) for n in ("1", "2")]
    counted: dict[str, Any] = {
        "counted_by": "group",
        "group_memory": 70_000_000,
        "periods": 10,
        "throttled_periods": 4,
        "throttled_seconds": 0.4,
        "pressure": 0.1,
        "left": 2,
        "oom_kills": 1,
    }
    return {
        "faster": session({1: 4.0, 2: 2.1, 4: 1.1}),
        "no-faster": session({1: 1.0, 2: 1.0}, processes=1, threads=1),
        "noisy": session({1: 1.0, 2: 0.95}, spread=0.5),
        "counted": session({1: 0.004, 2: 0.002}, **counted),
        "several": session({1: 1.0, 2: 0.6}, programs=several),
        "failing": session({1: 1.0, 2: 0.6}, made={1: [failing()]}),
        "one-run": session({1: 1.0, 2: 0.6}, runs=1, lacking=[8]),
        "unknown": session({1: 1.0}, tree_memory=None, processes=None, threads=None),
    }
