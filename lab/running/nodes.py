"""Several nodes of Slurm at once: one allocation of all of them, in which each node is a host with a lab of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace

from lab.engines.slurm_allocation import OpenAllocation
from lab.engines.slurm_programs import check_programs
from lab.errors import UsageError
from lab.interrupts import StopFlag
from lab.messages import tell
from lab.model.allocation import Allocation

#: The variable in which Slurm says which job a process belongs to. A lab that has it uses the nodes of that job.
_JOB = "SLURM_JOB_ID"


def wanted(allocation: Allocation, hosts: list[str]) -> Allocation:
    """The allocation for these nodes, if any are named. Raises UsageError for a node that is named twice."""
    if not hosts:
        return allocation
    if twice := [host for host in hosts if hosts.count(host) > 1]:
        raise UsageError(f"--host names the node {twice[0]} twice", "name each node once")
    return replace(allocation, nodelist=",".join(hosts), nodes=len(hosts))


@contextlib.contextmanager
def allocated(allocation: Allocation, session: str, stop: StopFlag) -> Iterator[list[str]]:
    """The names of the nodes of one allocation. Within the context every lab that this process starts uses it.

    Raises EngineError where Slurm is missing, refuses, or has no such nodes.
    """
    check_programs()
    opened = OpenAllocation(allocation, session, tell)
    before = os.environ.get(_JOB)
    try:
        with stop.interruptible():
            opened.open(lambda piece: None)
        os.environ[_JOB] = opened.job
        yield opened.nodes
    finally:
        os.environ.pop(_JOB, None)
        if before is not None:
            os.environ[_JOB] = before
        opened.close()
