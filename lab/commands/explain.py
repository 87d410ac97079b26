"""``lab explain NAME``: explain what an experiment teaches, how it measures, and what to expect."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.messages import show, show_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.cell.claims.claim import Claim, Tolerance
    from lab.teaching.primers import Primer

HELP = "explain an experiment: its idea, its method, questions to answer first, and what to expect"
EXAMPLE = """\
examples:
  lab explain pool                explain the experiment pool
  lab explain pool --answers      explain it, and answer its questions too
  lab explain pool --teacher      with answers and expected verdicts, and with
                                  what the textbook has that is out of date
  lab explain pool --handout      a page for students, in Markdown
  lab explain pool --handout html the same to print
  lab explain --course            all experiments as a course of three sessions
  lab explain pool.default-size   explain one of its claims
  lab explain glossary            explain the words of the lab
  lab explain --all               print the verdict expected of every claim on
                                  every Python, as Markdown (docs/expected.md)"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument(
        "name", nargs="?", metavar="NAME", help="an experiment, a claim such as pool.default-size, or glossary"
    )
    subject.add_argument(
        "--all", action="store_true", help="print the verdicts expected of every claim, as a page in Markdown"
    )
    subject.add_argument(
        "--course", action="store_true", help="print a course of three sessions with all usual experiments, as Markdown"
    )
    parser.add_argument(
        "--handout",
        nargs="?",
        const="markdown",
        choices=("markdown", "html"),
        help="print a page for students, with blanks and without answers; also of --course: markdown or html",
    )
    parser.add_argument(
        "--teacher", action="store_true", help="with the answers, the expected verdicts, and where the textbook is old"
    )
    parser.add_argument("--markdown", action="store_true", help="with glossary: print it as docs/glossary.md")
    parser.add_argument("--answers", action="store_true", help="answer the questions too")


def run(options: argparse.Namespace) -> int:
    """Print the explanation, and return the exit code."""
    from lab.cell.experiments import broken, in_order, load
    from lab.judging import expectations
    from lab.planning.request import named_experiments
    from lab.teaching import handout
    from lab.teaching.primers import load as load_primer

    if options.handout and (options.all or options.name == "glossary"):
        raise UsageError("a handout is about an experiment", "name one, or give --course; lab list has all")
    if options.all:
        left_out = broken()
        show_document(expectations.page([load(name) for name in in_order() if name not in left_out]))
        return 0
    if options.name == "glossary":
        return _glossary(markdown=options.markdown)
    if options.course:
        return _page(handout.course(), options.handout)
    if "/" in options.name or options.name.endswith(".py"):
        raise UsageError(
            f"{options.name} is a file, and lab explain has the lab's own experiments",
            f"lab plan {options.name} says what would be judged",
        )
    name, _, _ = options.name.partition(".")
    experiment = load(named_experiments([name])[0])
    claims = [claim for claim in experiment.claims if options.name in (name, claim.id)]
    if not claims:
        known = ", ".join(claim.id for claim in experiment.claims)
        raise UsageError(f"there is no claim {options.name!r}; the claims of {name} are: {known}")
    if options.handout:
        if options.name != name:
            raise UsageError(f"a handout is about an experiment, and {options.name} is a claim", f"name {name}")
        return _page(handout.handout(name), options.handout)
    primer = load_primer(name) if options.name == name else None
    show(experiment.summary)
    if primer:
        _section("The idea", primer.idea)
    _section("How", experiment.method)
    _section("What to look at", experiment.watch)
    if primer and not options.teacher:
        _claims_alone(claims)
        _ask(primer, name, answers=options.answers)
        return 0
    if primer:
        _ask(primer, name, answers=True)
        _teach(primer)
    _expected(claims)
    return 0


def _page(text: str, form: str | None) -> int:
    """Print a handout or a course, which are made in Markdown."""
    from lab.teaching import handout

    show_document(handout.page(text) if form == "html" else text)
    return 0


def _claims_alone(claims: Sequence[Claim]) -> None:
    """Print the claims without their expected verdicts, which would answer the questions."""
    import textwrap

    show("\nWhat is claimed")
    for claim in claims:
        show(textwrap.fill(f"{claim.id}: “{claim.statement}”", 80, initial_indent="  ", subsequent_indent="    "))


def _expected(claims: Sequence[Claim]) -> None:
    """Print the claims with all that is expected of them."""
    import textwrap

    from lab.judging import expectations

    show(f"\nClaims, and the verdict expected on a host with {expectations.HOST_CPUS} CPUs")
    for claim in claims:
        show("\n" + textwrap.fill(f"{claim.id}: “{claim.statement}”", 80, subsequent_indent="  "))
        if claim.tolerance:
            text = f"confirmed {_bounds(claim.tolerance)}: {claim.tolerance.why}"
            show(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  "))
        show(_expectations(claim))
        if claim.source:
            show(_whole_words(f"source: {claim.source}"))
        if claim.advice:
            text = f"where it is refuted, or surprises: {claim.advice}"
            show(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  "))


def _glossary(*, markdown: bool) -> int:
    import textwrap

    from lab.teaching import glossary

    if markdown:
        show_document(glossary.page())
        return 0
    for word, meaning in glossary.terms().items():
        show(textwrap.fill(f"{word}: {meaning}", 80, subsequent_indent="    ", break_on_hyphens=False))
    return 0


def _section(title: str, text: str) -> None:
    import textwrap

    show(f"\n{title}")
    show(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


def _teach(primer: Primer) -> None:
    """Print where the textbook is out of date, and the sources."""
    _section("Where the textbook is out of date", primer.outdated)
    show("\nSources")
    for source in primer.sources:
        show(f"  {source.title}\n    {source.url}")


def _ask(primer: Primer, name: str, *, answers: bool) -> None:
    """Print the questions with or without their answers."""
    import textwrap

    show("\nThree questions to answer before you run it")
    for number, question in enumerate(primer.questions, 1):
        show(textwrap.fill(question.ask, 80, initial_indent=f"  {number}. ", subsequent_indent="     "))
        if answers:
            show(textwrap.fill(question.answer, 80, initial_indent="     → ", subsequent_indent="       "))
    if not answers:
        show(f"  lab explain {name} --answers answers them, and --teacher\n  has the expected verdicts too")


def _bounds(tolerance: Tolerance) -> str:
    """The bounds of the whole 95 % interval, in words."""
    low, high = tolerance.low, tolerance.high
    if low is None:
        return f"up to {high:g}"
    return f"from {low:g} on" if high is None else f"from {low:g} to {high:g}"


def _whole_words(text: str) -> str:
    """The text in lines that break no word, because a reader copies addresses."""
    import textwrap

    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "  ")


def _expectations(claim: Claim) -> str:
    """The expected verdicts: a row for all Pythons that agree, or one line if every Python agrees under every limit."""
    import textwrap

    from tabulate import tabulate

    from lab.judging import expectations

    expected = expectations.expectations_of(claim)
    if len(expected) == 1 and len(set(expected[0].verdicts)) == 1:
        return f"  {expected[0].verdicts[0]} on every Python"
    rows = [(row.builds, *row.verdicts) for row in expected]
    return textwrap.indent(tabulate(rows, headers=("Python", *expectations.limits()), disable_numparse=True), "  ")
