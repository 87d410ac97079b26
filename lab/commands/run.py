"""``lab run``: plan, run, judge, print."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.commands import _options
from lab.errors import UsageError
from lab.interrupts import StopFlag, stopping
from lab.messages import tell
from lab.planning import jobs as jobs_
from lab.sessions import folder as folder_

if TYPE_CHECKING:
    from lab.model.cell import Cell
    from lab.model.machine import Machine
    from lab.model.session import Session
    from lab.sessions.resuming import Past

HELP = "run experiments with 1, 2, 4 and all CPUs, judge their claims, print the tables"
EXAMPLE = """\
examples:
  lab run                                all but the extra ones (lab list)
  lab run all                            the extra ones too
  lab run pool --transcript              one of them, with its story
  lab run gil --cpus 2 --engine local    without an engine
  lab run pool --quota 0.5,1.5           under a quota instead of a CPU set
  lab run --python 3.9 --python 3.13t    on several Pythons; see lab images
  lab run --image myapp:latest           in an image of your own
  lab run gil pool --predict             first say what you expect
  lab run --format json > session.json   for programs; also junit, csv, pyperf
  lab run --fail-on never                only a run that failed is a failure
  lab run --resume                       what is missing of one that was killed
  lab run --resume --force               also on another engine or image

exit codes: 0 ran, no surprise; 1 a surprise, or what --fail-on or --strict
  names; 2 wrong usage; 3 a cell or the engine failed; 130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # The names of formats and experiments are looked up by cheap file listings, not by importing them.
    from lab import reports

    _options.add_plan_options(parser)
    parser.add_argument(
        "--format", choices=reports.format_names(), default="table", help="what to print (default: table)"
    )
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
    parser.add_argument(
        "--force", action="store_true", help="with --resume: also where the engine, an image or the lab is another one"
    )
    _options.add_gate_options(parser)
    parser.set_defaults(level="default")


def run(options: argparse.Namespace) -> int:
    """Plan, run, judge and print; returns the exit code."""
    from lab import reports

    fail_on = _options.gate(options)
    if options.force and options.resume is None:
        raise UsageError("--force goes with --resume, which is refused on unlike machines; leave it out")
    past = None if options.resume is None else _past(options)
    _options.named_experiments([name for name in options.experiments if name != _options.EVERY])
    if options.predict:
        from lab.teaching import prompt

        prompt.check_predictable(_options.chosen_experiments(options.experiments))
    needed = reports.needs(options.format)
    if needed and (lacking := needed - {*_options.chosen_experiments(options.experiments)}):
        raise UsageError(
            f"--format {options.format} reports what {', '.join(sorted(lacking))} measures; name that experiment too"
        )
    with stopping() as stop:
        done, where = measure(options, stop, past)
        from lab.judging import exit_code
        from lab.model.cell import Status

        if options.transcript:
            sys.stdout.write(reports.render(done, "transcript"))
        sys.stdout.write(reports.render(done, options.format))
        sys.stdout.flush()
        ran = sum(result.status is Status.MEASURED for result in done.results)
        tell(f"{ran} of {len(done.results)} cells measured in {done.wall_seconds:.0f} s; {where}")
        return 130 if stop.requested else exit_code.exit_code(done, fail_on=fail_on, strict=options.strict)


def _past(options: argparse.Namespace) -> Past:
    """The run to go on with, whose arguments take the place of those that were not given."""
    from lab.commands import _stored_options
    from lab.model.cell import Status
    from lab.sessions import resuming
    from lab.sessions.folder import default_folder

    if given := _set_anew(options):
        raise UsageError(f"--resume takes all of that from the session; leave out {' '.join(given)}")
    past = resuming.take_up(Path(options.resume) if options.resume else None, options.output or default_folder())
    resuming.clear(past)
    _stored_options.take_over(
        options, _stored_options.on_the_same_images(_stored_options.arguments_of(past.manifest), past.machine)
    )
    kept = sum(one.status is Status.MEASURED for one in past.kept.values())
    tell(f"resuming {past.folder.name}: {kept} of {len(past.cells)} cells are there already")
    return past


#: What may be said beside ``--resume``: it decides nothing of what is measured.
_OF_THE_REPORT = {"resume", "force", "output", "format", "transcript", "fail_on", "strict"}


def _set_anew(options: argparse.Namespace) -> list[str]:
    """What was given of all that a run is begun with, as the user wrote it."""
    parser = argparse.ArgumentParser()
    configure(parser)
    usual = vars(parser.parse_args([]))
    given = [name for name in usual if name not in _OF_THE_REPORT and vars(options)[name] != usual[name]]
    flags = {"level": f"--{options.level}"}
    named = (flags.get(name, f"--{name.replace('_', '-')}") for name in given if name != "experiments")
    return [*options.experiments, *named]


def measure(
    options: argparse.Namespace,
    stop: StopFlag,
    past: Past | None = None,
    choose_cells: Callable[[Machine], tuple[Cell, ...]] | None = None,
    **origin: str,
) -> tuple[Session, str]:
    """Plan, run, judge and store; or go on with ``past``. What there is when ``stop`` is requested is judged and
    stored. Returns the session, and a few words on where it is.

    ``choose_cells`` plans instead of the options; ``origin`` goes into the manifest.
    """
    import hashlib

    _options.check_limits(options)
    seconds, width = _options.level_of(options)
    began, begun = time.time(), time.monotonic()
    session = past.folder.name if past else folder_.new_session_id(began)
    with contextlib.ExitStack() as stack:
        engine, machine = _options.choose_engine(options, session, stop, functools.partial(_load_the_rest, options))
        stack.callback(engine.close)
        stop.at_once = False

        from lab import reports
        from lab.engines.cell_code import cell_code
        from lab.judging import assembly
        from lab.planning import packing
        from lab.running import host, parallel_cells, progress, runner
        from lab.sessions import manifest as sessions
        from lab.sessions import resuming
        from lab.sessions.folder import SessionFolder, default_folder

        reports.check_libraries(options.format)
        stack.callback(parallel_cells.keep_off, set())
        experiments = _options.chosen_experiments(options.experiments)
        asks, pondered = getattr(options, "predict", False), 0.0
        code = cell_code()
        code_sha256 = hashlib.sha256(code).hexdigest()
        if past:
            unlike = resuming.check_resumable(past, machine, code_sha256, force=options.force)
            cells, manifest, code_sha256 = past.cells, past.manifest_at(began, unlike), past.code_sha256
            folder = stack.enter_context(SessionFolder(past.folder.parent, session, again=True))
            folder.set_aside(past.kept)
        else:
            cells = choose_cells(machine) if choose_cells else _options.cells_of(options, machine)
            predicted: dict[str, Any] = {}
            if asks:
                from lab.teaching import prompt

                stop.at_once = True
                predicted, pondered = prompt.predicted(experiments, cells, machine)
                stop.at_once = False
            folder = stack.enter_context(SessionFolder(options.output or default_folder(), session))
            folder.write_code(code)
            manifest = origin | sessions.manifest(
                id=session,
                began=began,
                machine=machine,
                arguments=_arguments(options, machine, experiments, seconds, width) | predicted,
                cells=cells,
                code_sha256=code_sha256,
                host=host.host_facts(),
            )
        folder.write_manifest(manifest)
        missing = [cell for cell in cells if not past or cell.id not in past.kept]
        live = progress.for_this_terminal(sum(cell.available for cell in missing), experiments, seconds)
        with live:
            seed = manifest["arguments"]["seed"]
            jobs = [jobs_.job_of(session, cell, experiments, seconds, width, seed) for cell in missing]
            schedule, packing_note = parallel_cells.decide(
                engine,
                machine.layout,
                jobs,
                folder,
                stop,
                most=packing.parse_jobs(options.jobs),
                seconds=progress.cost(experiments, seconds),
                smt=options.smt,
                explicit=_options.explicit_cells(options, missing),
            )
            if packing_note:
                tell(packing_note)
            ran = runner.run(engine, jobs, folder, live, stop, schedule, parallel_cells.keep_off)
        if machine.engine == "docker":  # only now, when nothing is measured
            compose = stack.enter_context(host.compose_asked())
        results = resuming.joined(past, cells, ran)
        done = assembly.assemble(
            id=session,
            began=manifest["began"],
            machine=machine,
            arguments=manifest["arguments"],
            experiments=experiments,
            results=results,
            code_sha256=code_sha256,
            wall_seconds=time.monotonic() - begun - pondered + (past.wall_seconds if past else 0),
            notes=tuple(f"note: {line}" for line in (packing_note, folder.failure, _forced(manifest)) if line),
            interrupted=stop.requested,
        )
        if machine.engine == "docker":
            manifest["host"] = {**manifest["host"], "compose_version": compose()}
        ending = {"ended": time.time(), "noise": sessions.noise(results), "report": reports.document(done)}
        folder.write_manifest({**manifest, **ending})
        folder.seal()
        where = f"the session is incomplete: {folder.failure}" if folder.failure else f"session kept in {folder.path}"
        return done, where


def _load_the_rest(options: argparse.Namespace) -> None:
    """Load and make what is needed once there is an engine, which makes itself waited for. What fails here fails again
    where it is needed."""
    with contextlib.suppress(Exception):  # a missing package, say: then it is said where it can be
        from lab import reports
        from lab.engines.cell_code import cell_code
        from lab.running import host, parallel_cells, progress, runner  # noqa: F401 - only to load it
        from lab.sessions import resuming  # noqa: F401 - only to load it

        reports.check_libraries(options.format)
        reports.check_libraries("json")
        cell_code()
        cell_code(_options.chosen_experiments(options.experiments))


def _forced(manifest: Mapping[str, Any]) -> str:
    """What is not the same in all cells, since going on was forced."""
    found = manifest.get("forced")
    return f"gone on with by force, cells before and after do not compare: {'; '.join(found)}" if found else ""


def _arguments(
    options: argparse.Namespace, machine: Machine, experiments: Sequence[str], seconds: float, width: float
) -> dict[str, Any]:
    """What was asked for, as far as it decides what is measured: enough to do it again."""
    import random

    return {
        "experiments": list(experiments),
        "cpus": options.cpus,
        "quota": options.quota,
        "python": options.python,
        "level": options.level,
        "seconds": seconds,
        "width": width,
        "smt": options.smt,
        "jobs": options.jobs,
        "engine": machine.engine,
        "image": None if options.python else machine.image,
        "seed": random.randrange(jobs_.SEEDS) if options.seed is None else options.seed,
    }
