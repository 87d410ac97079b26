"""The limit that a cell is under, as its experiments see it: how many CPUs' worth of time, and in which period."""

from __future__ import annotations

from typing import NamedTuple

from lab.cell.claims.recorder import Recorder
from lab.cell.cpus.cgroups import tightest
from lab.cell.cpus.rate import rate_of

#: The period where no quota says another (the kernel's Documentation/scheduler/sched-bwc.rst).
USUAL_PERIOD_SECONDS = 0.1


class CellLimit(NamedTuple):
    """The limit of a cell, as its experiments see it."""

    #: P: how many CPUs are in the affinity mask.
    cpus: int
    #: R: the smaller of P and the tightest quota, in CPUs.
    rate: float
    #: How often the tightest quota is filled up again, in seconds.
    period_seconds: float

    @property
    def quota(self) -> bool:
        """Whether a quota holds the cell to less than its CPUs."""
        return self.rate < self.cpus


def limit_of(recorder: Recorder) -> CellLimit:
    """The limit of the cell: of the quotas that are visible here, and of the quota that was asked for."""
    cpus, tight = len(recorder.cpus), tightest()
    quotas = [tight.quota_cpus] if tight else []
    if recorder.quota is not None:
        quotas.append(recorder.quota)
    return CellLimit(cpus, rate_of(cpus, quotas), tight.period_us / 1e6 if tight else USUAL_PERIOD_SECONDS)
