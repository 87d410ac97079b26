"""``lab plan``: what ``lab run`` would do, without running it."""

from __future__ import annotations

import argparse
import os

from lab.commands import run as run_command

HELP = "show what run would do, without running it"
EXAMPLE = """\
examples:
  lab plan                     the cells of lab run on this machine
  lab plan gil --cpus 1,3,all  those of another run"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    run_command.add_plan_options(parser)


def run(options: argparse.Namespace) -> int:
    """Probe the machine and print its cells; returns the exit code."""
    from tabulate import tabulate

    from lab import cpuset, progress, units

    experiments = run_command.chosen_experiments(options.experiments)
    run_command.check_limits(options)
    engine, machine = run_command.choose_engine(options, f"plan-{os.getpid()}", run_command.Stop())
    engine.close()
    rows = [
        (cell.label, cpuset.render(cell.cpus), "to be measured")
        if cell.available
        else (cell.label, "-", f"untestable: {cell.reason}")
        for cell in run_command.cells_of(options, machine)
    ]
    print(tabulate(rows, headers=("CPUs", "on CPU ids", "cell"), disable_numparse=True))
    cells = sum(row[1] != "-" for row in rows)
    most = cells * progress.cost(experiments, run_command.LEVELS["default"][0])
    print(f"\nin each cell: {', '.join(experiments)}")
    print(f"one cell after the other on engine {machine.engine}, in about {units.seconds(most)} at most")
    return 0
