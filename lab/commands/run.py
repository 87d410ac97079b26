"""``lab run``: plan, run, judge, print."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lab.errors import Interrupted, UsageError
from lab.progress import tell

if TYPE_CHECKING:
    from lab import choice
    from lab.engines import Engine
    from lab.model import Cell, FailOn, Job, Machine, Session
    from lab.store import SessionFolder

HELP = "run experiments with 1, 2, 4 and all CPUs, judge their claims, print the tables"
EXAMPLE = """\
examples:
  lab run                                every experiment but the extra ones, 1, 2, 4 and all CPUs
  lab run all                            the extra ones too (lab list)
  lab run pool --transcript              one of them, with its story
  lab run gil --cpus 2 --engine local    without an engine
  lab run pool --quota 0.5,1.5           under a quota instead of a CPU set
  lab run --python 3.9 --python 3.13t    on several Pythons; see lab images
  lab run --image myapp:latest           in an image of your own
  lab run gil pool --predict             first say what you expect
  lab run --format json > session.json   for programs; also junit, csv, pyperf, summary
  lab run --fail-on never                only a run that failed is a failure

exit codes: 0 ran, no surprise; 1 a surprise, or what --fail-on or --strict names;
  2 wrong usage; 3 a cell or the engine failed; 130 interrupted"""

#: Level -> (most seconds of measuring an experiment, half-width of the interval at which it stops sooner).
LEVELS = {"quick": (4.0, 0.15), "default": (8.0, 0.05), "thorough": (60.0, 0.02)}

#: What ``--cpus`` is when neither it nor ``--quota`` is given.
DEFAULT_SIZES = "1,2,4,all"

#: In the place of names of experiments: every one, the extra ones too.
EVERY = "all"

#: No interval gets narrower than this on any machine that does anything else.
NARROWEST = 0.001

_CELL_GRACE_SECONDS = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # The names of formats and experiments are looked up by cheap file listings, not by importing them.
    from lab import reports

    add_plan_options(parser)
    parser.add_argument("--format", choices=reports.formats(), default="table", help="what to print (default: table)")
    parser.add_argument("--transcript", action="store_true", help="first print the story: who ran, where and when")
    parser.add_argument(
        "--predict", action="store_true", help="first ask what you expect, then show it beside the rest"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the session in a folder below DIR")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quick", dest="level", action="store_const", const="quick", help="measure less, judge less")
    level.add_argument("--thorough", dest="level", action="store_const", const="thorough", help="measure more")
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="S",
        help="most seconds of measuring, each experiment in each cell",
    )
    parser.add_argument(
        "--width",
        type=float,
        metavar="SHARE",
        help="half-width of an interval, as a share of its value, at which measuring stops sooner",
    )
    add_gate_options(parser)
    parser.set_defaults(level="default")


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
        metavar="BUILD",
        help="a Python to run on, such as 3.9, 3.13t, 3.13t+gil, /path/to/python or all; repeat it for several",
    )


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which verdicts are a failure; ``lab gather`` has them too."""
    from lab.model import FailOn

    parser.add_argument(
        "--fail-on",
        choices=[one.value for one in FailOn],
        default=FailOn.SURPRISE.value,
        help="exit with 1 for a surprise (default); for a refuted or inconclusive verdict too; or never",
    )
    parser.add_argument(
        "--strict", action="store_true", help="an inconclusive verdict is a failure too, whatever --fail-on says"
    )


def gate(options: argparse.Namespace) -> FailOn:
    """Which verdicts are a failure. Raises UsageError where the options contradict each other."""
    from lab.model import FailOn

    if options.strict and options.fail_on == FailOn.NEVER:
        raise UsageError("--strict and --fail-on never contradict each other; leave one of them out")
    return FailOn(options.fail_on)


def run(options: argparse.Namespace) -> int:
    """Plan, run, judge and print; returns the exit code."""
    from lab import asking, packed, progress, reports, runner, sessions
    from lab.engines import cell_code
    from lab.store import SessionFolder, default_folder

    reports.check(options.format)
    experiments = chosen_experiments(options.experiments)
    check_limits(options)
    if options.predict:
        asking.check(experiments)
    if lacking := reports.needs(options.format) - {*experiments}:
        raise UsageError(
            f"--format {options.format} reports what {', '.join(sorted(lacking))} measures; name that experiment too"
        )
    fail_on = gate(options)
    seconds, width = _level(options)
    began, begun = time.time(), time.monotonic()
    session = new_session(began)
    with stopping() as stop, contextlib.ExitStack() as stack:
        engine, machine = choose_engine(options, session, stop)
        stack.callback(engine.close)
        cells = cells_of(options, machine)
        stop.at_once = options.predict
        predicted, pondered = asking.predicted(experiments, cells, machine) if options.predict else ({}, 0.0)
        stop.at_once = False
        folder = stack.enter_context(SessionFolder(options.output or default_folder(), session))
        code = cell_code()
        folder.write_code(code)
        arguments = {
            "experiments": list(experiments),
            "cpus": options.cpus,
            "quota": options.quota,
            "python": options.python,
            "level": options.level,
            **predicted,
        }
        manifest = sessions.manifest(id=session, began=began, machine=machine, arguments=arguments, cells=cells)
        folder.write_manifest(manifest)
        live = progress.for_this_terminal(sum(cell.available for cell in cells), experiments, seconds)
        with live:
            jobs = [job_of(session, cell, experiments, seconds, width) for cell in cells]
            schedule, packing_note = packed.decide(
                engine,
                machine.layout,
                jobs,
                folder,
                stop,
                most=packed.parse(options.jobs),
                seconds=progress.cost(experiments, seconds),
                smt=options.smt,
                explicit=explicit_cells(options, cells),
            )
            if packing_note:
                tell(packing_note)
            stack.callback(packed.keep_off, set())
            results = runner.run(engine, jobs, folder, live, stop, schedule, packed.keep_off)
        done = sessions.assemble(
            id=session,
            began=began,
            machine=machine,
            arguments=arguments,
            experiments=experiments,
            results=results,
            code_sha256=hashlib.sha256(code).hexdigest(),
            wall_seconds=time.monotonic() - begun - pondered,
            notes=tuple(f"note: {line}" for line in (packing_note, folder.failure) if line),
            interrupted=stop.requested,
        )
        _publish(done, folder, manifest, options)
        return 130 if stop.requested else sessions.exit_code(done, fail_on=fail_on, strict=options.strict)


def _publish(done: Session, folder: SessionFolder, manifest: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Store the report and print it."""
    from lab import reports
    from lab.model import Status

    folder.write_manifest({**manifest, "report": reports.document(done)})
    if options.transcript:
        sys.stdout.write(reports.render(done, "transcript"))
    sys.stdout.write(reports.render(done, options.format))
    where = f"the session is incomplete: {folder.failure}" if folder.failure else f"session kept in {folder.path}"
    ran = sum(result.status is Status.MEASURED for result in done.results)
    tell(f"{ran} of {len(done.results)} cells measured in {done.wall_seconds:.0f} s; {where}")


def check_limits(options: argparse.Namespace) -> None:
    """Raises UsageError for sizes, quotas or jobs that cannot be read, before any engine is asked."""
    from lab import packed, planner, quotas

    planner.parse_sizes(DEFAULT_SIZES if options.cpus is None else options.cpus)
    quotas.parse("none" if options.quota is None else options.quota)
    packed.parse(options.jobs)
    wanted_of(options).check()


def cells_of(options: argparse.Namespace, machine: Machine) -> tuple[Cell, ...]:
    """The cells that the options ask for, on this machine."""
    from lab import planner, quotas

    alone = options.quota is not None and options.cpus is None
    sizes = planner.parse_sizes(planner.ALL if alone else DEFAULT_SIZES if options.cpus is None else options.cpus)
    cells = planner.plan(sizes, machine.layout, smt=options.smt)
    under = quotas.limited(cells, quotas.parse(options.quota or "none"), alone, machine.no_quota)
    return planner.across(under, [one["build"] for one in machine.details.get("builds", ())])


def explicit_cells(options: argparse.Namespace, cells: Sequence[Cell]) -> frozenset[str]:
    """The ids of the cells whose CPUs the user has named."""
    from lab import planner

    sizes = planner.parse_sizes(options.cpus) if options.cpus is not None else ()
    named = {size for size in sizes if isinstance(size, tuple)}
    return frozenset(cell.id for cell in cells if cell.cpus in named)


def chosen_experiments(wanted: Sequence[str]) -> tuple[str, ...]:
    """The experiments named, each once, in the order to run them; of no names those that are not extra, of ``all``
    every one. Raises UsageError for an unknown name."""
    from lab import experiments

    if not wanted:
        return tuple(experiments.usual())
    named = named_experiments([name for name in wanted if name != EVERY])
    return tuple(experiments.in_order()) if EVERY in wanted else named


def named_experiments(wanted: Sequence[str]) -> tuple[str, ...]:
    """The experiments of these names, each once, in the order to run them. Raises UsageError for an unknown name."""
    from lab import experiments

    known = experiments.in_order()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"there is no experiment {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def new_session(began: float) -> str:
    """A name for a session that began then (seconds since the epoch): sortable by time, and used once."""
    return time.strftime("%Y%m%d-%H%M%S-", time.localtime(began)) + secrets.token_hex(2)


def _level(options: argparse.Namespace) -> tuple[float, float]:
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


def check_seconds(limit: float) -> float:
    """A time limit that can be kept. Raises UsageError."""
    if not (limit > 0 and math.isfinite(limit)):
        raise UsageError(f"--time-limit {limit:g}: give a number of seconds above 0, such as 10")
    return limit


def job_of(session: str, cell: Cell, experiments: tuple[str, ...], seconds: float, width: float) -> Job:
    """What an engine is asked to run, with its deadlines."""
    from lab.model import Job

    each = 20 + 2 * seconds
    return Job(
        session=session,
        cell=cell,
        experiments=experiments,
        seconds=seconds,
        width=width,
        experiment_deadline=each,
        # One experiment may hang to its deadline; the others take a few seconds each.
        cell_deadline=each + seconds + 5 * len(experiments) + _CELL_GRACE_SECONDS,
    )


def choose_engine(options: argparse.Namespace, session: str, stop: Stop) -> tuple[Engine, Machine]:
    """The engine that the options ask for, probed; see :func:`lab.choice.choose`."""
    from lab import choice

    def pulling(line: str) -> None:
        tell(line)
        stop.at_once = True

    return choice.choose(wanted_of(options), session, tell, pulling)


def wanted_of(options: argparse.Namespace) -> choice.Wanted:
    """The engine, image and builds that the options name."""
    from lab import choice

    return choice.Wanted(
        engine=options.engine, image=options.image, pythons=tuple(getattr(options, "python", None) or ())
    )


class Stop:
    """Whether SIGINT or SIGTERM came."""

    requested = False
    #: Nothing can be torn yet, and what is under way (a pull) may take long.
    at_once = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. It only takes note, so that nothing is torn; a second signal does not wait."""
        if self.at_once:
            raise Interrupted("interrupted before anything was measured")
        if self.requested:
            raise Interrupted("interrupted twice; what a cell left is removed by: lab clean")
        self.requested = True
        with contextlib.suppress(OSError):  # not print: the signal may have come in the middle of one
            os.write(2, b"interrupted: ending the cell; what was measured follows\n")


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """Within this, Ctrl-C and SIGTERM ask to stop instead of stopping at once."""
    stop = Stop()
    usual = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
