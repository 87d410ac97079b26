"""``lab explain NAME``: what an experiment teaches and measures, how, and what to expect."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.cell.claims.claim import Claim, Tolerance
    from lab.teaching.primers import Primer

HELP = "explain an experiment: the idea, how it measures, what to ask yourself first, and what to expect"
EXAMPLE = """\
examples:
  lab explain pool                what it teaches and does, and what to expect
  lab explain pool --answers      the same with the answers to its questions
  lab explain pool.default-size   one of its claims
  lab explain --all               what is expected of every claim on which
                                  Python, as Markdown (docs/expected.md)"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help="an experiment, or one claim such as pool.default-size")
    what.add_argument("--all", action="store_true", help="the verdicts expected of every claim, as a page in Markdown")
    parser.add_argument("--answers", action="store_true", help="answer the questions too")


def run(options: argparse.Namespace) -> int:
    """Print the explanation; returns the exit code."""
    import textwrap

    from lab.cell.experiments import in_order, load
    from lab.judging import expectations
    from lab.planning.request import named_experiments
    from lab.teaching.primers import load as load_primer

    if options.all:
        print(expectations.page([load(name) for name in in_order()]), end="")
        return 0
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
    print(f"\nClaims, and the verdict expected on a host with {expectations.HOST_CPUS} CPUs")
    for claim in claims:
        print("\n" + textwrap.fill(f"{claim.id}: “{claim.statement}”", 80, subsequent_indent="  "))
        if claim.tolerance:
            text = f"confirmed {_bounds(claim.tolerance)}: {claim.tolerance.why}"
            print(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  "))
        print(_expectations(claim))
        if claim.source:
            print(_whole_words(f"source: {claim.source}"))
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


def _whole_words(text: str) -> str:
    """Lines in which no word is broken: an address is to be copied."""
    import textwrap

    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "  ")


def _expectations(claim: Claim) -> str:
    """A small table: a row for those Pythons that agree, or one line where all do under every limit."""
    import textwrap

    from tabulate import tabulate

    from lab.judging import expectations

    found = expectations.expectations_of(claim)
    if len(found) == 1 and len(set(found[0].verdicts)) == 1:
        return f"  {found[0].verdicts[0]} on every Python"
    rows = [(one.builds, *one.verdicts) for one in found]
    return textwrap.indent(tabulate(rows, headers=("Python", *expectations.limits()), disable_numparse=True), "  ")
