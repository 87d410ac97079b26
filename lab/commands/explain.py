"""``lab explain NAME``: what an experiment teaches and measures, how, and what to expect."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.experiments._claims import Claim, Tolerance
    from lab.primers import Primer

HELP = "explain an experiment: the idea, how it measures, what to ask yourself first, and what to expect"
EXAMPLE = """\
examples:
  lab explain pool                what it teaches and does, and what to expect
  lab explain pool --answers      the same with the answers to its questions
  lab explain pool.default-size   one of its claims"""

#: Cells whose expected verdicts are shown: Python version, with GIL; each with 1 and with 2 CPUs on a host with 8.
_BUILDS = (((3, 9), True), ((3, 11), True), ((3, 13), True), ((3, 14), True), ((3, 13), False))
_SIZES = (1, 2)
_HOST = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", help="an experiment, or one claim such as pool.default-size")
    parser.add_argument("--answers", action="store_true", help="answer the questions too")


def run(options: argparse.Namespace) -> int:
    """Print the explanation; returns the exit code."""
    import textwrap

    from lab.asked import named_experiments
    from lab.experiments import load
    from lab.primers import load as load_primer

    name, _, _ = options.name.partition(".")
    experiment = load(named_experiments([name])[0])
    claims = [claim for claim in experiment.claims if options.name in (name, claim.id)]
    if not claims:
        from lab.errors import UsageError

        known = ", ".join(claim.id for claim in experiment.claims)
        raise UsageError(f"there is no claim {options.name!r}; {name} has: {known}")
    primer = load_primer(name) if options.name == name else None
    print(experiment.summary)
    if primer:
        _section("The idea", primer.idea)
    _section("How", experiment.method)
    _section("What to look at", experiment.watch)
    if primer:
        _teach(primer, options.name, answers=options.answers)
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


def _section(title: str, text: str) -> None:
    import textwrap

    print(f"\n{title}")
    print(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


def _teach(primer: Primer, name: str, *, answers: bool) -> None:
    """The questions, with or without their answers; where the textbook is out of date; sources."""
    import textwrap

    print("\nThree questions, to be answered before you run it")
    for number, question in enumerate(primer.questions, 1):
        print(textwrap.fill(question.ask, 80, initial_indent=f"  {number}. ", subsequent_indent="     "))
        if answers:
            print(textwrap.fill(question.answer, 80, initial_indent="     → ", subsequent_indent="       "))
    if not answers:
        print(f"  The answers: lab explain {name} --answers")
    _section("Where the textbook is out of date", primer.outdated)
    print("\nSources")
    for source in primer.sources:
        print(f"  {source.title}\n    {source.url}")


def _bounds(tolerance: Tolerance) -> str:
    """Where the whole 95 % interval has to lie."""
    low, high = tolerance.low, tolerance.high
    if low is None:
        return f"up to {high:g}"
    return f"from {low:g} on" if high is None else f"from {low:g} to {high:g}"


def _expectations(claim: Claim) -> str:
    """A small table: a row for each Python, or one line where they all agree."""
    import textwrap

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
