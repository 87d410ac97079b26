"""What a command line asks for: the options that several commands have, and what they come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lab.errors import EngineError, Interrupted, UsageError
from lab.interrupts import StopFlag
from lab.messages import tell
from lab.planning.jobs import LEVELS, NARROWEST, SEEDS, check_seconds

if TYPE_CHECKING:
    from lab.engines import Engine, selection
    from lab.model.cell import Cell
    from lab.model.fail_on import FailOn
    from lab.model.machine import Machine


#: What ``--cpus`` is when neither it nor ``--quota`` is given.
DEFAULT_SIZES = "1,2,4,all"

#: In the place of names of experiments: every one, the extra ones too.
EVERY = "all"


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what to run and where; ``lab plan`` has them too."""
    which = "which ones, or all (default: all but the extra ones; see lab list)"
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=which)
    parser.add_argument(
        "--cpus",
        metavar="LIST",
        help=f"sizes (default: {DEFAULT_SIZES}; with --quota: the quota alone), or CPU ids: 0-3,8 or ids:3",
    )
    parser.add_argument("--smt", action="store_true", help="fill cores thread by thread (default: a core for each CPU)")
    parser.add_argument(
        "--quota", metavar="LIST", help="CPU time a second, in CPUs, such as 0.5,1.5; 'none' is no quota (docker)"
    )
    parser.add_argument(
        "--jobs",
        default="auto",
        metavar="N",
        help="cells at a time, on cores of their own: a number or auto (default)",
    )
    parser.add_argument("--engine", choices=("auto", "docker", "local"), default="auto", help="default: auto")
    parser.add_argument("--image", help="the image of the cells, with Python 3.9 or later (docker)")
    parser.add_argument(
        "--python",
        action="append",
        type=located,
        metavar="BUILD",
        help="a Python to run on, such as 3.9, 3.13t, 3.13t+gil, /path/to/python or all; repeat it for several",
    )


def located(build: str) -> str:
    """Builds as they were written; a path so that it means the same in any folder, for the session remembers it.

    Raises UsageError where a path begins with a home that is not known.
    """
    from lab.model import build as builds
    from lab.pythons import discovery

    def whole(part: str) -> str:
        is_path = "/" in part and not part.endswith("/")  # that one is refused with what it was to be
        return str(discovery.located(part)) if is_path else part

    return ",".join(map(whole, builds.parts(build))) if "/" in build else build


def add_gate_options(parser: argparse.ArgumentParser, *, asked_for: bool = False) -> None:
    """The options that say which verdicts are a failure. Where that has to be ``asked_for`` nothing is one without."""
    from lab.model.fail_on import FailOn

    usual = "exit with 1 for a surprise (default); for a refuted or inconclusive verdict too; or never"
    asked = (
        "exit as run does: with 1 for a surprise; for a refuted or inconclusive verdict too; or never (default: with 0)"
    )
    parser.add_argument(
        "--fail-on",
        choices=[one.value for one in FailOn],
        default=None if asked_for else FailOn.SURPRISE.value,
        help=asked if asked_for else usual,
    )
    parser.add_argument(
        "--strict", action="store_true", help="an inconclusive verdict is a failure too, whatever --fail-on says"
    )


def gate(options: argparse.Namespace) -> FailOn:
    """Which verdicts are a failure; a surprise where only ``--strict`` was given. Raises UsageError where the options
    contradict each other."""
    from lab.model.fail_on import FailOn

    if options.strict and options.fail_on == FailOn.NEVER:
        raise UsageError("--strict and --fail-on never contradict each other; leave one of them out")
    return FailOn(options.fail_on or FailOn.SURPRISE)


def check_limits(options: argparse.Namespace) -> None:
    """Raises UsageError for sizes, quotas or jobs that cannot be read, before any engine is asked."""
    from lab.planning import cells as planner
    from lab.planning import packing, quotas

    planner.parse_sizes(DEFAULT_SIZES if options.cpus is None else options.cpus)
    quotas.parse_quotas("none" if options.quota is None else options.quota)
    packing.parse_jobs(options.jobs)
    wanted_of(options).check()
    seed = getattr(options, "seed", None)
    if seed is not None and not 0 <= seed < SEEDS:
        raise UsageError(f"--seed {seed}: give a whole number from 0 to {SEEDS - 1}")


def cells_of(options: argparse.Namespace, machine: Machine) -> tuple[Cell, ...]:
    """The cells that the options ask for, on this machine."""
    from lab.planning import cells as planner
    from lab.planning import quotas

    alone = options.quota is not None and options.cpus is None
    sizes = planner.parse_sizes(planner.ALL if alone else DEFAULT_SIZES if options.cpus is None else options.cpus)
    cells = planner.plan(sizes, machine.layout, smt=options.smt)
    under = quotas.limited(cells, quotas.parse_quotas(options.quota or "none"), alone, machine.no_quota)
    return planner.across(under, [one["build"] for one in machine.details.get("builds", ())])


def explicit_cells(options: argparse.Namespace, cells: Sequence[Cell]) -> frozenset[str]:
    """The ids of the cells whose CPUs the user has named."""
    from lab.planning import cells as planner

    sizes = planner.parse_sizes(options.cpus) if options.cpus is not None else ()
    named = {size for size in sizes if isinstance(size, tuple)}
    return frozenset(cell.id for cell in cells if cell.cpus in named)


def chosen_experiments(wanted: Sequence[str]) -> tuple[str, ...]:
    """The experiments named, each once, in the order to run them; of no names those that are not extra, of ``all``
    every one. Raises UsageError for an unknown name."""
    from lab.cell import experiments

    if not wanted:
        return tuple(experiments.usual())
    named = named_experiments([name for name in wanted if name != EVERY])
    return tuple(experiments.in_order()) if EVERY in wanted else named


def named_experiments(wanted: Sequence[str]) -> tuple[str, ...]:
    """The experiments of these names, each once, in the order to run them. Raises UsageError for an unknown name."""
    from lab.cell import experiments

    known = experiments.in_order()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"there is no experiment {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def level_of(options: argparse.Namespace) -> tuple[float, float]:
    seconds, width = LEVELS[options.level]
    if options.time_limit is not None:
        seconds = check_seconds(options.time_limit)
    if options.width is not None:
        width = options.width
        if not NARROWEST <= width < 1:
            raise UsageError(
                f"--width {width:g}: give the half-width of an interval as a share of its value, from {NARROWEST:g} (a"
                " tenth of a percent) to below 1, such as 0.02"
            )
    return seconds, width


def choose_engine(
    options: argparse.Namespace, session: str, stop: StopFlag, meanwhile: Callable[[], object] | None = None
) -> tuple[Engine, Machine]:
    """The engine that the options ask for, probed; see :func:`lab.engines.selection.choose`.

    Raises as that does; Interrupted where a stop was requested and none answered: Ctrl-C in a terminal also reaches the
    Python that is asked.
    """
    from lab import engines
    from lab.engines import selection

    def pulling(line: str) -> None:
        tell(line)
        stop.at_once = True

    try:
        return selection.choose(wanted_of(options), session, tell, pulling, meanwhile or engines.nothing)
    except EngineError:
        if stop.requested:
            raise Interrupted("interrupted before anything was measured") from None
        raise


def wanted_of(options: argparse.Namespace) -> selection.Wanted:
    """The engine, image and builds that the options name."""
    from lab.engines import selection

    return selection.Wanted(
        engine=options.engine,
        image=options.image,
        pythons=tuple(getattr(options, "python", None) or ()),
        images=getattr(options, "images", {}),
    )
