"""What ``lab cpus`` has found, and how it says it: to people, and to programs.

Python 3.9 with the standard library alone, as the command itself.
"""

from __future__ import annotations

import math
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from lab.cell.cpus.delivered import Delivered, Explanation
    from lab.cell.cpus.effective import EffectiveCpus
    from lab.cell.cpus.worker_rules import Rule

_Row = Tuple[str, ...]


class Belief(NamedTuple):
    """The number of CPUs that one of Python's own functions or classes goes by."""

    #: The function or class, as it is called.
    name: str
    #: The number; ``None`` where the function is missing or fails.
    number: Optional[int]
    #: What was counted, or why there is no number.
    why: str = ""


class View(NamedTuple):
    """What was found."""

    #: P and R.
    cpus: EffectiveCpus
    #: D; ``None``: not measured.
    measured: Optional[Delivered]
    #: Why D is what it is.
    explanation: Explanation
    #: The numbers that Python's own functions go by; ``None``: nobody asked for them.
    beliefs: Optional[Sequence[Belief]]

    @property
    def advice(self) -> Tuple[str, int, int]:
        """What the advice rests on (R, or D where a hidden limit is proven), and the workers that it names."""
        return _advice(self.cpus, self.measured, self.explanation)

    @property
    def rate(self) -> float:
        """R; or D where a hidden limit is proven. A D that is nearly whole is taken as whole."""
        if self.measured is None or self.advice[0] == "R":
            return self.cpus.rate
        from lab.cell.cpus.delivered import TOLERANCE

        nearest = max(1.0, float(round(self.measured.cpus)))
        return nearest if abs(self.measured.cpus - nearest) <= TOLERANCE * nearest else self.measured.cpus

    def number(self, rule: Rule) -> int:
        """How many workers follow from a rule."""
        from lab.cell.cpus.worker_rules import workers

        return workers(rule, self.cpus.parallelism, self.rate)


def _advice(cpus: EffectiveCpus, measured: Optional[Delivered], explanation: Explanation) -> Tuple[str, int, int]:
    """The advice: what it rests on (R, or D where a hidden limit is proven), workers for throughput, for tail latency.

    D is measured, so a D within its tolerance of a whole number counts as that number: 1.02 is one CPU, not two.
    """
    if measured is None or not explanation.hidden_limit:
        return "R", cpus.throughput_workers, cpus.latency_workers
    from lab.cell.cpus.delivered import TOLERANCE

    most = max(1, math.ceil(measured.cpus * (1 - TOLERANCE)))
    least = max(1, math.floor(measured.cpus * (1 + TOLERANCE)))
    return "D", min(cpus.parallelism, max(most, least)), min(cpus.parallelism, least)


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
    from dataclasses import asdict

    from lab.cell.cpus.worker_rules import RUNTIMES, TOOLS, workers

    cpus, measured, explanation, beliefs = view
    basis, throughput, latency = view.advice
    limits = [{**asdict(limit), "cpus": limit.cpus} for limit in cpus.limits]
    return {
        "schema": 1,
        "python": sys.version.split()[0],
        "parallelism_cpus": cpus.parallelism,
        "rate_cpus": cpus.rate,
        "delivered_cpus": None if measured is None else measured.cpus,
        "measured": None if measured is None else measured._asdict(),
        "explanation": explanation.sentence or None,
        "hidden_limit": explanation.hidden_limit,
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
    if view.explanation.sentence:
        lines += ["", *textwrap.wrap(f"! {view.explanation.sentence}", width, subsequent_indent="  ")]
    return lines


def lines(view: View, width: int, *, wide: bool = False) -> List[str]:
    """The lines of the report for people. With ``wide`` each rule has its source beside it."""
    from lab.cell.cpus.worker_rules import RUNTIMES, TOOLS, workers

    cpus, measured, explanation, beliefs = view
    basis, throughput, latency = view.advice
    by = "" if basis == "R" else ", since D is below R"
    lines = _table(_numbers(cpus, measured), width)
    for sentence in filter(None, (explanation.sentence, *cpus.contradictions)):
        lines += ["", *textwrap.wrap(f"! {sentence}", width, subsequent_indent="  ")]
    lines += ["", "Workers to start"]
    lines += _table(
        [
            ("for throughput", str(throughput), f"⌈{basis}⌉{by}"),
            ("for tail latency", str(latency), f"⌊{basis}⌋, at least 1{by}"),
            *((rule.name, str(view.number(rule)), rule.words, *[rule.source] * wide) for rule in TOOLS),
        ],
        width,
    )
    lines += ["", f"Quotas (cgroup version {cpus.cgroup or 'none found'})"]
    lines += _table(
        [(f"{limit.cpus:.6g}", f"{limit.quota_us} of {limit.period_us} µs", limit.folder) for limit in cpus.limits]
        or [("none", "that is visible here")],
        width,
    )
    if beliefs:
        lines += ["", "What Python believes"]
        rows = [(belief.name, "-" if belief.number is None else str(belief.number), belief.why) for belief in beliefs]
        lines += _table(rows, width)
    lines += ["", "What others would make of it"]
    rounded = [
        (rule.name, str(workers(rule, cpus.parallelism, cpus.rate)), rule.words, *[rule.source] * wide)
        for rule in RUNTIMES
    ]
    return lines + _table(rounded, width)


def _numbers(cpus: EffectiveCpus, measured: Optional[Delivered]) -> List[_Row]:
    """The rows of P, R and D."""
    reason = "CPU seconds per second: the least of P and every visible quota"
    rows = [("P", "parallelism", str(cpus.parallelism), mask(cpus)), ("R", "rate", decimal(cpus.rate), reason)]
    if measured is None:
        return [*rows, ("D", "delivered", "-", "not measured")]
    got = f"what {measured.processes} busy {'process' if measured.processes == 1 else 'processes'} got"
    if measured.processes < cpus.parallelism:
        got += "; no more were started"
    return [*rows, ("D", "delivered", f"{measured.cpus:.2f}", got)]


def mask(cpus: EffectiveCpus) -> str:
    """Which CPUs may be used, in words."""
    from lab.cell.cpus.cpulist import render

    words = f"{'CPU' if len(cpus.cpus) == 1 else 'CPUs'} {render(cpus.cpus)} may be used"
    if cpus.isolated:
        words += f"; {render(cpus.isolated)} are isolated: unpinned work does not spread over them"
    return words


def decimal(value: float) -> str:
    """A number without a needless point, never rounded to another whole number."""
    text = f"{value:.6g}"
    return repr(value) if float(text).is_integer() and not value.is_integer() else text


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
