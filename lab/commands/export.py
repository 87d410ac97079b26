"""``lab export``: write the cells of a run as Jobs for another system to run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.commands import _options, _requests
from lab.errors import UsageError
from lab.messages import show_document, tell

if TYPE_CHECKING:
    from lab.model.cell import Job
    from lab.planning.request import Request

HELP = "write the cells of a run as Jobs of Kubernetes, with the code of the cells in them"
EXAMPLE = """\
examples:
  lab export kubernetes | kubectl create -f -     the usual run, 1, 2, 4 CPUs
  lab export kubernetes pool gil --cpus 2,8 --image myapp:1 --output jobs
                                                  a file for each object
  lab gather --kubernetes                         report what they measured

The command asks no cluster. Each cell is a Job with a Guaranteed pod of whole
CPUs. docs/kubernetes.md says what such a pod proves, and what it does not.

exit codes: 0 written; 2 wrong usage, or the code does not fit into a ConfigMap;
  3 a file could not be written"""

#: The sizes of the cells where ``--cpus`` names none. How many CPUs "all" are is not known here.
_SIZES = "1,2,4"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from lab.containers.image_config import OFFICIAL_IMAGE

    usual = argparse.ArgumentParser()
    _options.add_cell_options(usual)
    parser.set_defaults(**vars(usual.parse_args([])))  # what a cluster decides is as lab run has it
    parser.add_argument("system", choices=("kubernetes",), help="the system that runs the cells")
    parser.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="the experiments to run, as of lab run (default: the same)"
    )
    parser.add_argument("--cpus", default=_SIZES, metavar="LIST", help=f"the sizes of the cells (default: {_SIZES})")
    parser.add_argument(
        "--image",
        default=OFFICIAL_IMAGE,
        help=f"the image of the cells, as the cluster pulls it, with Python 3.9 or later (default: {OFFICIAL_IMAGE})",
    )
    parser.add_argument(
        "--program", default="python3", metavar="PATH", help="the Python in the image (default: python3)"
    )
    parser.add_argument("--namespace", default="", metavar="NAME", help="the namespace (default: that of kubectl)")
    parser.add_argument("--node", default="", metavar="NAME", help="run all cells on this node (default: on any)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write a file for each object into DIR instead")
    _options.add_level_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the objects, and return the exit code. Raises UsageError and StoreError."""
    import time

    from lab.engines import kubernetes_jobs, kubernetes_yaml
    from lab.engines.cell_code import cell_code
    from lab.sessions.folder import new_session_id

    request = _requests.request_from(options)
    jobs = jobs_of(request, new_session_id(time.time()))
    site = kubernetes_jobs.Site(
        image=options.image, program=options.program, namespace=options.namespace, node=options.node
    )
    objects = kubernetes_jobs.manifests(jobs, cell_code(request.experiments), site)
    if options.output:
        _write(options.output, objects)
    else:
        show_document("".join(map(kubernetes_yaml.document, objects)))
    session = jobs[0].session
    if options.output:
        tell(f"written to {options.output}; create them with: kubectl create -f {options.output}")
    there = f" --namespace {options.namespace}" if options.namespace else ""
    tell(f"when they have ended: lab gather --kubernetes{there} --session {session}")
    return 0


def jobs_of(request: Request, session: str) -> list[Job]:
    """A job for each size that is asked for, small ones first. Raises UsageError for a size that is no number."""
    from lab.model.cell import Cell, Limit
    from lab.planning.cells import parse_sizes
    from lab.planning.jobs import job_of

    if request.own:
        raise UsageError(
            f"{', '.join(request.own)} is an experiment of your own, which lab gather does not know",
            "name experiments of the lab (lab list)",
        )
    jobs = []
    for size in sorted(parse_sizes(request.cpus or _SIZES), key=lambda size: size if isinstance(size, int) else 0):
        if not isinstance(size, int):
            raise UsageError(
                f"--cpus {request.cpus}: a pod asks for a number of CPUs, and not for all or for certain ones",
                f"give whole numbers, such as --cpus {_SIZES}",
            )
        limit = Limit(cpus=size)
        cell = Cell(id=limit.id, limit=limit, size=size)
        jobs.append(job_of(session, cell, request.experiments, request.seconds, request.width, request.seed))
    return jobs


def _write(folder: Path, objects: Sequence[dict[str, Any]]) -> None:
    """Write each object into a file of its own, in a new folder. Raises UsageError and StoreError."""
    from lab.engines.kubernetes_yaml import document
    from lab.errors import StoreError
    from lab.sessions.files import replace_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "name a new folder: kubectl takes every file in it")
        for each in objects:
            name = f"{each['metadata']['name']}-{each['kind'].lower()}.yaml"
            replace_file(folder / name, document(each).encode())
    except OSError as error:
        raise StoreError(f"cannot write {error.filename}: {error.strerror}", "name another folder") from error
