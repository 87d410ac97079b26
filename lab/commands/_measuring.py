"""What the commands that measure do alike: they begin a run or resume one, report it, and end with its exit code."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.commands import _options, _resume
from lab.interrupts import stopping
from lab.messages import kept, tell

if TYPE_CHECKING:
    from lab.model.fail_on import FailurePolicy
    from lab.model.session import Session
    from lab.planning.request import Request
    from lab.running.measurement import Kept, Start


def new_or_resumed(
    options: argparse.Namespace,
    configure: Callable[[argparse.ArgumentParser], None],
    words: str,
    new_request: Callable[[argparse.Namespace], Request],
) -> tuple[Request, Start]:
    """The request, and how the run begins. ``new_request`` makes that of a run that is not resumed.

    ``configure`` is that of the command, and ``words`` names its positional arguments. Raises UsageError.
    """
    _resume.check_alone(options)
    if options.resume is not None:
        return _resume.resumed_run(options, configure, words)
    from lab.running.measurement import NewRun
    from lab.sessions.folder import default_folder, new_session_id

    request = new_request(options)
    began = time.time()
    return request, NewRun(
        session_id=new_session_id(began),
        began=began,
        parent=options.output or default_folder(),
        predict=getattr(options, "predict", False),
        origin={},
    )


def measure_and_report(options: argparse.Namespace, request: Request, start: Start, policy: FailurePolicy) -> int:
    """Measure, print the report, and say where the session is; return the exit code. ``policy`` says what fails."""
    from lab import reports
    from lab.running import measurement

    def prepare() -> None:
        reports.check_libraries(options.format)
        reports.check_libraries("json")

    with stopping() as stop:
        session, where = measurement.measure(request, start, stop, prepare, reports.so_far)
        code = report(options, session, where, policy)
        return 130 if stop.requested else code


def report(options: argparse.Namespace, session: Session, where: Kept, policy: FailurePolicy) -> int:
    """Print the report of a session that has just been measured, and say where it is; return the exit code."""
    with kept(where.words):
        if getattr(options, "transcript", False):
            _options.print_report(session, "transcript")
        _options.print_report(session, options.format)
    tell(f"{_measured(session)} in {session.wall_seconds:.0f} s; {where.words}")
    return _options.tell_exit(session, policy, lost=where.failure)


def _measured(session: Session) -> str:
    """How many cells were measured, of those that this machine can have."""
    from lab.model.cell import Status
    from lab.text import units

    untestable = sum(result.status is Status.UNAVAILABLE for result in session.results)
    measured = sum(result.status is Status.MEASURED for result in session.results)
    possible = len(session.results) - untestable
    text = f"{units.counted(measured, 'cell')} measured"
    if measured < possible:
        text = f"{measured} of {units.counted(possible, 'cell')} measured"
    return f"{text} ({untestable} untestable on this machine)" if untestable else text
