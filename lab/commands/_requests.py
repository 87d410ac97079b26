"""The requests that the options of the command line make. Raises UsageError where an option cannot be used."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.cell.targets.case import Case
    from lab.model.allocation import Allocation
    from lab.planning.programs import Workload
    from lab.planning.request import Request


def request_from(options: argparse.Namespace) -> Request:
    """The request that the options make. Raises UsageError where one of them cannot be used."""
    from lab.cell import experiments
    from lab.messages import tell
    from lab.planning.request import LEVELS, chosen_experiments
    from lab.running.own_experiments import taken_in

    taken = taken_in(options.experiments)
    for fault in taken.faults.values():
        tell(fault)
    if not taken.names:
        for name, fault in experiments.broken().items():
            tell(f"{name} is left out, because it cannot be loaded: {fault}")
    request = _request(options, LEVELS)
    request = replace(request, experiments=chosen_experiments(taken.names), own=taken.files, left_out=taken.faults)
    request.check()
    return request


def scale_request(options: argparse.Namespace, case: Case, project: Path, other: str = "") -> Request:
    """The request to measure a case of the user's. Raises UsageError where an option cannot be used."""
    from lab.planning.request import AGAINST_LEVELS, SCALE_LEVELS
    from lab.planning.targets import Target, check_combined, parse_params
    from lab.running.own_code import code_of

    params = parse_params(options.param)
    check_combined(case, params)
    target = Target(case=case, params=params, project=str(project), other=other, code=code_of(case, project))
    request = replace(_request(options, AGAINST_LEVELS if case.against else SCALE_LEVELS), target=target)
    request.check()
    return request


def exec_request(options: argparse.Namespace, workload: Workload) -> Request:
    """The request to run programs of the user's, one cell after the other. Raises UsageError."""
    from lab.cell.programs.program import INHERIT
    from lab.model.room import Room
    from lab.planning.programs import LEAST_SECONDS

    levels = {"default": (LEAST_SECONDS / workload.turns, 0.05)}
    names = tuple(program.experiment for program in workload.programs)
    engine, needs_container = options.engine, workload.room != Room()
    if engine == "auto":  # a command of this machine runs on this machine
        engine = "docker" if options.image or options.host or needs_container else "local"
    if engine != "local" and any(program.output == INHERIT for program in workload.programs):
        raise UsageError("--output inherit needs --engine local", "name a file in a folder of --mount, or leave it out")
    if engine == "slurm" and needs_container:
        raise UsageError(
            "--mount, --network, --memory and --entrypoint do not go with --engine slurm",
            "leave them out: an image on a node sees the folder that the command starts in",
        )
    if engine == "local" and needs_container:
        raise UsageError(
            "--mount, --network, --memory and --entrypoint need a container", "name its image: --image IMAGE"
        )
    request = replace(_request(options, levels), experiments=names, workload=workload, jobs="1", engine=engine)
    request.check()
    return request


def _request(options: argparse.Namespace, levels: Mapping[str, tuple[float, float]]) -> Request:
    """The request that the options make, without what is measured."""
    import random

    from lab.cell.worker.job import SEEDS
    from lab.planning.request import Request

    values = vars(options)
    level = values.get("level", "default")
    seconds, width = levels[level]
    time_limit, given_width, seed = (values.get(name) for name in ("time_limit", "width", "seed"))
    return Request(
        experiments=(),
        seconds=seconds if time_limit is None else time_limit,
        width=width if given_width is None else given_width,
        level=level,
        cpus=options.cpus,
        quota=options.quota,
        smt=options.smt,
        jobs=values.get("jobs", "auto"),
        engine=_engine_of(options),
        allocation=allocation_of(options),
        host=options.host[0].strip() if options.host else "",
        send_image=options.send_image,
        image=options.image,
        pythons=tuple(values.get("python") or ()),
        seed=random.randrange(SEEDS) if seed is None else seed,
        label=label_of(options),
    )


def _engine_of(options: argparse.Namespace) -> str:
    """The engine that the options name; that of a host is docker, unless the host is a node of Slurm.

    Raises UsageError for a host without an engine.
    """
    if not options.host:
        if options.send_image:
            raise UsageError("--send-image sends an image to a host, and there is none", "name it with --host")
        return str(options.engine)
    if options.engine == "local" or (options.engine == "slurm" and options.send_image):
        raise UsageError("--host names a machine with a Docker engine", f"leave out --engine {options.engine}")
    for host in options.host:
        if not host.strip() or not host.isprintable():
            raise UsageError(f"--host {host!r} names no host", "name a Docker context, or ssh://USER@HOST")
    return "slurm" if options.engine == "slurm" else "docker"


def allocation_of(options: argparse.Namespace) -> Allocation:
    """What the command line asks of a batch system. A list of nodes without a number of nodes means all of them.

    Raises UsageError for a number of nodes below 1, and where no batch system is asked.
    """
    from lab.model.allocation import Allocation

    asked = Allocation(**{name: vars(options)[name] for name in Allocation.__dataclass_fields__})
    if options.nodes < 1:
        raise UsageError(f"--nodes {options.nodes}: give a number of nodes from 1")
    if asked != Allocation() and options.engine != "slurm":
        raise UsageError(f"--{next(iter(asked.to_stored()))} goes with --engine slurm", "add that, or leave it out")
    if asked.nodelist and asked.nodes == 1:
        from lab.engines.slurm_programs import names_of

        return replace(asked, nodes=max(1, len(names_of(asked.nodelist))))
    return asked


def label_of(options: argparse.Namespace) -> str:
    """The label of the command line, else that of the environment. Raises UsageError where it cannot be used."""
    import os

    from lab.planning.label import parse_label

    return parse_label(os.environ.get("LAB_LABEL", "") if options.label is None else options.label)
