"""What the rounds of the gil experiment say of each way of working: speed-up, cores used, time a payload. Pure."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.cell.claims.claim import FEWEST_VALUES, Round, undisturbed
from lab.cell.claims.estimates import Estimate, median
from lab.cell.claims.measured import Measured, over
from lab.cell.experiments import gil
from lab.judging.scaling import Fit, ScalingPoint, fit
from lab.judging.verdicts import evidence_of
from lab.model.cell import CellResult, Status

#: Arms of the gil experiment, in the order in which a table shows them.
ARMS = ("one process", "threads", gil.CROWD.name, "processes")


#: Tables, charts and the document show the same numbers of the same cells; sessions of more cells have them made anew.
_KEPT = 64

#: Arm -> the one that does the same work in a single process, where that is not the usual one.
_BASE = {"C code threads": "C code"}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one way of working takes for a payload, in seconds, in each of a few blocks of neighbouring rounds;
    ``loops`` payloads are about what fits into one block of the measurement."""

    arm: str
    workers: int
    loops: int
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Cores:
    """One way of working in one cell: speed-up against one process, and cores used; ``None`` without enough rounds."""

    arm: str
    workers: int
    speed_up: Estimate | None
    cores_used: Estimate | None
    accepted: int
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """The speed-up model of one way of working; ``build`` and ``machine`` as the cells have them, empty where there is
    but one."""

    build: str
    machine: str
    arm: str
    fit: Fit


@functools.lru_cache(maxsize=_KEPT)
def of_cell(result: CellResult) -> tuple[Cores, ...]:
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
        for arm in ARMS
    )


def scaling(results: Iterable[CellResult]) -> tuple[Model, ...]:
    """A speed-up model for each way of working that ran with a worker on each CPU, from all cells with several that
    one build had on one machine.

    The speed-ups are those against what the machine delivered, times the CPUs: what the probe loses too is the
    machine's, not the work's.
    """
    points: dict[tuple[str, str, str], list[ScalingPoint]] = {}
    for result in results:
        for arm, point in _points(result).items():
            points.setdefault((result.cell.build, result.cell.machine, arm), []).append(point)
    return tuple(
        Model(build=build, machine=machine, arm=arm, fit=fit(tuple(found)))
        for (build, machine, arm), found in points.items()
    )


@functools.lru_cache(maxsize=_KEPT)
def _points(result: CellResult) -> dict[str, ScalingPoint]:
    """What a cell with several CPUs says of each way of working, where enough rounds count."""
    cpus = len(result.proof.get("affinity", ())) if result.status is Status.MEASURED else 0
    rounds = evidence_of("gil", result).rounds("round") if cpus > 1 else []
    found = {}
    for arm in ("threads", "processes"):
        # Records that were made elsewhere may hold anything; a model needs speeds.
        moved = [blocks for blocks in undisturbed(rounds, arm, "probe") if blocks[arm]["rate"] > 0]
        shares = Measured((arm, "probe"), over(arm, "probe"), "").values(moved)
        if len(shares) >= FEWEST_VALUES:
            found[arm] = ScalingPoint(cpus=cpus, speed_ups=tuple(cpus * one for one in shares))
    return found


@functools.lru_cache(maxsize=_KEPT)
def capacity(result: CellResult) -> Estimate | None:
    """What the machine delivered to the cell: the capacity probe's speed-up, in CPUs; ``None`` when unknown."""
    return gil.speed_up(evidence_of("gil", result).rounds("round"), "probe")


def timings(result: CellResult) -> tuple[Timing, ...]:
    """The time a payload of each way of working that has enough rounds which count; empty without a measurement.

    The rounds are cut into as many blocks as an interval needs values, in the order of time, and a value is a block's
    median. It is of times where one process works alone. Else it is of speed-ups, each against one process in the same
    round, turned into time by what one process usually takes in this cell: a neighbour who slows both cancels, as in
    every verdict.
    """
    rounds = evidence_of("gil", result).rounds("round") if result.status is Status.MEASURED else []
    found = []
    of_gil = gil.arms_for(len(result.proof["affinity"]), result.python["gil_enabled"]) if rounds else ()
    for arm in (*of_gil, gil.CROWD):
        values = _payload_seconds(rounds, arm.name, _BASE.get(arm.name, ARMS[0]))
        if values:
            loops = max(1, round(arm.seconds / median(values)))
            found.append(Timing(arm=arm.name, workers=arm.processes * arm.threads, loops=loops, values=values))
    return tuple(found)


def _payload_seconds(rounds: Sequence[Round], arm: str, base: str) -> tuple[float, ...]:
    pairs = [
        (float(blocks[arm]["rate"]), float(blocks[base]["rate"]))
        for blocks in undisturbed(rounds, arm, base)
        if blocks[arm]["rate"] > 0 and blocks[base]["rate"] > 0
    ]
    if len(pairs) < FEWEST_VALUES:
        return ()
    if arm in (ARMS[0], base):
        return tuple(median([1 / rate for rate, _ in block]) for block in _blocks(pairs))
    usual = median([1 / alone for _, alone in pairs])
    return tuple(usual / median([rate / alone for rate, alone in block]) for block in _blocks(pairs))


def _blocks(pairs: Sequence[tuple[float, float]]) -> list[Sequence[tuple[float, float]]]:
    """FEWEST_VALUES blocks of neighbours, as equal as can be."""
    ends = [len(pairs) * number // FEWEST_VALUES for number in range(FEWEST_VALUES + 1)]
    return [pairs[start:end] for start, end in itertools.pairwise(ends)]
