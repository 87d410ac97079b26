"""Looks whether the programs of the user's can be started on the engine, before anything is planned."""

from __future__ import annotations

from lab import interrupts
from lab.cell.programs import look_up
from lab.cell.programs.program import PREFIX
from lab.engines import Engine
from lab.errors import CellError, UsageError
from lab.judging.records import read_records
from lab.model.cell import GRACE_SECONDS, Cell, Job, Limit
from lab.model.machine import Machine
from lab.planning.programs import Workload


def check(workload: Workload, engine: Engine, machine: Machine, session: str) -> None:
    """Raise UsageError for a program that cannot be started there."""
    cpus = tuple(machine.cpus)
    job = Job(
        session=session,
        cell=Cell(id="look-up", limit=Limit(), size=len(cpus), cpus=cpus, pinned=False),
        experiments=(PREFIX,),
        seconds=1.0,
        width=0.0,
        experiment_deadline=look_up.SECONDS,
        cell_deadline=look_up.SECONDS + GRACE_SECONDS,
        cases={PREFIX: {"programs": [program.to_stored() for program in workload.programs]}},
        room=workload.room,
    )
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        interrupts.check()
        pieces.append(piece)

    try:
        engine.run(job, take)
    except CellError as error:
        raise UsageError(f"nothing can be run there: {error}") from error
    fault = look_up.fault_in(record.data for record in read_records(b"".join(pieces)).records)
    if fault:
        raise UsageError(fault.what, fault.fix)
