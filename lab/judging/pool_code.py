"""Advice as lines of code to paste: the pool, its workers, and how many items travel at a time. Pure."""

from __future__ import annotations

import math

from lab.cell.claims.claim import Evidence
from lab.cell.targets.choice import Option, usual_method
from lab.model.cell import CellResult

#: Handing a task over may cost this share of the task.
CHEAP = 0.1

POOLS = {
    "thread": "ThreadPoolExecutor",
    "interpreter": "InterpreterPoolExecutor",
}


def pool_code(option: Option, result: CellResult, evidence: Evidence) -> str:
    """The choice as lines of code, with a chunk size where a call is short beside its way to a worker."""
    usual = usual_method(result.python["version"])
    pool = POOLS.get(option.executor, "ProcessPoolExecutor")
    lines = [f"from concurrent.futures import {pool}"]
    arguments = f"{option.workers}"
    if option.executor in ("fork", "forkserver", "spawn") and option.executor != usual:
        lines[:0] = ["import multiprocessing"]
        lines.append(f'context = multiprocessing.get_context("{option.executor}")')
        arguments += ", mp_context=context"
    chunk = chunk_size(option, evidence)
    chunks = f", chunksize={chunk}" if chunk > 1 and pool == "ProcessPoolExecutor" else ""
    lines += [f"with {pool}({arguments}) as pool:", f"    results = list(pool.map(function, items{chunks}))"]
    return "\n".join(lines)


def chunk_size(option: Option, evidence: Evidence) -> int:
    """How many items to hand over at a time, so that this costs a tenth of the work at most."""
    if option.chunk:
        return option.chunk
    costs = evidence.last("dispatch")
    cost = costs.get("thread" if option.executor == "thread" else "process")
    if not cost:
        return 1
    call = max(float(evidence.last("trial")["call_seconds"]), 1e-9)
    return max(1, math.ceil(float(cost) / CHEAP / call))
