"""Merges several sessions into one: the jobs of a matrix, each of which measured some limits on one build. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.cell.experiments import is_known, load
from lab.errors import UsageError
from lab.judging import changes, differences
from lab.model import machine as machine_
from lab.model import session as session_
from lab.model.cell import Cell, CellResult, Status
from lab.model.machine import BuildFacts, Machine
from lab.model.session import Judgement, Quantity, Session
from lab.text import names

#: For each cell id of a session, the label of the cell's build in the merged session.
_Labels = Mapping[str, str]

#: For each cell id of a session, the id of the same cell in the merged session.
_NewIds = Mapping[str, str]

#: What tells two cells apart, where the machine does not matter: build, CPUs, quota, and whether a CPU set limits it.
_Kind = tuple[str, int, float | None, bool]


def join(sessions: Sequence[Session]) -> Session:
    """One session with the cells of all these sessions, each on its build, as if one run had measured them.

    If the sessions come from several machines, the labels of the cells name the machine. A cell that a machine could
    not run is left out, if another session has the same build under the same limit.

    Raises UsageError when two cells cannot be told apart, or when several versions of the lab made the sessions.
    """
    versions = sorted({session.lab_version for session in sessions})
    if len(versions) > 1:
        raise UsageError(
            f"these sessions come from several versions of the lab: {', '.join(versions)}; run some of these again"
        )
    labels = _build_labels(sessions)
    merger = _Merger(sessions, labels)
    new_ids = [
        merger.add(session, session_labels, machine)
        for session, session_labels, machine in zip(sessions, labels, _machine_names(sessions), strict=True)
    ]
    return _assembled(sessions, merger.results, new_ids, _machine(sessions, labels))


class _Merger:
    """Collects the results of the merged session."""

    def __init__(self, sessions: Sequence[Session], labels: Sequence[_Labels]) -> None:
        self.results: list[CellResult] = []
        self._is_mixed = len({frozenset(session.arguments["experiments"]) for session in sessions}) > 1
        self._session_ids: dict[str, str] = {}  # new cell id -> the session that the cell comes from
        self._kinds = {
            _kind(result, session_labels[result.cell.id])
            for session, session_labels in zip(sessions, labels, strict=True)
            for result in session.results
            if result.status is not Status.UNAVAILABLE
        }

    def add(self, session: Session, labels: _Labels, machine: str) -> _NewIds:
        """Add the results of a session. Returns the new id of each cell that was added."""
        new_ids: dict[str, str] = {}
        for result in session.results:
            label = labels[result.cell.id]
            kind = _kind(result, label)
            if result.status is Status.UNAVAILABLE and kind in self._kinds:
                continue
            self._kinds.add(kind)
            cell = _renamed(result.cell, label, machine)
            if self._is_mixed and not cell.experiments:
                cell = dataclasses.replace(cell, experiments=tuple(session.arguments["experiments"]))
            if cell.id in self._session_ids:
                raise UsageError(
                    f"{result.cell.id} is in {self._session_ids[cell.id]} and in {session.id}, both on"
                    f" {names.python_words(result.python) or label}; leave one of them out"
                )
            self._session_ids[cell.id] = session.id
            new_ids[result.cell.id] = cell.id
            self.results.append(dataclasses.replace(result, cell=cell))
        return new_ids


def _kind(result: CellResult, build: str) -> _Kind:
    cell = result.cell
    return build, cell.size, cell.quota_cpus, cell.pinned


def _machine_names(sessions: Sequence[Session]) -> list[str]:
    """For each session its label and the name of its machine, such as ``machine 2``, as far as they tell it apart.

    The machines have no name if all are the same, or if each label has one machine only.
    """
    machines = [tuple(differences.machine_facts(session.machine).items()) for session in sessions]
    numbers = {machine: number for number, machine in enumerate(dict.fromkeys(machines), 1)}
    labels = [session.label for session in sessions]
    pairs = set(zip(labels, machines, strict=True))
    is_told = len(numbers) == 1 or ("" not in labels and len(pairs) == len(set(labels)))
    whose = labels if len(set(labels)) > 1 else [""] * len(labels)
    return [
        ", ".join(filter(None, (label, "" if is_told else f"machine {numbers[machine]}")))
        for label, machine in zip(whose, machines, strict=True)
    ]


def _build_labels(sessions: Sequence[Session]) -> list[_Labels]:
    """For each session the label of each cell's build, by the id of the cell.

    The labels are empty if all cells have the same build, and nobody named it. If one label stands for two releases,
    both get a label with the full release.
    """
    labels = [
        {result.cell.id: session_.build_of(session, result) for result in session.results} for session in sessions
    ]
    releases: dict[str, set[str]] = {}
    for session, session_labels in zip(sessions, labels, strict=True):
        for label in session_labels.values():
            releases.setdefault(label, set()).add(_release(session, label))
    named = {result.cell.build for session in sessions for result in session.results}
    if len(named) == len(releases) == 1 and all(len(same_label) == 1 for same_label in releases.values()):
        return [dict.fromkeys(session_labels, next(iter(named))) for session_labels in labels]
    return [
        {
            cell: label if len(releases[label]) == 1 else _in_full(label, _release(session, label))
            for cell, label in session_labels.items()
        }
        for session, session_labels in zip(sessions, labels, strict=True)
    ]


def _release(session: Session, label: str) -> str:
    """The release of that build, such as ``3.13.5``."""
    pythons = [
        result.python for result in session.results if result.python and session_.build_of(session, result) == label
    ]
    pythons += [facts.python for facts in session.machine.builds if facts.label == label] or [{}]
    return str(pythons[0].get("release", "?"))


def _in_full(label: str, release: str) -> str:
    """The label with the release in place of the version: ``3.13.5t+gil``."""
    return label.replace(".".join(release.split(".")[:2]), release, 1)


def _renamed(cell: Cell, build: str, machine: str) -> Cell:
    """The cell with its build, machine and id in the merged session. A merged cell keeps its earlier machine name."""
    machine = ", ".join(filter(None, (cell.machine, machine)))
    return dataclasses.replace(cell, id=cell.limit.on(build, machine), build=build, machine=machine)


def _machine(sessions: Sequence[Session], labels: Sequence[_Labels]) -> Machine:
    """The machine of the first session, with the builds of all sessions."""
    builds: dict[str, BuildFacts] = {}
    for session, session_labels in zip(sessions, labels, strict=True):
        session_builds = machine_.builds_of(session.machine)
        for result in session.results:
            build, label = session_builds.get(session_.build_of(session, result)), session_labels[result.cell.id]
            if build and label:
                builds.setdefault(label, dataclasses.replace(build, label=label))
    machine = sessions[0].machine
    return machine.with_builds(builds.values()) if builds else machine


def _assembled(
    sessions: Sequence[Session], results: Sequence[CellResult], new_ids: Sequence[_NewIds], machine: Machine
) -> Session:
    wanted = list(dict.fromkeys(name for session in sessions for name in session.arguments["experiments"]))
    experiments = [load(name) for name in wanted if is_known(name)]
    claims = [claim.id for experiment in experiments for claim in experiment.claims]
    judgements = sorted(_judgements(sessions, new_ids), key=lambda judgement: _place(judgement.claim, claims))
    quantities = sorted(_quantities(sessions, new_ids), key=lambda quantity: _place(quantity.experiment, wanted))
    notes = dict.fromkeys(note for session in sessions for note in session.notes)
    origins = [f"note: {session.id}: {_origin(session)}" for session in sessions]
    return Session(
        id="merged-" + hashlib.sha256(" ".join(session.id for session in sessions).encode()).hexdigest()[:8],
        began=min(session.began for session in sessions),
        machine=machine,
        arguments={
            **_shared_arguments(sessions),
            "experiments": wanted,
            **({"cases": cases} if (cases := _cases(sessions)) else {}),
            **({"predictions": guesses} if (guesses := _predictions(sessions, new_ids)) else {}),
            "merged": [session.id for session in sessions],
        },
        lab_version=sessions[0].lab_version,
        code_sha256=sessions[0].code_sha256,
        results=tuple(results),
        judgements=tuple(judgements),
        changes=changes.changes_between_builds(experiments, results, judgements),
        quantities=tuple(quantities),
        wall_seconds=sum(session.wall_seconds for session in sessions),
        notes=(*notes, *origins),
        interrupted=any(session.interrupted for session in sessions),
    )


def _shared_arguments(sessions: Sequence[Session]) -> dict[str, Any]:
    """The arguments of the first session, without its predictions, and without a label that is not that of all."""
    arguments = dict(sessions[0].arguments)
    if len({session.label for session in sessions}) > 1:
        arguments.pop("label", None)
    arguments.pop("predictions", None)  # they name the cells of that session
    return arguments


def _cases(sessions: Sequence[Session]) -> list[Any]:
    """The functions of the user's in all sessions, each once.

    Raises UsageError where one name stands for two ways of calling, because their numbers do not belong together.
    """
    for first, second in itertools.combinations(sessions, 2):
        for difference in differences.of_cases(first, second):
            raise UsageError(
                f"{first.id} and {second.id} call {difference.what} in different ways: {difference.base}; and"
                f" {difference.new}; leave one of them out"
            )
    cases = {case["label"]: case for session in sessions for case in session.arguments.get("cases") or ()}
    return list(cases.values())


def _predictions(sessions: Sequence[Session], new_ids: Sequence[_NewIds]) -> list[dict[str, Any]]:
    """The predictions of all sessions, each for its cell in the merged session."""
    return [
        {**prediction, "cell": session_ids[prediction["cell"]]}
        for session, session_ids in zip(sessions, new_ids, strict=True)
        for prediction in session.arguments.get("predictions") or ()
        if prediction["cell"] in session_ids
    ]


def _place(name: str, order: Sequence[str]) -> int:
    """Where the name stands in this order; names that are not in it come last."""
    return order.index(name) if name in order else len(order)


def _judgements(sessions: Sequence[Session], new_ids: Sequence[_NewIds]) -> Iterator[Judgement]:
    for session, session_ids in zip(sessions, new_ids, strict=True):
        for judgement in session.judgements:
            if judgement.cell in session_ids:
                yield dataclasses.replace(judgement, cell=session_ids[judgement.cell])


def _quantities(sessions: Sequence[Session], new_ids: Sequence[_NewIds]) -> Iterator[Quantity]:
    for session, session_ids in zip(sessions, new_ids, strict=True):
        for quantity in session.quantities:
            if quantity.cell in session_ids:
                yield dataclasses.replace(quantity, cell=session_ids[quantity.cell])


def _origin(session: Session) -> str:
    """Whose session it is, its Pythons and its machine, in a few words."""
    facts = differences.machine_facts(session.machine)
    pythons = [names.python_words(build.python) for build in session.machine.builds]
    parts = [session.label, *pythons, facts.get("processor", ""), facts.get("engine", ""), facts.get("CPUs")]
    return ", ".join(filter(None, parts))
