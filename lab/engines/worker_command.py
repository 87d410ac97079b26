"""The command line that starts the worker in a cell, and the job in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.cell.cpus import cpulist
from lab.cell.experiments import PROGRAM
from lab.cell.targets.case import HOST
from lab.cell.worker.bootstrap import SOURCE
from lab.cell.worker.job import WorkerJob
from lab.model.cell import Job

#: The longest argument, in bytes. Linux allows 128 KiB (MAX_ARG_STRLEN, man 2 execve), and 2 MiB for all together.
_LONGEST_WORD = 2**16


def worker_arguments(code: bytes | Path | None, job: WorkerJob) -> list[str]:
    """The arguments after the interpreter that start the worker; see :mod:`lab.cell.worker.bootstrap`.

    ``code`` is the zip file of the cell's code, or its path. ``None`` means that it comes on standard input.
    The interpreter runs without ``site``. What an image runs at the start of its Pythons (``sitecustomize``, ``.pth``
    files) could print before the worker has taken standard output, or trace what is measured. It would also take time
    in every cell. It writes no bytecode, because the folder of the user's code stays as it is.
    """
    if not isinstance(code, bytes):
        return ["-B", "-I", "-S", "-c", SOURCE, str(code or "-"), job.to_json()]
    text = base64.b64encode(code).decode()
    pieces = [text[start : start + _LONGEST_WORD] for start in range(0, len(text), _LONGEST_WORD)]
    return ["-B", "-I", "-S", "-c", SOURCE, *pieces, job.to_json()]


def worker_job(
    job: Job, pin: list[int] | None, project: str = "", other: str = "", *, in_step: bool = False
) -> WorkerJob:
    """A job as the worker reads it. With ``pin`` the worker narrows its own affinity to these ids; else a
    container is its own. A worker ``in_step`` is pinned by Slurm, and shares its machine with other processes.

    ``project`` is the folder of the user's code, as the cell sees it, and ``other`` the folder that it is compared
    with.
    """
    alone = pin is None and not in_step
    pinned_by = "worker" if pin else "none" if not job.cell.pinned else "step" if in_step else "engine"
    return WorkerJob(
        session=job.session,
        cell=job.cell.id,
        experiments=job.experiments,
        seconds=job.seconds,
        width=job.width,
        seed=job.seed,
        deadline_seconds=job.experiment_deadline,
        cpus=job.cell.size,
        asked=cpulist.render(job.cell.cpus) if job.cell.pinned else None,
        quota=job.cell.quota_cpus,
        pin=pin,
        pinned_by=pinned_by,
        cases={name: _placed(name, case, project, other, alone) for name, case in job.cases.items()} or None,
        alone=alone,
    )


def image_beside(job: Job) -> str:
    """The image that a job's functions are compared with; empty: none."""
    return next((case["against"]["image"] for case in job.cases.values() if _against(case).get("image")), "")


def hosting(job: Job) -> Job:
    """The job of the container beside a cell, in which the agents of the other image work."""
    cases = {name: {**case, "against": {HOST: "yes"}} for name, case in job.cases.items()}
    return replace(job, cases=cases)


def _against(case: Mapping[str, Any]) -> dict[str, Any]:
    return dict(case.get("against") or {})


def _placed(name: str, case: Mapping[str, Any], project: str, other: str, alone: bool) -> dict[str, Any]:
    """A case of the experiment with that name, with the folders and the control group as the cell sees them."""
    if name.startswith(PROGRAM):
        return {**case, "alone": alone}
    against = _against(case)
    if against.get("project"):
        against["project"] = other
    return {**case, "project": project, "against": against}


def probe_job(session: str) -> WorkerJob:
    """The job of a probe: the proof and a look at the machine's CPUs, without an experiment and without a limit."""
    return WorkerJob(session=session, cell="probe", look=True)
