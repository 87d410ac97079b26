"""Looks whether the programs of the user's can be started on the engine, before anything is planned."""

from __future__ import annotations

from lab.cell.programs.look_up import SECONDS, fault_in
from lab.cell.programs.program import PREFIX
from lab.engines import Engine
from lab.errors import CellError, UsageError
from lab.model.machine import Machine
from lab.planning.programs import Workload
from lab.running.looking_up import look_up


def check(workload: Workload, engine: Engine, machine: Machine, session: str) -> None:
    """Raise UsageError for a program that cannot be started there."""
    case = {"programs": [program.to_stored() for program in workload.programs]}
    try:
        answer = look_up(engine, machine, session, PREFIX, case, SECONDS, room=workload.room)
    except CellError as error:
        raise UsageError(f"nothing can be run there: {error}") from error
    fault = fault_in(answer.records)
    if fault:
        raise UsageError(fault.what, fault.fix)
