"""``--submit``, for the commands that measure: the run becomes a batch job of Slurm."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from lab.commands import _passing_on
from lab.errors import UsageError
from lab.messages import show, tell


def add_submit_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--submit``."""
    parser.add_argument(
        "--submit",
        action="store_true",
        help="with --engine slurm: as a batch job, for when this terminal goes away; lab gather --slurm JOB collects",
    )


def run(options: argparse.Namespace, check: Callable[[argparse.Namespace], object]) -> int:
    """Submit the command as a batch job, say how to collect it, and return the exit code.

    ``check`` raises UsageError for options that cannot be used, before anything is submitted.
    """
    from lab.commands._requests import allocation_of
    from lab.running import nodes, submission
    from lab.sessions.folder import default_folder, new_session_id

    if options.engine != "slurm":
        raise UsageError("--submit goes with --engine slurm", "add that, or leave it out")
    if options.resume is not None or getattr(options, "predict", False):
        raise UsageError("--submit begins a run that nobody watches", "leave out --resume and --predict")
    check(options)
    allocation = nodes.wanted(allocation_of(options), [host.strip() for host in options.host])
    folder = ((options.output or default_folder()) / f"job-{new_session_id(time.time())}").absolute()
    output = _passing_on.output_option(options)
    words = _passing_on.passed_on(options, (output, str(folder)), (output,), ("--submit",))
    job = submission.submit(words, folder, allocation)
    tell(f"what it says will be in {job.messages}")
    show(f"job {job.job} is submitted; collect it with: lab gather --slurm {job.job}")
    return 0
