"""``lab cpus``: say how many CPUs there really are here, and how many workers to start.

This command runs on Python 3.9 and later with the standard library alone, so that it works in any container.
"""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

from lab import system
from lab.commands._cpus_view import View, decimal, mask
from lab.errors import StoreError, UsageError
from lab.messages import columns, ended, show, show_document, tell

if TYPE_CHECKING:
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

#: A D than which there is no smaller.
_LEAST_CPUS = 1e-6
_USUAL_SECONDS = 0.5
_MOST_SECONDS = 60.0
_NARROWEST, _WIDEST = 32, 80
#: The width of lines that nothing wraps.
_NO_END = 10_000


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
        choices=("table", "wide", "json", "env", "value"),
        default="table",
        help="what to print (default: table); wide has the source of each rule, in lines of any length; json is for"
        " programs, env has a line NAME=NUMBER for each environment variable, and value is one bare number",
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
        view = _show_document(view, options, rules)
    elif options.format in ("table", "wide") and not rules:
        view = _show_all(view, options)
    else:
        view = _measured(view, options) if _depends_on_d(view, rules, options.require) else view
        _show_numbers(view, options, rules)
    return 0 if options.require is None else ended(*_missing(view, options.require))


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError for a number that is out of range."""
    if not 0 < options.seconds <= _MOST_SECONDS:
        raise UsageError(f"--seconds {options.seconds:g} is out of range; give more than 0, and at most 60")
    if options.require is not None and not 0 < options.require < math.inf:
        raise UsageError(f"--require {options.require:g} is no number of CPUs; give one above 0, such as --require 2")


def _look(options: argparse.Namespace) -> View:
    """What can be read here, or below the root that the options name. Nothing is measured yet."""
    from lab.cell.cpus.effective import effective_cpus

    return View(effective_cpus() if options.root is None else effective_cpus(_root(options.root)))


def _measured(view: View, options: argparse.Namespace) -> View:
    """The view with D, unless the options rule that out. Below another root no Python runs, and D is not measured."""
    from lab.cell.cpus import delivered

    if options.no_measure or options.root is not None:
        return view
    cpus = view.cpus
    watched = sorted(set(cpus.cpus) - set(cpus.isolated)) or cpus.cpus
    period = max([float(limit.period_us) for limit in cpus.limits], default=0.0) / 1e6
    try:
        measured = delivered.settle(watched, cpus.parallelism, cpus.rate, options.seconds, period)
    except OSError as error:
        why = f"D could not be measured: no process could be started ({error})"
        return view._replace(explanation=delivered.Explanation(why))
    except AttributeError:
        why = f"D could not be measured: {system.NAME} cannot fork a process"
        return view._replace(explanation=delivered.Explanation(why))
    explanation = delivered.explain(measured, cpus.rate, sees_all_groups=cpus.sees_all_groups)
    return view._replace(measured=measured, explanation=explanation)


def _depends_on_d(view: View, rules: Sequence[Rule], required: Optional[float]) -> bool:
    """Whether a limit that no file shows could change the numbers that are asked for, or the exit code.

    There is no such limit where all control groups are visible, and the smallest D may come to the same numbers.
    """
    cpus = view.cpus
    least = View(cpus._replace(rate=_LEAST_CPUS))
    numbers_differ = any(view.number(rule) != least.number(rule) for rule in rules)
    if not rules:
        numbers_differ = cpus.throughput_workers > 1
    is_enough = required is not None and view.rate >= required
    return (numbers_differ or is_enough) and not cpus.sees_all_groups


def _show_document(view: View, options: argparse.Namespace, rules: Sequence[Rule]) -> View:
    """Print everything for programs. Returns what was found."""
    import json

    from lab.commands import _cpus_report

    view = _measured(view, options)._replace(beliefs=_cpus_report.beliefs() if options.root is None else None)
    show_document(json.dumps(_cpus_report.document(view, rules), indent=2) + "\n")
    return view


def _show_all(view: View, options: argparse.Namespace) -> View:
    """Print everything for people: first what can be read at once, last what is measured. Returns what was found."""
    from lab.commands import _cpus_report

    width, wide = _width(options), options.format == "wide"
    show("\n".join(_cpus_report.read_lines(view, width, wide=wide)))
    if options.root is None:
        show("\n".join(_cpus_report.belief_lines(_cpus_report.beliefs(), width)))
    show("\nWhat the machine delivers")
    view = _measured(view, options)
    show("\n".join(_cpus_report.delivered_lines(view, width, wide=wide)))
    return view


def _show_numbers(view: View, options: argparse.Namespace, rules: Sequence[Rule]) -> None:
    """Print the numbers of certain tools, or the number of workers."""
    if options.format == "value":
        show(str(view.number(rules[0]) if rules else view.advice[1]))
    elif options.format == "env":
        _show_variables(view, rules)
    else:
        from lab.commands import _cpus_report

        show("\n".join(_cpus_report.tool_lines(view, rules, _width(options))))


def _width(options: argparse.Namespace) -> int:
    """The width of lines for people, in characters."""
    return _NO_END if options.format == "wide" else max(_NARROWEST, min(_WIDEST, columns()))


def _write_one_file(path: str) -> int:
    """Write the command into one file that can be executed; return 0. Raises StoreError."""
    from lab.cell.cpus.one_file import PACKAGE, one_file

    if not os.path.isdir(PACKAGE):
        raise UsageError(f"--zipapp {path} was asked of the one file itself", "copy that file")
    try:
        content = one_file()
        # A symbolic link is not followed, and a FIFO that nobody reads is refused at once.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(system.open_file(path, flags, 0o777, follow=False), "wb") as file:
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


def _show_variables(view: View, rules: Sequence[Rule]) -> None:
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


def _missing(view: View, wanted: float) -> Tuple[int, str]:
    """(exit code, reason) for a number of CPUs that somebody needs."""
    basis, bound = view.advice[0], view.rate
    if bound >= wanted:
        return 0, ""
    if basis == "D":
        why = view.why
    elif bound < view.cpus.parallelism:
        tightest = min(view.cpus.limits, key=lambda limit: limit.cpus)
        why = f"a quota of {tightest.quota_us} of {tightest.period_us} µs at {tightest.folder}"
    else:
        why = mask(view.cpus)
    return 1, f"{basis} is {decimal(bound)}, and --require asks for {decimal(wanted)}: {why}"
