"""Speed-up, cores used and time a payload of each way of working, from the rounds of the gil experiment. Pure."""

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

#: Above this speed-up a second CPU was in use: the bound of the claim ``gil.no-speedup``.
SECOND_CPU: float = gil.NO_SPEED_UP.high or 1.0
#: Workers that reach this share of what the machine delivered gain all of it: the bound of ``gil.processes-scale``.
FULL_SHARE: float = gil.FULL_GAIN.low or 1.0

#: For how many cells the numbers are kept: tables, charts and documents show the same ones.
_KEPT = 64

#: Arm -> the arm that does the same work in a single process, where it is not ``one process``.
_BASE = {"C code threads": "C code"}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one way of working takes for a payload."""

    #: The name of the arm.
    arm: str
    #: The number of workers.
    workers: int
    #: About how many payloads fit into one block of the measurement.
    loops: int
    #: Seconds for a payload, in each of a few blocks of neighbouring rounds.
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Cores:
    """One way of working in one cell."""

    #: The name of the arm.
    arm: str
    #: The number of workers.
    workers: int
    #: The speed-up compared with one process; ``None``: too few rounds.
    speed_up: Estimate | None
    #: The cores used; ``None``: too few rounds.
    cores_used: Estimate | None
    #: The number of rounds that count.
    accepted: int
    #: The number of rounds in which the arm took part.
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """The speed-up model of one way of working."""

    #: The label of the cells' build; empty where the user named none.
    build: str
    #: The name of the cells' machine; empty where all cells ran on the same one.
    machine: str
    #: The name of the arm.
    arm: str
    #: The fitted model.
    fit: Fit


@functools.lru_cache(maxsize=_KEPT)
def of_cell(result: CellResult) -> tuple[Cores, ...]:
    """A row for each way of working; empty: the cell did not run the gil experiment."""
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
    """A speed-up model for each way of working that ran with a worker on each CPU, for each build on each machine.

    Cells with one CPU are left out. A speed-up is the share of what the machine delivered, times the number of CPUs: a
    loss that the probe has too is the machine's, not the work's.
    """
    points: dict[tuple[str, str, str], list[ScalingPoint]] = {}
    for result in results:
        for arm, point in _points(result).items():
            points.setdefault((result.cell.build, result.cell.machine, arm), []).append(point)
    return tuple(
        Model(build=build, machine=machine, arm=arm, fit=fit(tuple(own_points)))
        for (build, machine, arm), own_points in points.items()
    )


@functools.lru_cache(maxsize=_KEPT)
def _points(result: CellResult) -> dict[str, ScalingPoint]:
    """The point of each way of working in a cell with several CPUs, where enough rounds count."""
    cpus = len(result.proof.get("affinity", ())) if result.status is Status.MEASURED else 0
    rounds = evidence_of("gil", result).rounds("round") if cpus > 1 else []
    points = {}
    for arm in ("threads", "processes"):
        # Records that were made elsewhere may hold anything; a model needs speeds.
        moved = [blocks for blocks in undisturbed(rounds, arm, "probe") if blocks[arm]["rate"] > 0]
        shares = Measured((arm, "probe"), over(arm, "probe")).values(moved)
        if len(shares) >= FEWEST_VALUES:
            points[arm] = ScalingPoint(cpus=cpus, speed_ups=tuple(cpus * share for share in shares))
    return points


@functools.lru_cache(maxsize=_KEPT)
def capacity(result: CellResult) -> Estimate | None:
    """What the machine delivered to the cell: the capacity probe's speed-up, in CPUs; ``None`` when unknown."""
    return gil.speed_up(evidence_of("gil", result).rounds("round"), "probe")


@functools.lru_cache(maxsize=_KEPT)
def of_c_code(result: CellResult) -> Estimate | None:
    """The speed-up of threads in C code that releases the GIL, compared with one such thread; ``None``: not known."""
    return gil.speed_up(evidence_of("gil", result).rounds("round"), "C code threads", _BASE["C code threads"])


def timings(result: CellResult) -> tuple[Timing, ...]:
    """The time for a payload of each way of working that has enough undisturbed rounds.

    The rounds are cut in the order of time into as many blocks as an interval needs values; a value is the median of a
    block. For one process these are times. For the others they are speed-ups compared with one process in the same
    round, turned into times by the usual time of one process. So a neighbour who slows both arms cancels out.
    """
    rounds = evidence_of("gil", result).rounds("round") if result.status is Status.MEASURED else []
    measured = []
    of_gil = gil.arms_for(len(result.proof["affinity"]), result.python["gil_enabled"]) if rounds else ()
    for arm in (*of_gil, gil.CROWD):
        values = seconds_each(rounds, arm.name, _BASE.get(arm.name, ARMS[0]))
        if values:
            loops = max(1, round(arm.seconds / median(values)))
            measured.append(Timing(arm=arm.name, workers=arm.processes * arm.threads, loops=loops, values=values))
    return tuple(measured)


def seconds_each(rounds: Sequence[Round], arm: str, base: str) -> tuple[float, ...]:
    """The seconds of an arm for each payload or call, in blocks of neighbouring rounds; empty: too few rounds."""
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
    """The pairs in ``FEWEST_VALUES`` blocks of neighbours, which are about equally long."""
    ends = [len(pairs) * number // FEWEST_VALUES for number in range(FEWEST_VALUES + 1)]
    return [pairs[start:end] for start, end in itertools.pairwise(ends)]
