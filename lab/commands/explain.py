"""``lab explain NAME``: what an experiment measures, how, and what to expect."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.experiments._claims import Claim, Tolerance

HELP = "explain an experiment: what it measures, how, and what to expect"
EXAMPLE = """\
example:
  lab explain pool   what the pool experiment does, and which verdict each Python is expected to give"""

#: Cells whose expected verdicts are shown: Python version, with GIL; each with 1 and with 2 CPUs on a host with 8.
_BUILDS = (((3, 9), True), ((3, 11), True), ((3, 13), True), ((3, 14), True), ((3, 13), False))
_SIZES = (1, 2)
_HOST = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", help="an experiment, or one claim such as pool.default-size")


def run(options: argparse.Namespace) -> int:
    """Print the explanation; returns the exit code."""
    from lab.commands.run import named_experiments
    from lab.experiments import load

    name, _, _ = options.name.partition(".")
    experiment = load(named_experiments([name])[0])
    claims = [claim for claim in experiment.claims if options.name in (name, claim.id)]
    if not claims:
        from lab.errors import UsageError

        known = ", ".join(claim.id for claim in experiment.claims)
        raise UsageError(f"there is no claim {options.name!r}; {name} has: {known}")
    print(experiment.summary)
    for title, text in (("How", experiment.method), ("What to look at", experiment.watch)):
        print(f"\n{title}")
        print(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  "))
    print(f"\nClaims, and the verdict expected on a host with {_HOST} CPUs")
    for claim in claims:
        print("\n" + textwrap.fill(f"{claim.id}: “{claim.statement}”", 80, subsequent_indent="  "))
        if claim.tolerance:
            text = f"confirmed {_bounds(claim.tolerance)}: {claim.tolerance.why}"
            print(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  "))
        print(_expectations(claim))
        if claim.advice:
            text = f"where it is refuted, or surprises: {claim.advice}"
            print(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  "))
    return 0


def _bounds(tolerance: Tolerance) -> str:
    """Where the whole 95 % interval has to lie."""
    low, high = tolerance.low, tolerance.high
    if low is None:
        return f"up to {high:g}"
    return f"from {low:g} on" if high is None else f"from {low:g} to {high:g}"


def _expectations(claim: Claim) -> str:
    """A small table: a row for each Python, or one line where they all agree."""
    from tabulate import tabulate

    rows = [
        (f"{version[0]}.{version[1]}{'' if gil else 't'}", *(_expected(claim, version, gil, size) for size in _SIZES))
        for version, gil in _BUILDS
    ]
    if len({row[1:] for row in rows}) == 1:
        verdicts = rows[0][1:]
        if len(set(verdicts)) == 1:
            return f"  {verdicts[0]} on every Python"
        return (
            "  "
            + ", ".join(
                f"{verdict} with {size} CPU" + "s" * (size > 1) for verdict, size in zip(verdicts, _SIZES, strict=True)
            )
            + ", on every Python"
        )
    table = tabulate(rows, headers=("Python", "1 CPU", "2 CPUs"), disable_numparse=True)
    return textwrap.indent(table, "  ")


def _expected(claim: Claim, version: tuple[int, int], gil: bool, size: int) -> str:
    from lab.experiments._claims import UNTESTABLE, Facts

    if size < claim.least_cpus:
        return UNTESTABLE
    method = "forkserver" if version >= (3, 14) else "fork"
    facts = Facts(version=version, gil=gil, cpus=size, rate=float(size), host_cpus=_HOST, start_method=method)
    return claim.expected(facts) or "not known"
