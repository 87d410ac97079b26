"""``lab gather``: collect what Compose, Kubernetes or a batch job has measured, and report it as ``lab run`` does."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands._options import (
    add_failure_options,
    add_format_option,
    add_label_option,
    failure_policy,
    print_report,
    tell_exit,
)
from lab.commands._requests import label_of
from lab.errors import CellError, UsageError
from lab.messages import ended, kept

if TYPE_CHECKING:
    from lab.model.fail_on import FailurePolicy
    from lab.model.session import Session

HELP = "collect what Compose, Kubernetes or a batch job of Slurm has measured, and report it as lab run does"
EXAMPLE = """\
examples:
  lab gather                     collect; this works after the containers ended
  lab gather --format json       print for programs
  lab gather --records records   read from files, without an engine
  lab gather --kubernetes        collect what lab export kubernetes wrote and
                                 the cluster of kubectl has run
  lab gather --slurm 4711        the job that lab run --submit has submitted

exit codes: 0 all cells ran, without a surprise; 1 a surprise, or a verdict that
  --fail-on or --strict names; 2 there is nothing to gather; 3 a cell failed or
  has not ended, no engine or cluster answers, or the client is not installed"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--project", metavar="NAME", help="the Compose project, if several have results")
    where.add_argument("--records", type=Path, metavar="DIR", help="read the files *.jsonl in DIR instead")
    where.add_argument("--kubernetes", action="store_true", help="read the logs of the Jobs on a cluster instead")
    where.add_argument("--slurm", metavar="JOB", help="report the session of the batch job of this number instead")
    parser.add_argument("--session", default="", metavar="NAME", help="the session, if Kubernetes has run several")
    parser.add_argument("--namespace", default="", metavar="NAME", help="the namespace (default: that of kubectl)")
    parser.add_argument(
        "--context", default="", metavar="NAME", help="the context of kubectl (default: the current one)"
    )
    add_label_option(parser)
    add_format_option(parser)
    add_failure_options(parser)


def run(options: argparse.Namespace) -> int:
    """Collect, judge and print, and return the exit code.

    Raises UsageError or CellError when there is nothing to report.
    """
    from lab.sessions import from_compose

    policy = failure_policy(options)
    label = label_of(options)
    if options.slurm:
        return _of_job(options, label, policy)
    start = "docker compose up"
    if options.kubernetes:
        session, start = _from_kubernetes(options), "kubectl create"
    else:
        _refuse_of_kubernetes(options)
        session = _from_files(options.records) if options.records else _from_engine(options.project)
    session = _labelled(session, label)
    if not any(result.records for result in session.results):
        cells = "; ".join(f"{result.cell.id}: {result.reason}" for result in session.results)
        raise CellError(f"no cell has anything to report: {cells}; start the cells with {start}")
    with kept("the records stay where they are; run lab gather again"):
        print_report(session, options.format)
    lost = "a cell has not ended, or has not begun" if from_compose.is_incomplete(session) else None
    return tell_exit(session, policy, lost=lost)


def _labelled(session: Session, label: str) -> Session:
    """The session with this label, unless the label is empty."""
    return dataclasses.replace(session, arguments={**session.arguments, "label": label}) if label else session


def _of_job(options: argparse.Namespace, label: str, policy: FailurePolicy) -> int:
    """Report the session of a batch job, and return the exit code."""
    from lab.running.submission import collected

    _refuse_of_kubernetes(options)
    session, lost = collected(options.slurm)
    with kept("the session stays where it is; run lab gather again"):
        print_report(_labelled(session, label), options.format)
    return ended(3, lost) if lost else tell_exit(session, policy)


def _from_files(folder: Path) -> Session:
    from lab.sessions import from_compose
    from lab.sessions.files import read_file

    try:
        sources = [from_compose.CellRecords(cell=path.stem, stream=read_file(path)) for path in folder.glob("*.jsonl")]
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from error
    if not sources:
        raise UsageError(f"{folder} has no records (*.jsonl); name the folder that the cells wrote to")
    return from_compose.session("records", sources, image=None, details={"records": str(folder)})


def _from_engine(project: str | None) -> Session:
    from lab.containers import compose
    from lab.containers.client import client_for_this_environment
    from lab.sessions import from_compose

    with contextlib.closing(client_for_this_environment()) as client:
        cells = list(compose.collect(client, project))
    if not cells:
        where = f"of the Compose project {project!r} " if project else "that Compose started "
        raise UsageError(f"the engine has no cells {where}(any more); start them with docker compose up")
    # A project without results does not count if another project has results.
    projects = sorted({cell.project for cell in cells if cell.stream is not None} or {cell.project for cell in cells})
    if len(projects) > 1:
        raise UsageError(
            f"{len(projects)} Compose projects have results: {', '.join(projects)}; choose one with --project"
        )
    chosen = [cell for cell in cells if cell.project == projects[0]]
    sources = [
        from_compose.CellRecords(cell=cell.cell, stream=cell.stream, outcome=cell.outcome, running=cell.running)
        for cell in chosen
    ]
    return from_compose.session(projects[0], sources, image=chosen[0].image, details={"project": projects[0]})


def _refuse_of_kubernetes(options: argparse.Namespace) -> None:
    """Raise UsageError for an option that has no meaning without ``--kubernetes``."""
    for name in ("session", "namespace", "context"):
        if getattr(options, name):
            raise UsageError(f"--{name} goes with --kubernetes", "give it too")


def _from_kubernetes(options: argparse.Namespace) -> Session:
    from lab.engines import kubernetes_pods
    from lab.sessions import from_compose

    cluster = kubernetes_pods.Cluster(context=options.context, namespace=options.namespace)
    cells = kubernetes_pods.collect(cluster, options.session)
    sessions = sorted({cell.session for cell in cells})
    if not cells:
        which = f" of the session {options.session}" if options.session else ""
        raise UsageError(
            f"the namespace has no cells{which} (any more)", "make them with lab export kubernetes, or give --namespace"
        )
    if len(sessions) > 1:
        raise UsageError(
            f"{len(sessions)} sessions have cells there: {', '.join(sessions)}", "choose one of them with --session"
        )
    nodes = {cell.cell: cell.node for cell in cells if cell.node}
    notes = []
    if len({*nodes.values()}) > 1:
        where = ", ".join(f"{cell} on {node}" for cell, node in sorted(nodes.items()))
        notes = [f"note: the cells ran on different nodes, which may differ in speed: {where}"]
    for cell in cells:
        if cell.qos not in ("", "Guaranteed"):
            notes.append(f"note: the pod of {cell.cell} was {cell.qos}, not Guaranteed: the cluster has changed it")
    sources = [
        from_compose.CellRecords(
            cell=cell.cell,
            stream=cell.stream,
            outcome=cell.outcome,
            running=cell.running,
            waiting=cell.waiting,
            log_command=kubernetes_pods.log_command(cell),
            may_be_quota=True,
        )
        for cell in cells
    ]
    details = {"nodes": nodes}
    return from_compose.session(sessions[0], sources, cells[0].image, details, engine="kubernetes", notes=notes)
