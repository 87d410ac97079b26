"""Advice as lines of code to paste: the pool, its workers, and how many items travel at a time. Pure."""

from __future__ import annotations

import math

from lab.cell.claims.claim import Evidence
from lab.cell.targets.arms import METHODS, THREAD
from lab.cell.targets.case import Case
from lab.cell.targets.choice import Option, usual_method
from lab.judging.call_code import call_code
from lab.model.cell import CellResult

#: Handing a task over may cost this share of the task.
CHEAP = 0.1

POOLS = {
    "thread": "ThreadPoolExecutor",
    "interpreter": "InterpreterPoolExecutor",
}


def pool_code(option: Option, case: Case, result: CellResult, evidence: Evidence) -> str:
    """The choice as lines of code, with a chunk size where a call is short beside its way to a worker.

    Where workers import the main module, only the program itself starts a pool.
    """
    call = call_code(case, evidence, shared=option.executor == "thread" and not option.own)
    pool = POOLS.get(option.executor, "ProcessPoolExecutor")
    is_chosen = option.executor in METHODS and option.executor != usual_method(result.python["version"])
    modules = [*call.modules, *["multiprocessing"] * is_chosen]
    arguments = f"{option.workers}" + ", mp_context=context" * is_chosen
    chunk = chunk_size(option, evidence)
    chunks = f", chunksize={chunk}" if chunk > 1 and pool == "ProcessPoolExecutor" else ""
    lines = [f'context = multiprocessing.get_context("{option.executor}")'] * is_chosen
    lines += [f"with {pool}({arguments}) as pool:", f"    results = list(pool.map({call.function}, items{chunks}))"]
    if option.executor not in (THREAD, "fork"):
        lines = ['if __name__ == "__main__":', *(f"    {line}" for line in lines)]
    imports = [*(f"import {module}" for module in sorted(modules)), f"from concurrent.futures import {pool}"]
    return "\n".join([*imports, *call.lines, *lines])


def loop_code(case: Case, evidence: Evidence) -> str:
    """A plain loop as lines of code."""
    call = call_code(case, evidence, shared=True, alone=True)
    loop = f"results = [{call.expression} for item in items]"
    return "\n".join([*(f"import {module}" for module in sorted(call.modules)), *call.lines, loop])


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
