"""``lab run``: plan, run, judge, print."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import EngineError, UsageError
from lab.interrupts import Stop, stopping
from lab.progress import tell

if TYPE_CHECKING:
    from lab.engines import Engine
    from lab.model import Cell, Job, Machine, Session
    from lab.resuming import Past

HELP = "run experiments with 1, 2, 4 and all CPUs, judge their claims, print the tables"
EXAMPLE = """\
examples:
  lab run                                every experiment but the extra ones, 1, 2, 4 and all CPUs
  lab run all                            the extra ones too (lab list)
  lab run pool --transcript              one of them, with its story
  lab run gil --cpus 2 --engine local    without an engine
  lab run pool --quota 0.5,1.5           under a quota instead of a CPU set
  lab run --image python:3.14-slim       on another Python
  lab run --format json > session.json   for programs
  lab run --resume                       what is missing of a run that was killed

exit codes: 0 ran, no surprise; 1 a surprise (--strict: or an inconclusive verdict);
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

#: Seeds are below this.
_SEEDS = 2**32


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # The names of formats and experiments are looked up by cheap file listings, not by importing them.
    from lab import reports

    add_plan_options(parser)
    parser.add_argument("--format", choices=reports.formats(), default="table", help="what to print (default: table)")
    parser.add_argument("--transcript", action="store_true", help="first print the story: who ran, where and when")
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
    parser.add_argument(
        "--seed", type=int, metavar="N", help="orders what is done in random order (default: a new one)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="SESSION",
        help="go on with a run that was cut short, as it was begun (default: the newest one)",
    )
    parser.add_argument("--strict", action="store_true", help="an inconclusive verdict is a failure too (exit code 1)")
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


def run(options: argparse.Namespace) -> int:
    """Plan, run, judge and print; returns the exit code."""
    from lab import reports, sessions
    from lab.model import Status

    reports.check(options.format)
    past = None if options.resume is None else _past(options)
    done, where = measure(options, past)
    if options.transcript:
        sys.stdout.write(reports.render(done, "transcript"))
    sys.stdout.write(reports.render(done, options.format))
    ran = sum(result.status is Status.MEASURED for result in done.results)
    tell(f"{ran} of {len(done.results)} cells measured in {done.wall_seconds:.0f} s; {where}")
    return 130 if done.interrupted else sessions.exit_code(done, strict=options.strict)


def _past(options: argparse.Namespace) -> Past:
    """The run to go on with, whose arguments take the place of those that were not given."""
    from lab import resuming
    from lab.model import Status
    from lab.store import default_folder

    set_anew = [
        name for name in ("cpus", "quota", "image", "time_limit", "width", "seed") if vars(options)[name] is not None
    ]
    given = [*options.experiments, *(f"--{name.replace('_', '-')}" for name in set_anew)]
    if given:
        raise UsageError(f"--resume takes all of that from the session; leave out {' '.join(given)}")
    past = resuming.take_up(Path(options.resume) if options.resume else None, options.output or default_folder())
    take_over(options, past.arguments)
    resuming.clear(past)
    kept = sum(one.status is Status.MEASURED for one in past.kept.values())
    tell(f"resuming {past.folder.name}: {kept} of {len(past.cells)} cells are there already")
    return past


def take_over(options: argparse.Namespace, arguments: Mapping[str, Any]) -> None:
    """Let the stored arguments of a session be those of this run. A version that stored fewer had the defaults."""
    options.experiments = list(arguments["experiments"])
    options.time_limit, options.width = arguments.get("seconds"), arguments.get("width")
    for name in ("cpus", "quota", "level", "smt", "jobs", "engine", "image", "seed"):
        if name in arguments:
            setattr(options, name, arguments[name])


def measure(
    options: argparse.Namespace,
    past: Past | None = None,
    choose_cells: Callable[[Machine], tuple[Cell, ...]] | None = None,
    **origin: str,
) -> tuple[Session, str]:
    """Plan, run, judge and store; or go on with ``past``. Returns the session, and a few words on where it is.

    ``choose_cells`` plans instead of the options; ``origin`` goes into the manifest.
    """
    from lab import orchestrator, packed, progress, reports, resuming, runner, sessions
    from lab.engines import cell_code
    from lab.store import SessionFolder, default_folder

    experiments = chosen_experiments(options.experiments)
    check_limits(options)
    seconds, width = _level(options)
    began, begun = time.time(), time.monotonic()
    session = past.folder.name if past else new_session(began)
    with stopping() as stop, contextlib.ExitStack() as stack:
        engine, machine = choose_engine(options, session, stop)
        stack.callback(engine.close)
        stop.at_once = False
        stack.callback(packed.keep_off, set())
        code = cell_code()
        code_sha256 = hashlib.sha256(code).hexdigest()
        if past:
            resuming.check(past, machine, code_sha256)
            cells, manifest = past.cells, past.manifest_at(began)
            folder = stack.enter_context(SessionFolder(past.folder.parent, session, again=True))
            folder.set_aside(past.kept)
        else:
            cells = choose_cells(machine) if choose_cells else cells_of(options, machine)
            folder = stack.enter_context(SessionFolder(options.output or default_folder(), session))
            folder.write_code(code)
            manifest = origin | sessions.manifest(
                id=session,
                began=began,
                machine=machine,
                arguments=_arguments(options, machine, experiments, seconds, width),
                cells=cells,
                code_sha256=code_sha256,
                host=orchestrator.facts(),
            )
        folder.write_manifest(manifest)
        missing = [cell for cell in cells if not past or cell.id not in past.kept]
        live = progress.for_this_terminal(sum(cell.available for cell in missing), experiments, seconds)
        with live:
            seed = manifest["arguments"]["seed"]
            jobs = [job_of(session, cell, experiments, seconds, width, seed) for cell in missing]
            schedule, packing_note = packed.decide(
                engine,
                machine.layout,
                jobs,
                folder,
                stop,
                most=packed.parse(options.jobs),
                seconds=progress.cost(experiments, seconds),
                smt=options.smt,
                explicit=explicit_cells(options, missing),
            )
            if packing_note:
                tell(packing_note)
            ran = runner.run(engine, jobs, folder, live, stop, schedule, packed.keep_off)
        results = resuming.joined(past, cells, ran)
        done = sessions.assemble(
            id=session,
            began=manifest["began"],
            machine=machine,
            arguments=manifest["arguments"],
            experiments=experiments,
            results=results,
            code_sha256=code_sha256,
            wall_seconds=time.monotonic() - begun + (past.wall_seconds if past else 0),
            notes=tuple(f"note: {line}" for line in (packing_note, folder.failure) if line),
            interrupted=stop.requested,
        )
        if machine.engine == "docker":
            manifest["host"] = {**manifest["host"], "compose_version": orchestrator.compose_version()}
        ending = {"ended": time.time(), "noise": sessions.noise(results), "report": reports.document(done)}
        folder.write_manifest({**manifest, **ending})
        folder.seal()
        where = f"the session is incomplete: {folder.failure}" if folder.failure else f"session kept in {folder.path}"
        return done, where


def _arguments(
    options: argparse.Namespace, machine: Machine, experiments: Sequence[str], seconds: float, width: float
) -> dict[str, Any]:
    """What was asked for, as far as it decides what is measured: enough to do it again."""
    return {
        "experiments": list(experiments),
        "cpus": options.cpus,
        "quota": options.quota,
        "level": options.level,
        "seconds": seconds,
        "width": width,
        "smt": options.smt,
        "jobs": options.jobs,
        "engine": machine.engine,
        "image": machine.image,
        "seed": secrets.randbelow(_SEEDS) if options.seed is None else options.seed,
    }


def check_limits(options: argparse.Namespace) -> None:
    """Raises UsageError for sizes, quotas or jobs that cannot be read, before any engine is asked."""
    from lab import packed, planner, quotas

    planner.parse_sizes(DEFAULT_SIZES if options.cpus is None else options.cpus)
    quotas.parse("none" if options.quota is None else options.quota)
    packed.parse(options.jobs)
    seed = getattr(options, "seed", None)
    if seed is not None and not 0 <= seed < _SEEDS:
        raise UsageError(f"--seed {seed}: give a whole number from 0 to {_SEEDS - 1}")


def cells_of(options: argparse.Namespace, machine: Machine) -> tuple[Cell, ...]:
    """The cells that the options ask for, on this machine."""
    from lab import planner, quotas

    alone = options.quota is not None and options.cpus is None
    sizes = planner.parse_sizes(planner.ALL if alone else DEFAULT_SIZES if options.cpus is None else options.cpus)
    cells = planner.plan(sizes, machine.layout, smt=options.smt)
    return tuple(quotas.limited(cells, quotas.parse(options.quota or "none"), alone, machine.no_quota))


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


def job_of(session: str, cell: Cell, experiments: tuple[str, ...], seconds: float, width: float, seed: int = 1) -> Job:
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
        seed=seed,
    )


def choose_engine(options: argparse.Namespace, session: str, stop: Stop) -> tuple[Engine, Machine]:
    """The engine asked for, probed; ``auto`` takes docker where it answers and has an image, else local, and says so.

    Raises EngineError, ImageError or UsageError.
    """
    from lab import engines

    if options.engine == "local":
        if options.image:
            raise UsageError("--image needs an engine; leave it out, or use --engine docker")
        return _probed(engines.make("local"))

    def pulling(line: str) -> None:
        tell(line)
        stop.at_once = True

    try:
        found = _probed(engines.make("docker", image=options.image, session=session, note=pulling))
    except EngineError as error:
        if options.engine == "docker" or options.image:
            raise
        tell(f"engine: local (docker: {error})")
        return _probed(engines.make("local"))
    if options.engine == "auto":
        tell(f"engine: docker, image {found[1].image}")
    return found


def _probed(engine: Engine) -> tuple[Engine, Machine]:
    try:
        return engine, engine.probe()
    except BaseException:
        engine.close()
        raise
