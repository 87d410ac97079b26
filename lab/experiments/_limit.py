"""The limit that a cell is under, as its experiments see it: how many CPUs' worth of time, and in which period."""

from __future__ import annotations

from typing import NamedTuple

from lab.experiments._voice import Voice
from lab.worker.cgroups import tightest

#: The period where no quota says another (the kernel's Documentation/scheduler/sched-bwc.rst).
USUAL_PERIOD_SECONDS = 0.1


class Limit(NamedTuple):
    """``cpus``: those in the affinity mask (P); ``rate``: the least of them and of every quota (R), in CPUs;
    ``period_seconds``: how often the tightest quota is filled up again."""

    cpus: int
    rate: float
    period_seconds: float

    @property
    def quota(self) -> bool:
        """Whether a quota holds the cell to less than its CPUs."""
        return self.rate < self.cpus


def limit_of(voice: Voice) -> Limit:
    """The limit of the cell that this voice speaks from: of the quotas that show here, and the one that was asked for
    (which the proof holds against them)."""
    cpus, tight = len(voice.cpus), tightest()
    quotas = [tight.quota_cpus] if tight else []
    if voice.quota is not None:
        quotas.append(voice.quota)
    return Limit(cpus, float(min([cpus, *quotas])), tight.period_us / 1e6 if tight else USUAL_PERIOD_SECONDS)
