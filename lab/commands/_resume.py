"""``--resume``, for the commands that measure: a run that was cut short goes on as it was begun."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _options
from lab.errors import NotResumableError, UsageError
from lab.messages import tell

if TYPE_CHECKING:
    from lab.planning.request import Request
    from lab.running.measurement import Start

#: The options that say what is asked of Slurm. The rest of a run may need more time, or another node.
_OF_SLURM = ("time", "partition", "nodelist", "constraint", "account")
#: The options that may stand beside ``--resume``: they decide nothing of what is measured.
_BESIDE_RESUME = {"resume", "force", "output", "format", "transcript", "fail_on", "strict", "expect", "yes", *_OF_SLURM}


def add_resume_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--resume``, ``--force`` and ``--yes``."""
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="SESSION",
        help="resume a run that was cut short, as it was begun (default: the newest run)",
    )
    parser.add_argument(
        "--force", action="store_true", help="with --resume: also where the engine, an image or the lab has changed"
    )
    _options.add_yes_option(parser)


def check_alone(options: argparse.Namespace) -> None:
    """Raise UsageError where an option that only goes with ``--resume`` is given without it."""
    if options.force and options.resume is None:
        raise UsageError("--force goes with --resume, which is refused on unlike machines; leave it out")
    if options.yes and options.resume is None:
        raise UsageError("--yes goes with --resume, which asks before it runs a session's programs; leave it out")


def passing_over(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """This command, which takes the next older run where the newest cannot go on here and the user named none."""

    @functools.wraps(run)
    def run_or_older(options: argparse.Namespace) -> int:
        options.passed_over = []
        while True:
            options.candidate = None
            try:
                return run(options)
            except NotResumableError as error:
                if options.resume or options.candidate is None:
                    raise
                from lab.sessions.resuming import pass_over

                pass_over(options.candidate, error, options.passed_over)

    return run_or_older


def resumed_run(
    options: argparse.Namespace, configure: Callable[[argparse.ArgumentParser], None], words: str
) -> tuple[Request, Start]:
    """The request of the run that was cut short, and a run that goes on there.

    ``configure`` is that of the command, and ``words`` names its positional arguments. Raises UsageError.
    """
    from lab.model.cell import Status
    from lab.planning.request import from_arguments
    from lab.running import own_code, own_experiments
    from lab.running.measurement import ResumedRun
    from lab.running.stored_request import check_other_version, stored_arguments, with_same_images
    from lab.sessions import loading, resuming
    from lab.sessions.folder import default_folder

    if given := _given_options(options, configure, words):
        raise UsageError(f"--resume takes all of that from the session; leave out {' '.join(given)}")
    named = Path(options.resume) if options.resume else None
    past = resuming.take_up(named, options.output or default_folder(), options.passed_over)
    options.candidate = past.folder
    arguments = stored_arguments(past.manifest)
    with loading.making_sense_of(past.folder):
        _options.confirm_code(arguments, past.folder, yes=options.yes)
    own_experiments.take_in_again(arguments)
    resuming.clear(past)
    with loading.making_sense_of(past.folder):
        request = asking(from_arguments(with_same_images(arguments, past.machine)), options)
    check_other_version(request)
    if request.target and not options.force:
        own_code.check_unchanged(request.target, past.folder.name)
    kept_cells = sum(result.status is Status.MEASURED for result in past.kept.values())
    tell(f"resuming {past.folder.name}: {kept_cells} of {len(past.cells)} cells are there already")
    return request, ResumedRun(past=past, resumed_at=time.time(), force=options.force)


def asking(request: Request, options: argparse.Namespace) -> Request:
    """The same request, which asks Slurm for what the command line says. Raises UsageError without Slurm."""
    given = {name: vars(options)[name] for name in _OF_SLURM if vars(options)[name]}
    if given and request.engine != "slurm":
        flag = f"--{next(iter(given))}"
        raise UsageError(f"{flag} is asked of Slurm, which this session did not run on", f"leave out {flag}")
    return replace(request, allocation=replace(request.allocation, **given))


def _given_options(
    options: argparse.Namespace, configure: Callable[[argparse.ArgumentParser], None], words: str
) -> list[str]:
    """The options given that decide what is measured, as the user wrote them."""
    parser = argparse.ArgumentParser()
    configure(parser)
    defaults = vars(parser.parse_args([]))
    given = [name for name, value in defaults.items() if name not in _BESIDE_RESUME and vars(options)[name] != value]
    flags = {"level": f"--{vars(options).get('level')}", "statement_setup": "-s", "destination": "--output"}
    written = (flags.get(name, f"--{name.replace('_', '-')}") for name in given if name != words)
    return [*vars(options)[words], *written]
