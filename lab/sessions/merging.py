"""Several sessions as one: the jobs of a matrix, each of which measured some limits on one build. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from lab.cell.experiments import load
from lab.errors import UsageError
from lab.judging import changes, differences
from lab.model import machine as machine_
from lab.model import session as session_
from lab.model.cell import Cell, CellResult, Status
from lab.model.machine import BuildFacts, Machine
from lab.model.session import Session
from lab.text import names


def join(sessions: Sequence[Session]) -> Session:
    """One session with every cell of these, each on its build, as one run on all of these builds would have it. Where
    they were measured on several machines, the labels of the cells say on which. A cell that a machine lacks is left
    out where another session has one on that build, under that limit.

    Raises UsageError when two cells cannot be told apart, or when the sessions are of several versions of the lab.
    """
    versions = sorted({one.lab_version for one in sessions})
    if len(versions) > 1:
        raise UsageError(f"these sessions are of several versions of the lab: {', '.join(versions)}; run some anew")
    on = _builds(sessions)
    machines = [tuple(differences.machine_facts(one.machine).items()) for one in sessions]
    numbers = {machine: number for number, machine in enumerate(dict.fromkeys(machines), 1)}
    results: list[CellResult] = []
    renamed: list[dict[str, str]] = []
    came_from: dict[str, str] = {}
    measured = {
        _kind(one, labels[one.cell.id])
        for session, labels in zip(sessions, on, strict=True)
        for one in session.results
        if one.status is not Status.UNAVAILABLE
    }
    for session, labels, machine in zip(sessions, on, machines, strict=True):
        mine: dict[str, str] = {}
        for one in session.results:
            kind = _kind(one, labels[one.cell.id])
            if one.status is Status.UNAVAILABLE and kind in measured:
                continue
            measured.add(kind)
            cell = _cell(one.cell, labels[one.cell.id], f"machine {numbers[machine]}" if len(numbers) > 1 else "")
            if cell.id in came_from:
                raise UsageError(
                    f"{one.cell.id} is in {came_from[cell.id]} and in {session.id}, both on"
                    f" {names.python_words(one.python) or labels[one.cell.id]}; leave one of them out"
                )
            came_from[cell.id] = session.id
            mine[one.cell.id] = cell.id
            results.append(dataclasses.replace(one, cell=cell))
        renamed.append(mine)
    return _assembled(sessions, results, renamed, _machine(sessions, on))


def _kind(result: CellResult, build: str) -> tuple[object, ...]:
    cell = result.cell
    return build, cell.size, cell.quota_cpus, cell.pinned


def _builds(sessions: Sequence[Session]) -> list[dict[str, str]]:
    """For each session the build of each of its cells, by their ids: named where the cells are of several builds, or
    some were named before, else empty. One label stands for one release: of two, both have it in full."""
    labels = [{one.cell.id: session_.build_of(session, one) for one in session.results} for session in sessions]
    releases: dict[str, set[str]] = {}
    for session, mine in zip(sessions, labels, strict=True):
        for label in mine.values():
            releases.setdefault(label, set()).add(_release(session, label))
    named = {one.cell.build for session in sessions for one in session.results}
    if len(named) == len(releases) == 1 and all(len(found) == 1 for found in releases.values()):
        return [dict.fromkeys(mine, next(iter(named))) for mine in labels]
    return [
        {
            cell: label if len(releases[label]) == 1 else _in_full(label, _release(session, label))
            for cell, label in mine.items()
        }
        for session, mine in zip(sessions, labels, strict=True)
    ]


def _release(session: Session, label: str) -> str:
    """The release of that build, such as ``3.13.5``."""
    pythons = [one.python for one in session.results if one.python and session_.build_of(session, one) == label]
    pythons += [facts.python for facts in session.machine.builds if facts.label == label] or [{}]
    return str(pythons[0].get("release", "?"))


def _in_full(label: str, release: str) -> str:
    """A build's label with its release for its version: ``3.13.5t+gil``."""
    return label.replace(".".join(release.split(".")[:2]), release, 1)


def _cell(cell: Cell, build: str, machine: str) -> Cell:
    """The cell by what tells it apart in the joined session; one of a joined session keeps its machine."""
    machine = ", ".join(filter(None, (cell.machine, machine)))
    return dataclasses.replace(cell, id=cell.limit.on(build, machine), build=build, machine=machine)


def _machine(sessions: Sequence[Session], on: Sequence[Mapping[str, str]]) -> Machine:
    """The machine of the first session, with the builds of all of them."""
    named: dict[str, BuildFacts] = {}
    for session, labels in zip(sessions, on, strict=True):
        builds = machine_.builds_of(session.machine)
        for result in session.results:
            build, label = builds.get(session_.build_of(session, result)), labels[result.cell.id]
            if build and label:
                named.setdefault(label, dataclasses.replace(build, label=label))
    machine = sessions[0].machine
    return machine.with_builds(named.values()) if named else machine


def _assembled(
    sessions: Sequence[Session],
    results: Sequence[CellResult],
    renamed: Sequence[Mapping[str, str]],
    machine: Machine,
) -> Session:
    wanted = list(dict.fromkeys(name for one in sessions for name in one.arguments["experiments"]))
    loaded = [load(name) for name in wanted]
    order = {claim.id: number for number, claim in enumerate(claim for one in loaded for claim in one.claims)}
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
    judgements.sort(key=lambda one: order.get(one.claim, len(order)))
    experiment = {name: number for number, name in enumerate(wanted)}
    began = min(one.began for one in sessions)
    known = Counter(note for one in sessions for note in one.notes)
    told = [f"note: {one.id}: {_where(one)}" for one in sessions]
    return Session(
        id="merged-" + hashlib.sha256(" ".join(one.id for one in sessions).encode()).hexdigest()[:8],
        began=began,
        machine=machine,
        arguments={**sessions[0].arguments, "experiments": wanted, "merged": [one.id for one in sessions]},
        lab_version=sessions[0].lab_version,
        code_sha256=sessions[0].code_sha256,
        results=tuple(results),
        judgements=tuple(judgements),
        changes=changes.changes_between_builds(loaded, results, judgements),
        quantities=tuple(sorted(quantities, key=lambda one: experiment.get(one.experiment, len(experiment)))),
        wall_seconds=sum(one.wall_seconds for one in sessions),
        notes=(*known, *told),
        interrupted=any(one.interrupted for one in sessions),
    )


def _where(session: Session) -> str:
    machine = differences.machine_facts(session.machine)
    pythons = [names.python_words(facts.python) for facts in session.machine.builds]
    parts = [*pythons, *(machine.get(name, "") for name in ("processor", "engine"))]
    return ", ".join(filter(None, [*parts, machine.get("CPUs")]))
