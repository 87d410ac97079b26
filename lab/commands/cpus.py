"""``lab cpus``: say how many CPUs there really are here, and how many workers to start.

This command runs on Python 3.9 and later with the standard library alone, so that it works in any container.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from lab.errors import UsageError
from lab.messages import show, show_document

if TYPE_CHECKING:
    from lab.cell.cpus.delivered import Delivered, Explanation
    from lab.cell.cpus.effective import EffectiveCpus
    from lab.cell.cpus.kernel_files import Root

HELP = "say how many CPUs there really are here, and how many workers to start"
EXAMPLE = """\
examples:
  lab cpus                 look and measure on this machine or in this container
  lab cpus --no-measure    only read the kernel's files, and answer at once
  lab cpus --root FILE     what a file says that lab doctor --capture wrote
  docker run --rm --cpus 1.5 -v "$PWD/lab:/opt/lab/lab:ro" \\
      -e PYTHONPATH=/opt/lab python:3.13-slim python3 -m lab cpus"""

_USUAL_SECONDS = 0.5
_MOST_SECONDS = 60.0
_NARROWEST, _WIDEST = 32, 80

_Row = Tuple[str, ...]


class _Belief(NamedTuple):
    """The number of CPUs that one of Python's own functions or classes goes by."""

    #: The function or class, as it is called.
    name: str
    #: The number; ``None`` where the function is missing or fails.
    number: Optional[int]
    #: What was counted, or why there is no number.
    why: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--seconds",
        type=float,
        default=_USUAL_SECONDS,
        help="how long to measure D, in seconds (default: 0.5); a D below R is measured again",
    )
    parser.add_argument("--no-measure", action="store_true", help="do not measure D, and keep no CPU busy")
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="read the kernel's files below DIR, or in a file that lab doctor --capture wrote; D is not measured",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="what to print (default: table); json is for programs",
    )


def run(options: argparse.Namespace) -> int:
    """Look, measure and print, and return 0."""
    from lab.cell.cpus import delivered
    from lab.cell.cpus.effective import effective_cpus

    if not 0 < options.seconds <= _MOST_SECONDS:
        raise UsageError(f"--seconds {options.seconds:g} is out of range; give more than 0, and at most 60")
    if options.root is not None:
        cpus = effective_cpus(_root(options.root))
        _print(options.format, cpus, None, delivered.Explanation(), None)
        return 0
    cpus = effective_cpus()
    watched = sorted(set(cpus.cpus) - set(cpus.isolated)) or cpus.cpus
    measured: Optional[Delivered] = None
    explanation = delivered.Explanation()
    if not options.no_measure:
        period = max([float(limit.period_us) for limit in cpus.limits], default=0.0) / 1e6
        try:
            measured = delivered.settle(watched, cpus.parallelism, cpus.rate, options.seconds, period)
            explanation = delivered.explain(measured, cpus.rate)
        except (OSError, AttributeError) as error:
            explanation = delivered.Explanation(f"D could not be measured: no process could be started ({error})")
    _print(options.format, cpus, measured, explanation, _beliefs())
    return 0


def _root(path: str) -> Root:
    """The root to read. Raises UsageError."""
    from lab.cell.cpus.capture import root_at

    try:
        return root_at(path)
    except ValueError as error:
        raise UsageError(
            f"--root {path} {error}; give a folder with a machine's sys and proc, or a file that lab doctor --capture"
            " wrote"
        ) from None


def _print(
    form: str,
    cpus: EffectiveCpus,
    measured: Optional[Delivered],
    explanation: Explanation,
    beliefs: Optional[Sequence[_Belief]],
) -> None:
    """Print what was found. Below another root there are no beliefs, because no Python runs there."""
    if form == "json":
        import json

        show_document(json.dumps(_document(cpus, measured, explanation, beliefs), indent=2) + "\n")
    else:
        width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))
        show("\n".join(_lines(cpus, measured, explanation, beliefs or (), width)))


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


def _beliefs() -> List[_Belief]:
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


def _belief(name: str, ask: Optional[Callable[[], Optional[int]]], why: str = "") -> _Belief:
    try:
        return _Belief(name, ask() if ask else None, why)
    except Exception as error:  # a module that this Python lacks, no semaphores, a sandbox: each is an answer
        return _Belief(name, None, f"fails here ({error})")


def _pool() -> _Belief:
    from lab.cell.worker.pool_trial import try_pool

    trial = try_pool()
    return _Belief("Pool()", trial.workers, f"cannot be started here: {trial.why}" if trial.why else "workers started")


def _most_workers(executor: str) -> Optional[int]:
    """How many workers an executor starts at most."""
    with getattr(_module("concurrent.futures"), executor)() as workers:
        most: Optional[int] = getattr(workers, "_max_workers", None)
        return most


def _module(name: str) -> Any:
    """A module that a small Python may lack."""
    import importlib

    return importlib.import_module(name)


def _document(
    cpus: EffectiveCpus, measured: Optional[Delivered], explanation: Explanation, beliefs: Optional[Sequence[_Belief]]
) -> Dict[str, Any]:
    """The document for ``--format json``. P, R and D have the names that they have in a session's document."""
    from dataclasses import asdict

    from lab.cell.cpus.other_runtimes import ROUNDINGS, workers

    basis, throughput, latency = _advice(cpus, measured, explanation)
    limits = [{**asdict(limit), "cpus": limit.cpus} for limit in cpus.limits]
    return {
        "schema": 1,
        "python": sys.version.split()[0],
        "parallelism_cpus": cpus.parallelism,
        "rate_cpus": cpus.rate,
        "delivered_cpus": None if measured is None else measured.cpus,
        "measured": None if measured is None else asdict(measured),
        "explanation": explanation.sentence or None,
        "hidden_limit": explanation.hidden_limit,
        "advice": {"basis": basis, "throughput_workers": throughput, "latency_workers": latency},
        "cpus": list(cpus.cpus),
        "isolated": list(cpus.isolated),
        "cgroup_version": cpus.cgroup,
        "limits": limits,
        "contradictions": list(cpus.contradictions),
        "python_believes": None if beliefs is None else {belief.name: belief.number for belief in beliefs},
        "others_round": {rule.runtime: workers(rule, cpus.parallelism, cpus.rate) for rule in ROUNDINGS},
    }


def _lines(
    cpus: EffectiveCpus, measured: Optional[Delivered], explanation: Explanation, beliefs: Sequence[_Belief], width: int
) -> List[str]:
    """The lines of the report for people."""
    from lab.cell.cpus.other_runtimes import ROUNDINGS, workers

    basis, throughput, latency = _advice(cpus, measured, explanation)
    by = "" if basis == "R" else ", since D is below R"
    lines = _table(_numbers(cpus, measured), width)
    if explanation.sentence:
        lines += ["", *textwrap.wrap(f"! {explanation.sentence}", width, subsequent_indent="  ")]
    for sentence in cpus.contradictions:
        lines += ["", *textwrap.wrap(f"! {sentence}", width, subsequent_indent="  ")]
    lines += ["", "Workers to start"]
    lines += _table(
        [
            ("for throughput", str(throughput), f"⌈{basis}⌉{by}"),
            ("for tail latency", str(latency), f"⌊{basis}⌋, at least 1{by}"),
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
    rounded = [(rule.runtime, str(workers(rule, cpus.parallelism, cpus.rate)), rule.rule) for rule in ROUNDINGS]
    return lines + _table(rounded, width)


def _numbers(cpus: EffectiveCpus, measured: Optional[Delivered]) -> List[_Row]:
    """The rows of P, R and D."""
    from lab.cell.cpus.cpulist import render

    mask = f"{'CPU' if len(cpus.cpus) == 1 else 'CPUs'} {render(cpus.cpus)} may be used"
    if cpus.isolated:
        mask += f"; {render(cpus.isolated)} are isolated: unpinned work does not spread over them"
    reason = "CPU seconds per second: the least of P and every visible quota"
    rows = [("P", "parallelism", str(cpus.parallelism), mask), ("R", "rate", _decimal(cpus.rate), reason)]
    if measured is None:
        return [*rows, ("D", "delivered", "-", "not measured")]
    got = f"what {measured.processes} busy {'process' if measured.processes == 1 else 'processes'} got"
    if measured.processes < cpus.parallelism:
        got += "; no more were started"
    return [*rows, ("D", "delivered", f"{measured.cpus:.2f}", got)]


def _decimal(value: float) -> str:
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
