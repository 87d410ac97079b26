"""Runs cells side by side, if a sentinel has shown that they do not disturb each other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lab import system
from lab.cell.experiments._internal import companion
from lab.cell.experiments._internal import sentinel as sentinel_experiment
from lab.engines import Engine
from lab.judging import proofs
from lab.judging.side_by_side import SideBySide, judge_side_by_side
from lab.model.cell import Cell, CellResult, Job, Limit, Record
from lab.model.machine import Machine
from lab.model.topology import Topology
from lab.planning import packing, placement
from lab.running import runner
from lab.sessions.folder import SessionFolder
from lab.text import units

#: How many seconds the sentinel measures, and about how many seconds it takes with both cells.
SENTINEL_SECONDS = 3.0
CHECK_SECONDS = 5.0

_ONE_BY_ONE = "the cells run one after the other, which takes longer and changes no result."


def requests_of(
    cells: Iterable[Cell], seconds: Callable[[Cell], float], explicit: frozenset[str] = frozenset()
) -> list[packing.WaitingCell]:
    """What the cells need, each about so many ``seconds``.

    The cells in ``explicit`` must have exactly the CPUs of their plan.
    """
    return [
        packing.WaitingCell(
            name=cell.id,
            size=cell.size,
            seconds=seconds(cell),
            cpus=cell.cpus if cell.id in explicit else (),
            alone=not cell.pinned,
        )
        for cell in cells
        if cell.available
    ]


def side_by_side(
    topology: Topology, requests: Sequence[packing.WaitingCell], most: int | None, smt: bool
) -> tuple[packing.Run, ...]:
    """When and where each cell would run, at most ``most`` of them at a time (``None``: any number).

    The result is empty where running side by side saves less time than the sentinel takes. If the user named a number
    with ``--jobs``, it is empty only where no time is saved.
    """
    runs = packing.schedule(topology, requests, jobs=most, smt=smt)
    saved = sum(request.seconds for request in requests) - packing.makespan(runs)
    return runs if saved > (CHECK_SECONDS if most is None else 0) else ()


def shared_quota(machine: Machine) -> float | None:
    """The quota that all cells share, in CPUs, where it is below the CPUs that they may use; else ``None``.

    It is the tightest one that the probe saw. No engine gives a probe a quota, so that it is one of a group above.
    """
    quota = proofs.quota(machine.details.get("probe") or {})
    return quota if quota is not None and quota < len(machine.cpu_topology.usable) else None


def schedule_of(
    topology: Topology, requests: Sequence[packing.WaitingCell], most: int | None, smt: bool
) -> runner.Schedule:
    """A schedule for the runner that packs these cells."""
    packer = packing.Packer(topology, jobs=most, smt=smt)
    by_name = {request.name: request for request in requests}

    def schedule(waiting: Sequence[Job], running: Sequence[Job]) -> Job | None:
        running_requests = {job.cell.id: (by_name[job.cell.id], job.cell.cpus) for job in running}
        start = packer.next(running_requests, [by_name[job.cell.id] for job in waiting])
        if start is None:
            return None
        request, cpus = start
        job = next(job for job in waiting if job.cell.id == request.name)
        notes = placement.notes(topology, placement.describe(topology, cpus))
        return replace(job, cell=replace(job.cell, cpus=cpus, notes=notes))

    return schedule


def decide(
    engine: Engine,
    machine: Machine,
    jobs: Sequence[Job],
    folder: SessionFolder,
    stop: runner.StopRequest,
    *,
    most: int | None,
    seconds: Callable[[Cell], float],
    smt: bool,
    explicit: frozenset[str],
) -> tuple[runner.Schedule, str | None]:
    """The schedule for these jobs, each of about so many ``seconds``, and a line for the user or ``None``.

    ``most`` is what ``--jobs`` allows. Cells are packed if that saves more time than the sentinel takes (or the user
    asked for it), and the sentinel shows no bias. Cells that share a quota below the CPUs are never packed.
    """
    topology = machine.cpu_topology
    requests = requests_of([job.cell for job in jobs], seconds, explicit)
    if not side_by_side(topology, requests, most, smt):
        asked_for = most is not None and most > 1 and len(requests) > 1
        no_room = "the cells run one after the other, because there is no room for two cells side by side"
        return runner.one_at_a_time, no_room if asked_for else None
    if quota := shared_quota(machine):
        return runner.one_at_a_time, f"{_ONE_BY_ONE} They share a quota of {units.cpus(quota)}."
    verdict = check_side_by_side(engine, topology, next(job for job in jobs if job.cell.available), folder, stop)
    if verdict.allowed:
        return schedule_of(topology, requests, most, smt), f"the cells run side by side. {verdict.reason}."
    return runner.one_at_a_time, f"{_ONE_BY_ONE} {verdict.reason}."


def keep_off(busy: set[int]) -> None:
    """Move this process off the busy CPUs, if it may use another CPU.

    Every thread is moved, because each thread has its own affinity (man 2 sched_setaffinity). If the engine is on
    another machine, this is useless but harmless. On macOS and Windows nothing is moved: the engine's CPUs are those of
    a virtual machine.
    """
    if not system.HAS_AFFINITY:
        return
    spare = _all_cpus() - busy
    for task in Path("/proc/self/task").iterdir() if spare else ():
        with contextlib.suppress(OSError):  # the thread has just ended
            os.sched_setaffinity(int(task.name), spare)


_ALL: set[int] = set()


def _all_cpus() -> set[int]:
    """The CPUs that this process had at the first call."""
    if not _ALL:
        _ALL.update(system.usable_cpus())
    return _ALL


def check_side_by_side(
    engine: Engine, topology: Topology, base: Job, folder: SessionFolder, stop: runner.StopRequest
) -> SideBySide:
    """Whether cells disturb each other: run the sentinel on one core, and its companion on all other cores."""
    cores: dict[int, int] = {}
    for cpu in topology.usable:
        cores.setdefault(topology.by_id[cpu].core, cpu)
    first, *others = cores.values()
    cells = (
        Cell(id=sentinel_experiment.NAME, limit=Limit(cpus=1), size=1, cpus=(first,), build=base.cell.build),
        Cell(
            id=companion.NAME,
            limit=Limit(cpus=len(others)),
            size=len(others),
            cpus=tuple(others),
            build=base.cell.build,
        ),
    )
    jobs = [
        replace(base, cell=cell, experiments=(cell.id,), seconds=SENTINEL_SECONDS + extra)
        for cell, extra in zip(cells, (0, 1), strict=True)  # the companion has to run longer than the sentinel
    ]
    results = runner.run(engine, jobs, folder, NoProgress(), stop, lambda waiting, running: waiting[0])
    return judge_side_by_side(*results)


class NoProgress:
    """A receiver of progress that shows nothing."""

    def cell_begins(self, cell: Cell) -> None:
        return None

    def record(self, record: Record) -> None:
        return None

    def cell_ends(self, result: CellResult) -> None:
        return None
