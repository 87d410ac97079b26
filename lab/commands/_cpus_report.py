"""How ``lab cpus`` says what it has found: to people, and to programs.

Python 3.9 with the standard library alone, as the command itself.
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from lab.commands._cpus_view import Belief, View, decimal, mask

if TYPE_CHECKING:
    from lab.cell.cpus.worker_rules import Rule

_Row = Tuple[str, ...]


def beliefs() -> List[Belief]:
    """The numbers of CPUs that Python's own functions and classes go by here; each may fail for itself."""
    own, mask = getattr(os, "process_cpu_count", None), getattr(os, "sched_getaffinity", None)
    return [
        _belief("os.cpu_count()", os.cpu_count),
        _belief("os.process_cpu_count()", own, "" if own else "new in Python 3.13"),
        _belief("len(os.sched_getaffinity(0))", mask and (lambda: len(mask(0))), "" if mask else "on Linux only"),
        _belief("multiprocessing.cpu_count()", lambda: _module("multiprocessing").cpu_count()),
        _pool(),
        _belief("ThreadPoolExecutor()", lambda: _most_workers("ThreadPoolExecutor"), "threads at most"),
        _belief("ProcessPoolExecutor()", lambda: _most_workers("ProcessPoolExecutor"), "processes at most"),
    ]


def _belief(name: str, ask: Optional[Callable[[], Optional[int]]], why: str = "") -> Belief:
    try:
        return Belief(name, ask() if ask else None, why)
    except Exception as error:  # a module that this Python lacks, no semaphores, a sandbox: each is an answer
        return Belief(name, None, f"fails here ({error})")


def _pool() -> Belief:
    from lab.cell.cpus.pool_trial import try_pool

    trial = try_pool()
    return Belief("Pool()", trial.workers, f"cannot be started here: {trial.why}" if trial.why else "workers started")


def _most_workers(executor: str) -> Optional[int]:
    """How many workers an executor starts at most."""
    with getattr(_module("concurrent.futures"), executor)() as workers:
        most: Optional[int] = getattr(workers, "_max_workers", None)
        return most


def _module(name: str) -> Any:
    """A module that a small Python may lack."""
    import importlib

    return importlib.import_module(name)


def document(view: View, rules: Sequence[Rule]) -> Dict[str, Any]:
    """The document for ``--format json``. P, R and D have the names that they have in a session's document."""
    from lab.cell.cpus.worker_rules import RUNTIMES, TOOLS, workers

    cpus, measured, beliefs = view.cpus, view.measured, view.beliefs
    basis, throughput, latency = view.advice
    limits = [{**limit._asdict(), "cpus": limit.cpus} for limit in cpus.limits]
    return {
        "schema": 1,
        "python": sys.version.split()[0],
        "parallelism_cpus": cpus.parallelism,
        "rate_cpus": cpus.rate,
        "delivered_cpus": None if measured is None else measured.cpus,
        "measured": None if measured is None else measured._asdict(),
        "explanation": view.why or None,
        "hidden_limit": view.hidden_limit,
        "advice": {"basis": basis, "throughput_workers": throughput, "latency_workers": latency},
        "cpus": list(cpus.cpus),
        "isolated": list(cpus.isolated),
        "cgroup_version": cpus.cgroup,
        "limits": limits,
        "contradictions": list(cpus.contradictions),
        "python_believes": None if beliefs is None else {belief.name: belief.number for belief in beliefs},
        "others_round": {rule.name: workers(rule, cpus.parallelism, cpus.rate) for rule in RUNTIMES},
        "tools": [_rule(rule, view.number(rule)) for rule in rules or TOOLS],
        "runtimes": [_rule(rule, workers(rule, cpus.parallelism, cpus.rate)) for rule in RUNTIMES],
    }


def _rule(rule: Rule, number: int) -> Dict[str, Any]:
    """The number that follows from a rule, and where the rule is written."""
    return {
        "name": rule.name,
        "workers": number,
        "rule": rule.words,
        "option": rule.option or None,
        "variable": rule.variable or None,
        "source": rule.source,
    }


def tool_lines(view: View, rules: Sequence[Rule], width: int) -> List[str]:
    """The lines for people who asked for certain tools."""
    rows: List[_Row] = []
    for rule in rules:
        rows.append((rule.name, str(view.number(rule)), rule.words))
        ways = " or ".join(filter(None, (rule.option, rule.variable)))
        rows += [("", "", f"set it with {ways}" if ways else "it takes no number from outside"), ("", "", rule.source)]
    basis = "" if view.advice[0] == "R" else ", since D is below R"
    lines = [f"{view.advice[0]} is {decimal(view.rate)}{basis}", *_table(rows, width)]
    if view.why:
        lines += ["", *_remark(view.why, width)]
    return lines


def read_lines(view: View, width: int, *, wide: bool) -> List[str]:
    """The lines for people on what can be read at once. With ``wide`` each rule has its source beside it."""
    from lab.cell.cpus.worker_rules import RUNTIMES, workers

    cpus = view.cpus
    reason = "CPU seconds per second: the least of P and every visible quota"
    lines = _table(
        [("P", "parallelism", str(cpus.parallelism), mask(cpus)), ("R", "rate", decimal(cpus.rate), reason)], width
    )
    for sentence in cpus.contradictions:
        lines += ["", *_remark(sentence, width)]
    lines += ["", f"Quotas (cgroup version {cpus.cgroup or 'none found'})"]
    lines += _table(
        [(f"{limit.cpus:.6g}", f"{limit.quota_us} of {limit.period_us} µs", limit.folder) for limit in cpus.limits]
        or [("none", "that is visible here")],
        width,
    )
    lines += ["", "What others would make of it"]
    rounded = [
        (rule.name, str(workers(rule, cpus.parallelism, cpus.rate)), rule.words, *[rule.source] * wide)
        for rule in RUNTIMES
    ]
    return lines + _table(rounded, width)


def belief_lines(beliefs: Sequence[Belief], width: int) -> List[str]:
    """The lines for people on the numbers that Python's own functions go by."""
    rows = [(belief.name, "-" if belief.number is None else str(belief.number), belief.why) for belief in beliefs]
    return ["", "What Python believes", *_table(rows, width)]


def delivered_lines(view: View, width: int, *, wide: bool) -> List[str]:
    """The lines for people on D, and on the workers to start, which D may change. ``wide`` as above."""
    from lab.cell.cpus.worker_rules import TOOLS

    basis, throughput, latency = view.advice
    by = "" if basis == "R" else ", since D is below R"
    lines = _table([_delivered(view)], width)
    if view.why:
        lines += ["", *_remark(view.why, width)]
    lines += ["", "Workers to start"]
    return lines + _table(
        [
            ("for throughput", str(throughput), f"⌈{basis}⌉{by}"),
            ("for tail latency", str(latency), f"⌊{basis}⌋, at least 1{by}"),
            *((rule.name, str(view.number(rule)), rule.words, *[rule.source] * wide) for rule in TOOLS),
        ],
        width,
    )


def _delivered(view: View) -> _Row:
    """The row of D."""
    measured = view.measured
    if measured is None:
        return ("D", "delivered", "-", "not measured")
    got = f"what {measured.processes} busy {'process' if measured.processes == 1 else 'processes'} got"
    if measured.processes < view.cpus.parallelism:
        got += "; no more were started"
    return ("D", "delivered", f"{measured.cpus:.2f}", got)


def _remark(sentence: str, width: int) -> List[str]:
    return textwrap.wrap(f"! {sentence}", width, subsequent_indent="  ")


def _table(rows: Sequence[_Row], width: int) -> List[str]:
    """The rows in aligned columns. The last column is wrapped; where too little width is left, it goes below."""
    columns = max(len(row) for row in rows)
    padded = [row + ("",) * (columns - len(row)) for row in rows]
    widths = [max(len(row[at]) for row in padded) for at in range(columns - 1)]
    indent = sum(widths) + 2 * len(widths)
    below = width - indent < 14
    lines: List[str] = []
    for row in padded:
        head = "  ".join(cell.ljust(size) for cell, size in zip(row, widths))
        if below:
            lines.append(head.rstrip())
            lines += textwrap.wrap(row[-1], width, initial_indent="    ", subsequent_indent="    ")
            continue
        tail = textwrap.wrap(row[-1], width - indent) or [""]
        lines += [f"{head}  {tail[0]}".rstrip(), *(" " * indent + more for more in tail[1:])]
    return lines
