"""Asks a machine about the user's own code or commands, in a cell without a limit, before anything is planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lab import interrupts
from lab.engines import Engine
from lab.judging.records import read_records
from lab.model.cell import GRACE_SECONDS, Cell, Job, Limit
from lab.model.machine import Machine
from lab.model.room import Room


class Answer(NamedTuple):
    """What came back."""

    #: The data of each record.
    records: list[Mapping[str, Any]]
    #: How the cell ended, in words.
    ending: str


def look_up(
    engine: Engine,
    machine: Machine,
    session: str,
    experiment: str,
    case: Mapping[str, Any],
    seconds: float,
    *,
    build: str = "",
    number: int = 0,
    project: str = "",
    other: str = "",
    room: Room | None = None,
) -> Answer:
    """Run an experiment that measures nothing, with one case, for so many seconds at most.

    ``number`` tells the look-ups of one target apart: the engine may still know the container of the one before. Raises
    EngineError.
    """
    cpus = tuple(machine.cpus)
    job = Job(
        session=session,
        cell=Cell(
            id="-".join(["look-up", *([build] if build else []), *([str(number)] if number else [])]),
            limit=Limit(),
            size=len(cpus),
            cpus=cpus,
            pinned=False,
            build=build,
        ),
        experiments=(experiment,),
        seconds=1.0,
        width=0.0,
        experiment_deadline=seconds,
        cell_deadline=seconds + GRACE_SECONDS,
        cases={experiment: case},
        project=project,
        other=other,
        room=room,
    )
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        interrupts.check()
        pieces.append(piece)

    outcome = engine.run(job, take)
    return Answer([record.data for record in read_records(b"".join(pieces)).records], outcome.ending)
