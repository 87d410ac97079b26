"""``--host`` and ``--nodes`` for several machines: the command runs once at each of them, and reports them all."""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _measuring, _passing_on
from lab.errors import StoreError, UsageError
from lab.messages import tell

if TYPE_CHECKING:
    from lab.interrupts import StopFlag
    from lab.model.fail_on import FailurePolicy
    from lab.model.session import Session
    from lab.running.measurement import Kept


def are_several(options: argparse.Namespace) -> bool:
    """Whether the command begins a run on several hosts, or on several nodes of Slurm."""
    from lab.commands._requests import allocation_of

    return options.resume is None and (len(options.host) > 1 or allocation_of(options).nodes > 1)


def run(options: argparse.Namespace, check: Callable[[argparse.Namespace], object], policy: FailurePolicy) -> int:
    """Run the command at each host at the same time, print one report, and return the exit code.

    ``check`` raises UsageError for options that cannot be used, before anything runs. ``policy`` says what fails.
    """
    from lab import interrupts, reports
    from lab.running import hosts as running
    from lab.sessions.folder import default_folder, new_session_id

    if getattr(options, "predict", False):
        raise UsageError("--predict asks what one machine will do", "leave it out, or name one --host")
    check(options)
    reports.check_libraries(options.format)
    began = time.time()
    folder = ((options.output or default_folder()) / new_session_id(began)).absolute()
    words = functools.partial(_words_of, options, folder, _seed(options))
    with interrupts.stopping() as stop, _machines(options, folder.name, stop) as hosts:
        tell(f"on {len(hosts)} hosts at the same time: {', '.join(hosts)}")
        interrupts.leave(folder, functools.partial(_unjoined, folder))
        lost = running.run_all(hosts, words, stop)
        session = running.joined(folder, hosts, lost, seconds=time.time() - began, interrupted=stop.requested)
        where = _keep(folder, session, options.typed[0])
        interrupts.leave_nothing(folder)
        code = _measuring.report(options, session, where, policy)
        return 130 if stop.requested else code


def _unjoined(folder: Path) -> str | None:
    """What is left of a run whose hosts could not be joined; ``None`` where no host has stored anything."""
    if not folder.is_dir():
        return None
    return f"what the hosts have measured is in {folder}; join it: lab merge {folder}"


@contextlib.contextmanager
def _machines(options: argparse.Namespace, session: str, stop: StopFlag) -> Iterator[list[str]]:
    """The hosts, or the nodes of an allocation that exists within the context. Raises UsageError and EngineError."""
    hosts = [host.strip() for host in options.host]
    if options.engine != "slurm":
        from lab.running.hosts import check_distinct

        with stop.interruptible():
            check_distinct(hosts)
        yield hosts
        return
    from lab.commands._requests import allocation_of
    from lab.running import nodes

    with nodes.allocated(nodes.wanted(allocation_of(options), hosts), session, stop) as names:
        yield names


def _seed(options: argparse.Namespace) -> int:
    """The seed of all hosts: that of the user, or a new one."""
    import random

    from lab.cell.worker.job import SEEDS

    return random.randrange(SEEDS) if options.seed is None else int(options.seed)


def _words_of(options: argparse.Namespace, folder: Path, seed: int, host: str) -> list[str]:
    """The command line for one host: that of the user, without what is for the report of all hosts."""
    output = _passing_on.output_option(options)
    own = ("--host", host, output, str(folder), "--seed", str(seed))
    without = ("--host", "--nodes", "--nodelist", output, "--format", "--fail-on", "--expect", "--seed")
    return _passing_on.passed_on(options, own, without, ("--full", "--transcript", "--strict"))


def _keep(folder: Path, session: Session, command: str) -> Kept:
    """Store the joined session, and say where it is, and how to measure what is missing."""
    from lab.running.measurement import Kept
    from lab.sessions import keeping, resuming
    from lab.sessions.document import document
    from lab.sessions.folder import resume_hosts_command

    words = f"session kept in {folder}, with that of each host in a folder below it"
    if session.interrupted or resuming.lost_cells(document(session)):
        words += f"; measure missing cells with: {resume_hosts_command(folder, command)}"
    try:
        keeping.keep(folder.parent, session)
    except StoreError as error:
        return Kept(words=words, failure=str(error))
    return Kept(words=words, failure=None)
