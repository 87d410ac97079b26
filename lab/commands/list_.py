"""``lab list``: list the experiments and their claims."""

from __future__ import annotations

import argparse

from lab.messages import show

HELP = "list the experiments and their claims"
EXAMPLE = """\
example:
  lab list   print every experiment, and below it the claims that it judges"""

#: Stands behind the name of an experiment that `lab run` without names leaves out.
_EXTRA = " (extra)"


def configure(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(options: argparse.Namespace) -> int:
    """Print every experiment with its claims; returns the exit code."""
    import textwrap

    from lab.cell import experiments

    broken = experiments.broken()
    for name, fault in broken.items():
        show(textwrap.fill(f"{name} cannot be loaded: {fault}", 80, subsequent_indent="  "), end="\n\n")
    for name in experiments.in_order():
        if name in broken:
            continue
        experiment = experiments.load(name)
        title = f"{name}{_EXTRA if experiment.extra else ''}: {experiment.summary}"
        show(textwrap.fill(title, 80, subsequent_indent="  "))
        for claim in experiment.claims:
            show(textwrap.fill(f"  {claim.id}: {claim.statement}", 80, subsequent_indent="      "))
        show()
    show("(extra): lab run leaves it out unless you name it, or say lab run all")
    show("lab explain NAME says more about an experiment")
    return 0
