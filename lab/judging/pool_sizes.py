"""How many workers ``Pool()`` started in a cell, beside every number that it could have counted. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.cell.cpus import cpulist
from lab.judging import proofs
from lab.model.cell import CellResult, Status

#: The release from which ``Pool()`` asks ``os.process_cpu_count()`` (https://docs.python.org/3.13/whatsnew/3.13.html).
_ASKS_FOR_OWN_CPUS = (3, 13)


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """The default size of a pool in one cell, and the numbers of CPUs that Python could have taken it from."""

    #: How many workers ``Pool()`` started; ``None``: the experiment did not run.
    workers: int | None
    #: How many CPUs the host has on line; ``None``: not known.
    host_cpus: int | None
    #: What ``os.cpu_count()`` said.
    cpu_count: int | None
    #: What ``os.process_cpu_count()`` said; ``None``: this Python has no such function.
    process_cpu_count: int | None
    #: How many CPUs are in the affinity mask.
    affinity: int
    #: The tightest quota in CPUs; ``None``: there is no quota.
    quota: float | None
    #: The function that this release of Python asks for the default size.
    asked: str


def pool_size(result: CellResult) -> PoolSize | None:
    """The default size of a pool in this cell; ``None``: the cell proved nothing."""
    if not result.proof or result.status is Status.UNAVAILABLE:
        return None
    proof = result.proof
    started = (
        record.data["value"]
        for record in result.records_of("pool")
        if record.kind == "observation" and record.data["name"] == "default workers"
    )
    asks_for_own_cpus = tuple(result.python["version"][:2]) >= _ASKS_FOR_OWN_CPUS
    return PoolSize(
        workers=next(started, None),
        host_cpus=len(cpulist.parse(proof["host_cpus"])) if proof["host_cpus"] else None,
        cpu_count=proof["cpu_count"],
        process_cpu_count=proof["process_cpu_count"],
        affinity=proofs.parallelism(proof),
        quota=proofs.quota(proof),
        asked="os.process_cpu_count()" if asks_for_own_cpus else "os.cpu_count()",
    )
