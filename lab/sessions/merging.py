"""Merges several sessions into one: the jobs of a matrix, or the hosts of a run. Pure.

A job of a matrix has measured some limits on one build. A host has measured all of them on a machine of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lab.cell.experiments import is_known, load
from lab.errors import UsageError
from lab.judging import changes, differences
from lab.model import machine as machine_
from lab.model import session as session_
from lab.model.build import key
from lab.model.cell import Cell, CellResult, Status
from lab.model.host import Host, name_of
from lab.model.machine import BuildFacts, Machine
from lab.model.session import Judgement, Quantity, Session
from lab.text import names, units

#: For each cell id of a session, the label of the cell's build in the merged session.
_Labels = Mapping[str, str]

#: For each cell id of a session, the id of the same cell in the merged session.
_NewIds = Mapping[str, str]

#: What tells two cells apart, where the machine does not matter: build, CPUs, quota, and whether a CPU set limits it.
#: Of hosts the machine matters, so the name of the host is there too.
_Kind = tuple[str, int, float | None, bool, str]

#: From how many seconds on a host's clock is said to be wrong.
_WRONG_CLOCK_SECONDS = 5.0


def join(sessions: Sequence[Session], lost: Mapping[str, str] | None = None) -> Session:
    """One session with the cells of all these sessions, each on its build, as if one run had measured them.

    If the sessions come from several machines, the labels of the cells name the machine: by its host, where the user
    named one. A cell that a machine could not run is left out, if another session has the same build under the same
    limit. That does not hold for hosts, each of which has a part of its own. ``lost`` are the hosts that did not run
    everything, with the reasons.

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
    hosts = _hosts(sessions, lost or {})
    return _assembled(sessions, merger.results, new_ids, _machine(sessions, labels), hosts)


class _Merger:
    """Collects the results of the merged session."""

    def __init__(self, sessions: Sequence[Session], labels: Sequence[_Labels]) -> None:
        self.results: list[CellResult] = []
        self._is_mixed = len({frozenset(session.arguments["experiments"]) for session in sessions}) > 1
        self._session_ids: dict[str, str] = {}  # new cell id -> the session that the cell comes from
        self._kinds = {
            _kind(result, session_labels[result.cell.id], session.host)
            for session, session_labels in zip(sessions, labels, strict=True)
            for result in session.results
            if result.status is not Status.UNAVAILABLE
        }

    def add(self, session: Session, labels: _Labels, machine: str) -> _NewIds:
        """Add the results of a session. Returns the new id of each cell that was added."""
        new_ids: dict[str, str] = {}
        for result in session.results:
            label = labels[result.cell.id]
            kind = _kind(result, label, session.host)
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


def _kind(result: CellResult, build: str, host: str) -> _Kind:
    cell = result.cell
    return build, cell.size, cell.quota_cpus, cell.pinned, host


def _machine_names(sessions: Sequence[Session]) -> list[str]:
    """For each session its label and the name of its machine, such as ``machine 2``, as far as they tell it apart.

    A host always has its name. Other machines have no name if all are the same, or if each label has one machine only.
    """
    machines = [session.host or tuple(differences.machine_facts(session.machine).items()) for session in sessions]
    numbers = {machine: number for number, machine in enumerate(dict.fromkeys(machines), 1)}
    labels = [session.label for session in sessions]
    pairs = set(zip(labels, machines, strict=True))
    is_told = len(numbers) == 1 or ("" not in labels and len(pairs) == len(set(labels)))
    whose = labels if len(set(labels)) > 1 else [""] * len(labels)
    hosts = _host_names(sessions)
    return [
        ", ".join(filter(None, (label, hosts.get(session.host) or ("" if is_told else f"machine {numbers[machine]}"))))
        for session, label, machine in zip(sessions, whose, machines, strict=True)
    ]


def _host_names(sessions: Sequence[Session]) -> dict[str, str]:
    """Each host of the sessions, as the user wrote it -> its name in tables. Names with the same id get a number."""
    names_by_host: dict[str, str] = {}
    ids: list[str] = []
    for host in dict.fromkeys(session.host for session in sessions if session.host):
        ids.append(key(name_of(host)))
        names_by_host[host] = name_of(host) + (f" ({ids.count(ids[-1])})" if ids.count(ids[-1]) > 1 else "")
    return names_by_host


def _hosts(sessions: Sequence[Session], lost: Mapping[str, str]) -> tuple[Host, ...]:
    """The hosts of the sessions, and those that are lost; a host that is both has the reason of its loss."""
    host_names = _host_names(sessions)
    hosts: list[Host] = []
    for session in sessions:
        hosts += session.hosts
        if session.host:
            host = Host(
                name=host_names[session.host],
                session=session.id,
                cpus=len(session.machine.cpus),
                facts=_facts(session),
                clock_seconds=session.machine.details.get("clock_seconds"),
                reason=lost.get(session.host, ""),
            )
            hosts.append(host)
    hosts += [Host(name=name_of(host), reason=reason) for host, reason in lost.items() if host not in host_names]
    return tuple(hosts)


def _facts(session: Session) -> dict[str, str]:
    """What describes the machine of a session, its engine and its Pythons, by name."""
    builds = session.machine.builds
    images = [(build.image or "", (build.image_id or "").removeprefix("sha256:")[:12]) for build in builds]
    pythons = [names.python_words(build.python) for build in builds]
    facts = {
        **differences.machine_facts(session.machine),
        "Python": ", ".join(filter(None, pythons)),
        "image": ", ".join(" ".join(image).strip() for image in images if image[0]),
    }
    return {name: value for name, value in facts.items() if value}


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
    turn = f".{cell.turn}" if cell.turn else ""
    return dataclasses.replace(cell, id=cell.limit.on(build, machine) + turn, build=build, machine=machine)


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
    sessions: Sequence[Session],
    results: Sequence[CellResult],
    new_ids: Sequence[_NewIds],
    machine: Machine,
    hosts: Sequence[Host],
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
            **({"workload": workload} if (workload := _workload(sessions)) else {}),
            **({"predictions": guesses} if (guesses := _predictions(sessions, new_ids)) else {}),
            **({"hosts": [host.to_stored() for host in hosts]} if hosts else {}),
            "merged": [session.id for session in sessions],
        },
        lab_version=sessions[0].lab_version,
        code_sha256=sessions[0].code_sha256,
        results=tuple(results),
        judgements=tuple(judgements),
        changes=changes.changes_between_builds(experiments, results, judgements),
        quantities=tuple(quantities),
        wall_seconds=sum(session.wall_seconds for session in sessions),
        notes=tuple(dict.fromkeys((*notes, *origins, *_notes(hosts)))),
        interrupted=any(session.interrupted for session in sessions),
    )


def _notes(hosts: Sequence[Host]) -> Iterator[str]:
    """What a reader has to know of the hosts: which ones are lost, which clocks are wrong, and what differs."""
    for host in hosts:
        if host.reason:
            yield f"note: {host.name} {'did not run everything' if host.session else 'ran nothing'}: {host.reason}"
        if abs(host.clock_seconds or 0) >= _WRONG_CLOCK_SECONDS:
            direction = "ahead of" if (host.clock_seconds or 0) > 0 else "behind"
            yield (
                f"note: the clock of {host.name} is {units.seconds(abs(host.clock_seconds or 0))} {direction} that of"
                " this machine: times of day in its records are its own"
            )
    different = names_of_differences(hosts)
    if different:
        yield f"note: the hosts differ in {', '.join(different)}; the table of hosts has the values"
    if "architecture" in different:
        yield "note: the hosts have different architectures: compare their ratios and verdicts, not their times"


def names_of_differences(hosts: Sequence[Host]) -> list[str]:
    """The names of the facts in which hosts differ."""
    facts = [host.facts for host in hosts if host.facts]
    named = dict.fromkeys(name for each in facts for name in each)
    return [name for name in named if len({each.get(name) for each in facts}) > 1]


def _shared_arguments(sessions: Sequence[Session]) -> dict[str, Any]:
    """The arguments of the first session, without its predictions, host, and a label that is not that of all."""
    arguments = dict(sessions[0].arguments)
    if len({session.label for session in sessions}) > 1:
        arguments.pop("label", None)
    arguments.pop("host", None)  # it is among the hosts
    arguments.pop("predictions", None)  # they name the cells of that session
    return arguments


def _cases(sessions: Sequence[Session]) -> list[Any]:
    """The functions of the user's in all sessions, each once. Raises UsageError as :func:`_refuse` does."""
    _refuse(sessions, "call", differences.of_cases)
    cases = {case["label"]: case for session in sessions for case in session.arguments.get("cases") or ()}
    return list(cases.values())


def _workload(sessions: Sequence[Session]) -> dict[str, Any]:
    """The workload of the first session, with the programs of all sessions, each once; empty where nobody ran any.

    Raises UsageError where only some sessions ran programs, because no report shows both kinds of sessions.
    """
    workloads = [session.arguments.get("workload") or {} for session in sessions]
    if not any(workloads):
        return {}
    for session, workload in zip(sessions, workloads, strict=True):
        if not workload:
            raise UsageError(f"{session.id} ran no command, and others did", "join the sessions of lab exec alone")
    _refuse(sessions, "run", differences.of_programs)
    programs = {program["label"]: program for workload in workloads for program in workload["programs"]}
    return {**workloads[0], "programs": list(programs.values())}


def _refuse(
    sessions: Sequence[Session], do: str, different: Callable[[Session, Session], Sequence[differences.Difference]]
) -> None:
    """Raise UsageError where one name stands for two things, because their numbers do not belong together."""
    for first, second in itertools.combinations(sessions, 2):
        for difference in different(first, second):
            raise UsageError(
                f"{first.id} and {second.id} {do} {difference.what} in different ways: {difference.base}; and"
                f" {difference.new}; leave one of them out"
            )


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
    machine = [facts.get(name, "") for name in ("processor", "engine", "CPUs")]
    parts = [session.label, name_of(session.host), *pythons, *machine]
    return ", ".join(filter(None, parts))
