"""``lab list``: the experiments and their claims."""

from __future__ import annotations

import argparse

HELP = "list the experiments and their claims"
EXAMPLE = """\
example:
  lab list   every experiment, and under it the claims it judges"""

#: Stands behind the name of one that a bare `lab run` leaves out.
_EXTRA = " (extra)"


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(options: argparse.Namespace) -> int:
    """Print every experiment with its claims; returns the exit code."""
    import textwrap

    from lab.cell import experiments

    for name in experiments.in_order():
        experiment = experiments.load(name)
        title = f"{name}{_EXTRA if experiment.extra else ''}: {experiment.summary}"
        print(textwrap.fill(title, 80, subsequent_indent="  "))
        for claim in experiment.claims:
            print(textwrap.fill(f"  {claim.id}: {claim.statement}", 80, subsequent_indent="      "))
        print()
    print("(extra): runs by its name, or with: lab run all")
    print("More on one of them: lab explain NAME")
    return 0
