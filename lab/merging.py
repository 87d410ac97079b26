"""Several sessions as one: the jobs of a matrix, each of which measured some limits on one build. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from lab import likeness
from lab.errors import UsageError
from lab.experiments import load
from lab.model import CellResult, Session, Status


def join(sessions: Sequence[Session]) -> Session:
    """One session with every cell of these. Where they were measured on several builds or machines, the labels of the
    cells say on which. A cell that a machine lacks is left out where another session has one under that limit.

    Raises UsageError when two cells cannot be told apart, or when the sessions are of several versions of the lab.
    """
    versions = sorted({one.lab_version for one in sessions})
    if len(versions) > 1:
        raise UsageError(f"these sessions are of several versions of the lab: {', '.join(versions)}; run some anew")
    names = _names(sessions)
    results: list[CellResult] = []
    renamed: list[dict[str, str]] = []
    came_from: dict[str, str] = {}
    there = {_limit(one) for session in sessions for one in session.results if one.status is not Status.UNAVAILABLE}
    for number, session in enumerate(sessions):
        mine: dict[str, str] = {}
        for one in session.results:
            if one.status is Status.UNAVAILABLE and _limit(one) in there:
                continue
            there.add(_limit(one))
            prefix, suffix = names[number]
            cell = one.cell.id + prefix
            if cell in came_from:
                raise UsageError(
                    f"{one.cell.id} is in {came_from[cell]} and in {session.id}, both on"
                    f" {likeness.python_of(one.python)}; leave one of them out"
                )
            came_from[cell] = session.id
            mine[one.cell.id] = cell
            label = f"{one.cell.label}{suffix}"
            results.append(dataclasses.replace(one, cell=dataclasses.replace(one.cell, id=cell, label=label)))
        renamed.append(mine)
    return _assembled(sessions, results, renamed)


def _limit(result: CellResult) -> tuple[object, ...]:
    return result.cell.size, result.cell.quota_cpus, result.cell.pinned


def _names(sessions: Sequence[Session]) -> list[tuple[str, str]]:
    """For each session what goes behind the ids of its cells, and behind their labels."""
    pythons = [_python(one) for one in sessions]
    machines = [tuple(likeness.machine_facts(one.machine).items()) for one in sessions]
    numbers = {machine: number for number, machine in enumerate(dict.fromkeys(machines), 1)}
    found = []
    for python, machine in zip(pythons, machines, strict=True):
        parts = [python] if len(set(pythons)) > 1 else []
        parts += [f"machine {numbers[machine]}"] if len(numbers) > 1 else []
        found.append(("".join(f"-{part.replace(' ', '')}" for part in parts), "".join(f", {part}" for part in parts)))
    return found


def _python(session: Session) -> str:
    """The Python of a session: ``3.13.5``, ``3.13.5t`` without a GIL at build."""
    python: Mapping[str, object] = next((one.python for one in session.results if one.python), session.machine.python)
    return f"{python.get('release', '?')}{'t' if python.get('free_threaded') else ''}"


def _assembled(
    sessions: Sequence[Session], results: Sequence[CellResult], renamed: Sequence[Mapping[str, str]]
) -> Session:
    wanted = list(dict.fromkeys(name for one in sessions for name in one.arguments["experiments"]))
    order = {claim.id: number for number, claim in enumerate(claim for name in wanted for claim in load(name).claims)}
    judgements = [
        dataclasses.replace(one, cell=mine[one.cell])
        for session, mine in zip(sessions, renamed, strict=True)
        for one in session.judgements
        if one.cell in mine
    ]
    quantities = [
        dataclasses.replace(one, cell=mine[one.cell])
        for session, mine in zip(sessions, renamed, strict=True)
        for one in session.quantities
        if one.cell in mine
    ]
    experiment = {name: number for number, name in enumerate(wanted)}
    began = min(one.began for one in sessions)
    known = Counter(note for one in sessions for note in one.notes)
    told = [f"note: {one.id}: {_where(one)}" for one in sessions]
    return Session(
        id="merged-" + hashlib.sha256(" ".join(one.id for one in sessions).encode()).hexdigest()[:8],
        began=began,
        machine=sessions[0].machine,
        arguments={**sessions[0].arguments, "experiments": wanted, "merged": [one.id for one in sessions]},
        lab_version=sessions[0].lab_version,
        code_sha256=sessions[0].code_sha256,
        results=tuple(results),
        judgements=tuple(sorted(judgements, key=lambda one: order.get(one.claim, len(order)))),
        quantities=tuple(sorted(quantities, key=lambda one: experiment.get(one.experiment, len(experiment)))),
        wall_seconds=sum(one.wall_seconds for one in sessions),
        notes=(*known, *told),
        interrupted=any(one.interrupted for one in sessions),
    )


def _where(session: Session) -> str:
    machine = likeness.machine_facts(session.machine)
    parts = [likeness.python_of(session.machine.python), *(machine.get(name, "") for name in ("processor", "engine"))]
    return ", ".join(filter(None, [*parts, machine.get("CPUs")]))
