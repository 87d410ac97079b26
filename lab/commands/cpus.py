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

from lab.errors import StoreError, UsageError
from lab.messages import ended, show, show_document, tell

if TYPE_CHECKING:
    from lab.cell.cpus.delivered import Delivered, Explanation
    from lab.cell.cpus.effective import EffectiveCpus
    from lab.cell.cpus.kernel_files import Root
    from lab.cell.cpus.worker_rules import Rule

HELP = "say how many CPUs there really are here, and how many workers to start"
EXAMPLE = """\
examples:
  lab cpus                 look and measure on this machine or in this container
  lab cpus --no-measure    only read the kernel's files, and answer at once
  lab cpus --root FILE     what a file says that lab doctor --capture wrote
  lab cpus --for gunicorn  how many workers to give to gunicorn, and why
  gunicorn --workers "$(lab cpus --for gunicorn --format value)" app:app
  export $(lab cpus --for OMP_NUM_THREADS --format env)
  lab cpus --require 2     exit with 1 where there are fewer CPUs
  lab cpus --zipapp cpus.pyz    one file for containers without the lab
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


class _View(NamedTuple):
    """What was found."""

    #: P and R.
    cpus: EffectiveCpus
    #: D; ``None``: not measured.
    measured: Optional[Delivered]
    #: Why D is what it is.
    explanation: Explanation
    #: The numbers that Python's own functions go by; ``None``: nobody asked for them.
    beliefs: Optional[Sequence[_Belief]]

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
        "--for",
        dest="tools",
        action="append",
        default=[],
        metavar="NAME",
        help="the number for a tool or runtime, with its rule and source: gunicorn, joblib, go; repeat it for several",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json", "env", "value"),
        default="table",
        help="what to print (default: table); json is for programs, env has a line NAME=NUMBER for each environment"
        " variable, and value is one bare number",
    )
    parser.add_argument(
        "--require", type=float, metavar="N", help="exit with 1, and say why, where there are fewer than N CPUs"
    )
    parser.add_argument(
        "--zipapp",
        metavar="FILE",
        help="write this command into one file, which any Python from 3.9 on runs without the lab, and end",
    )


def run(options: argparse.Namespace) -> int:
    """Look, measure and print. Return 0, or 1 where ``--require`` asks for more CPUs than there are."""
    if options.zipapp is not None:
        return _write_one_file(options.zipapp)
    _check(options)
    rules = _chosen(options.tools)
    if options.format == "value" and len(rules) > 1:
        raise UsageError(f"--format value prints one number, and --for names {len(rules)}; ask for each by itself")
    view = _look(options)
    if options.format == "json":
        import json

        show_document(json.dumps(_document(view, rules), indent=2) + "\n")
    elif options.format == "value":
        show(str(view.number(rules[0]) if rules else view.advice[1]))
    elif options.format == "env":
        _show_variables(view, rules)
    else:
        width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))
        show("\n".join(_tool_lines(view, rules, width) if rules else _lines(view, width)))
    return 0 if options.require is None else ended(*_missing(view, options.require))


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError for a number that is out of range."""
    if not 0 < options.seconds <= _MOST_SECONDS:
        raise UsageError(f"--seconds {options.seconds:g} is out of range; give more than 0, and at most 60")
    if options.require is not None and not 0 < options.require < math.inf:
        raise UsageError(f"--require {options.require:g} is no number of CPUs; give one above 0, such as --require 2")


def _look(options: argparse.Namespace) -> _View:
    """What there is here, or below the root that the options name. There no Python runs, and nothing is measured."""
    from lab.cell.cpus import delivered
    from lab.cell.cpus.effective import effective_cpus

    if options.root is not None:
        return _View(effective_cpus(_root(options.root)), None, delivered.Explanation(), None)
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
    is_for_people_or_programs = options.format == "json" or (options.format == "table" and not options.tools)
    return _View(cpus, measured, explanation, _beliefs() if is_for_people_or_programs else None)


def _write_one_file(path: str) -> int:
    """Write the command into one file that can be executed; return 0. Raises StoreError."""
    from lab.cell.cpus.one_file import PACKAGE, one_file

    if not os.path.isdir(PACKAGE):
        raise UsageError(f"--zipapp {path} was asked of the one file itself", "copy that file")
    try:
        content = one_file()
        # A symbolic link is not followed, and a FIFO that nobody reads is refused at once.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags | os.O_NOFOLLOW, 0o777), "wb") as file:
            file.write(content)
    except OSError as error:
        raise StoreError(f"--zipapp {path} could not be written ({error.strerror})", "name a file to write") from error
    show(f"{path}: run it with python3 {path}, on Python 3.9 or later")
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


def _chosen(names: Sequence[str]) -> Tuple[Rule, ...]:
    """The rules of the tools and runtimes that a user has named. Raises UsageError for a name that has none."""
    from lab.cell.cpus.worker_rules import RUNTIMES, TOOLS

    known = {name.lower(): rule for rule in (*TOOLS, *RUNTIMES) for name in rule.names}
    chosen: List[Rule] = []
    for name in names:
        if name.lower() not in known:
            import difflib

            near = difflib.get_close_matches(name.lower(), known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            names_known = ", ".join(name for rule in (*TOOLS, *RUNTIMES) for name in rule.names)
            raise UsageError(f"--for {name} names nothing that has a rule here", f"{meant}Known are {names_known}")
        if known[name.lower()] not in chosen:
            chosen.append(known[name.lower()])
    return tuple(chosen)


def _show_variables(view: _View, rules: Sequence[Rule]) -> None:
    """A line for each environment variable of these tools, or of all. Raises UsageError for a tool without one."""
    from lab.cell.cpus.worker_rules import RUNTIMES, TOOLS, variables

    for rule in rules:
        if not rule.variable:
            how = f"give the number to {rule.option}" if rule.option else "it counts by itself"
            raise UsageError(f"{rule.name} reads no environment variable", f"{how}: --format value prints it")
    for variable, numbers in variables(rules or (*TOOLS, *RUNTIMES), view.cpus.parallelism, view.rate).items():
        if len(set(numbers.values())) == 1:
            show(f"{variable}={next(iter(numbers.values()))}")
        else:
            choices = ", ".join(f"{number} for {name}" for name, number in numbers.items())
            tell(f"lab: {variable} is left out, since tools want different numbers: {choices}; choose one with --for")


def _missing(view: _View, wanted: float) -> Tuple[int, str]:
    """(exit code, reason) for a number of CPUs that somebody needs."""
    basis, bound = view.advice[0], view.rate
    if bound >= wanted:
        return 0, ""
    if basis == "D":
        why = view.explanation.sentence
    elif bound < view.cpus.parallelism:
        tightest = min(view.cpus.limits, key=lambda limit: limit.cpus)
        why = f"a quota of {tightest.quota_us} of {tightest.period_us} µs at {tightest.folder}"
    else:
        why = _mask(view.cpus)
    return 1, f"{basis} is {_decimal(bound)}, and --require asks for {_decimal(wanted)}: {why}"


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
    from lab.cell.cpus.pool_trial import try_pool

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


def _document(view: _View, rules: Sequence[Rule]) -> Dict[str, Any]:
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
        "others_round": {rule.name: workers(rule, cpus.parallelism, cpus.rate) for rule in RUNTIMES},
        "tools": [
            {
                "name": rule.name,
                "workers": view.number(rule),
                "rule": rule.words,
                "option": rule.option or None,
                "variable": rule.variable or None,
                "source": rule.source,
            }
            for rule in rules or TOOLS
        ],
    }


def _tool_lines(view: _View, rules: Sequence[Rule], width: int) -> List[str]:
    """The lines for people who asked for certain tools."""
    rows: List[_Row] = []
    for rule in rules:
        rows.append((rule.name, str(view.number(rule)), rule.words))
        ways = " or ".join(filter(None, (rule.option, rule.variable)))
        rows += [("", "", f"set it with {ways}" if ways else "it takes no number from outside"), ("", "", rule.source)]
    basis = "" if view.advice[0] == "R" else ", since D is below R"
    lines = [f"{view.advice[0]} is {_decimal(view.rate)}{basis}", *_table(rows, width)]
    if view.explanation.sentence:
        lines += ["", *textwrap.wrap(f"! {view.explanation.sentence}", width, subsequent_indent="  ")]
    return lines


def _lines(view: _View, width: int) -> List[str]:
    """The lines of the report for people."""
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
            *((rule.name, str(view.number(rule)), rule.words) for rule in TOOLS),
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
    rounded = [(rule.name, str(workers(rule, cpus.parallelism, cpus.rate)), rule.words) for rule in RUNTIMES]
    return lines + _table(rounded, width)


def _numbers(cpus: EffectiveCpus, measured: Optional[Delivered]) -> List[_Row]:
    """The rows of P, R and D."""
    mask = _mask(cpus)
    reason = "CPU seconds per second: the least of P and every visible quota"
    rows = [("P", "parallelism", str(cpus.parallelism), mask), ("R", "rate", _decimal(cpus.rate), reason)]
    if measured is None:
        return [*rows, ("D", "delivered", "-", "not measured")]
    got = f"what {measured.processes} busy {'process' if measured.processes == 1 else 'processes'} got"
    if measured.processes < cpus.parallelism:
        got += "; no more were started"
    return [*rows, ("D", "delivered", f"{measured.cpus:.2f}", got)]


def _mask(cpus: EffectiveCpus) -> str:
    """Which CPUs may be used, in words."""
    from lab.cell.cpus.cpulist import render

    words = f"{'CPU' if len(cpus.cpus) == 1 else 'CPUs'} {render(cpus.cpus)} may be used"
    if cpus.isolated:
        words += f"; {render(cpus.isolated)} are isolated: unpinned work does not spread over them"
    return words


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
