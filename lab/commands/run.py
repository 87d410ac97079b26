"""``lab run``: plan, run, judge, print."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _options, _resume
from lab.errors import UsageError
from lab.interrupts import stopping
from lab.messages import kept, tell

if TYPE_CHECKING:
    from lab.planning.request import Request
    from lab.running.measurement import Start

HELP = "run experiments with 1, 2, 4 and all CPUs, judge their claims, print the answer"
EXAMPLE = """\
examples:
  lab run                                all but the extra experiments
  lab run all                            the extra experiments too
  lab run pool --transcript              one experiment, with its story
  lab run gil --cpus 2 --engine local    without an engine
  lab run pool --quota 0.5,1.5           under a quota instead of a CPU set
  lab run --python 3.9 --python 3.13t    on several Pythons; see lab images
  lab run --image myapp:latest           in an image of your own
  lab run gil pool --predict             first say what you expect
  lab run --full                         all tables, not the one screen
  lab run --format json > session.json   for programs; also junit, csv, pyperf
  lab run --fail-on never                only a run that failed is a failure
  lab run gil --expect gil.no-speedup=refuted    that is right here
  lab run --resume                       the missing cells of a killed run
  lab run --resume --force               the same, on another engine or image

lab list names the experiments.

exit codes: 0 the run had no surprise; 1 a surprise, or a verdict that
  --fail-on, --strict or --expect names; 2 wrong usage; 3 a cell or the engine
  failed; 130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    _options.add_plan_options(parser)
    _options.add_format_option(parser)
    parser.add_argument("--transcript", action="store_true", help="first print the story: who ran, where and when")
    parser.add_argument(
        "--predict", action="store_true", help="first ask what you expect, then show it beside the measurements"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the session in a folder below DIR")
    _options.add_level_options(parser)
    _resume.add_resume_options(parser)
    _options.add_gate_options(parser)


def run(options: argparse.Namespace) -> int:
    """Plan, run, judge and print; return the exit code."""
    gate = _options.gate(options)
    _resume.check_alone(options)
    is_new = options.resume is None
    request, start = _new_run(options) if is_new else _resume.resumed_run(options, configure, "experiments")
    _check_format(options.format, request)
    if gate.expected:
        from lab.planning.expected import check_planned

        check_planned(gate.expected, _options.claim_ids(), request.experiments)

    from lab import reports
    from lab.running import measurement

    def prepare() -> None:
        reports.check_libraries(options.format)
        reports.check_libraries("json")

    with stopping() as stop:
        session, where = measurement.measure(request, start, stop, prepare)
        from lab.model.cell import Status

        with kept(where.words):
            if options.transcript:
                _options.print_report(session, "transcript")
            _options.print_report(session, options.format)
        measured = sum(result.status is Status.MEASURED for result in session.results)
        tell(f"{measured} of {len(session.results)} cells measured in {session.wall_seconds:.0f} s; {where.words}")
        code = _options.tell_exit(session, gate, lost=where.failure)
        return 130 if stop.requested else code


def _new_run(options: argparse.Namespace) -> tuple[Request, Start]:
    """The request of the command line, and a run that begins with a new plan."""
    from lab.running.measurement import NewRun
    from lab.sessions.folder import default_folder, new_session_id

    request = _options.request_from(options)
    if options.predict:
        from lab.teaching import prompt

        prompt.check_predictable(request.experiments)
    began = time.time()
    parent = options.output or default_folder()
    start = NewRun(session_id=new_session_id(began), began=began, parent=parent, predict=options.predict, origin={})
    return request, start


def _check_format(name: str, request: Request) -> None:
    """Raise UsageError where a format reports what no experiment of this run measures."""
    from lab import reports

    if name == "hyperfine":
        raise UsageError("--format hyperfine reports what a command took", "run it with lab exec")
    missing = frozenset() if request.target else reports.needs(name) - {*request.experiments}
    if missing:
        raise UsageError(
            f"--format {name} reports what {', '.join(sorted(missing))} measures; name that experiment too"
        )
