"""The cores table's numbers: speed-up and cores used of each way of working, beside what was delivered. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.experiments import gil
from lab.experiments._claims import undisturbed
from lab.model import CellResult
from lab.stats import Estimate
from lab.verdicts import evidence_of

#: Arms of the gil experiment, in the order in which a table shows them.
SHOWN = ("one process", "threads", gil.CROWD.name, "processes")


@dataclass(frozen=True, kw_only=True)
class Cores:
    """One way of working in one cell: speed-up against one process, and cores used; ``None`` without enough rounds."""

    arm: str
    workers: int
    speed_up: Estimate | None
    cores_used: Estimate | None
    accepted: int
    rounds: int


def rows(result: CellResult) -> tuple[Cores, ...]:
    """A row for each way of working; empty when the cell did not run the gil experiment."""
    rounds = evidence_of("gil", result).rounds("round")
    if not rounds:
        return ()
    workers = {arm.name: arm.processes * arm.threads for arm in gil.arms_for(len(result.proof["affinity"]))}
    workers[gil.CROWD.name] = gil.CROWD.threads
    return tuple(
        Cores(
            arm=arm,
            workers=workers[arm],
            speed_up=gil.speed_up(rounds, arm),
            cores_used=gil.cores_used(rounds, arm),
            accepted=len(undisturbed(rounds, arm, "one process")),
            rounds=sum(arm in blocks for blocks in rounds),
        )
        for arm in SHOWN
    )


def delivered(result: CellResult) -> Estimate | None:
    """What the machine delivered to the cell: the capacity probe's speed-up, in CPUs; ``None`` when unknown."""
    return gil.speed_up(evidence_of("gil", result).rounds("round"), "probe")
