"""The cores table's numbers: speed-up and cores used of each way of working, beside what was delivered. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.experiments import gil
from lab.experiments._claims import FEWEST_VALUES, undisturbed
from lab.experiments._measured import Measured, over
from lab.model import CellResult, Status
from lab.scaling import Fit, Point, fit
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


def scaling(results: Iterable[CellResult]) -> dict[str, Fit]:
    """A speed-up model for each way of working that ran with a worker on each CPU, from all cells with several.

    The speed-ups are those against what the machine delivered, times the CPUs: what the probe loses too is the
    machine's, not the work's.
    """
    points: dict[str, list[Point]] = {}
    for result in results:
        cpus = len(result.proof.get("affinity", ())) if result.status is Status.MEASURED else 0
        rounds = evidence_of("gil", result).rounds("round") if cpus > 1 else []
        for arm in ("threads", "processes"):
            # Records that were made elsewhere may hold anything; a model needs speeds.
            moved = [blocks for blocks in undisturbed(rounds, arm, "probe") if blocks[arm]["rate"] > 0]
            shares = Measured((arm, "probe"), over(arm, "probe"), "").values(moved)
            if len(shares) >= FEWEST_VALUES:
                points.setdefault(arm, []).append(Point(cpus=cpus, speed_ups=tuple(cpus * one for one in shares)))
    return {arm: fit(tuple(found)) for arm, found in points.items()}


def delivered(result: CellResult) -> Estimate | None:
    """What the machine delivered to the cell: the capacity probe's speed-up, in CPUs; ``None`` when unknown."""
    return gil.speed_up(evidence_of("gil", result).rounds("round"), "probe")
