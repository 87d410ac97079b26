"""Reads what a class has handed in: of each session its verdicts, numbers and predictions, and no record."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.errors import LabError, StoreError, UsageError
from lab.judging import differences
from lab.judging.records import MALFORMED
from lab.model.cell import Cell
from lab.model.host import Host, name_of
from lab.model.participant import Guess, Number, Participant, Participation, Trust
from lab.model.session import Verdict
from lab.sessions import loading, seal
from lab.sessions.files import open_to_read, read_file
from lab.teaching.predictions import Prediction, is_right, words
from lab.text import names

MANIFEST = "session.json"

#: How participants can be told apart.
WAYS = ("label", "folder", "host")


def participants(paths: Sequence[Path], by: str = "label") -> list[Participant]:
    """The participants whose sessions lie below these folders, in the order of their names.

    ``by`` is one of :data:`WAYS`. A session without a label, or without a host's name, is named by its folder. Where a
    session and those that it was joined of are all there, each result counts once. Raises UsageError where there is no
    session.
    """
    found = {folder.resolve(): root for root in paths for folder in _folders(root)}
    every = [each for folder, root in found.items() for each in read(folder, root, by)]
    sessions: dict[str, list[Participation]] = {}
    for participation in _once(every, by):
        sessions.setdefault(participation.name, []).append(participation)
    return [
        Participant(name=name, sessions=tuple(sorted(sessions[name], key=lambda each: each.began)))
        for name in sorted(sessions, key=_natural)
    ]


def _once(every: Sequence[Participation], by: str) -> Iterator[Participation]:
    """The sessions without those whose results others have: of hosts the parts count, else what they were joined to."""
    there = {each.session for each in every}
    if by == "host":
        yield from (each for each in every if not each.parts or not there.issuperset(each.parts))
        return
    parts = {part for each in every if each.counts for part in each.parts}
    yield from (each for each in every if each.session not in parts)


def _natural(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Orders ``s2`` before ``s10``."""
    parts = "".join(sign if sign.isdigit() else f" {sign} " for sign in name.lower()).split()
    return [(part.isdigit(), int(part) if part.isdecimal() else 0, part) for part in parts], name


def _folders(root: Path) -> Iterator[Path]:
    """Every session at or below a folder. Raises UsageError where there is none.

    A folder that the system refuses to read raises StoreError: whoever handed it in would be missing.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", "name the folder that the class has handed in")

    def refused(error: OSError) -> None:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}", "make it readable, or take it away")

    below = sorted(Path(at) for at, _, names in os.walk(root, onerror=refused) if MANIFEST in names)
    if not below:
        raise UsageError(f"there is no session in {root}", "name a folder with sessions, at any depth")
    yield from below


def read(folder: Path, root: Path, by: str = "label") -> list[Participation]:
    """One session; by host, one for each host that was joined in it. One that cannot be read says why."""
    try:
        manifest = loading.manifest(folder)
        with loading.making_sense_of(folder):
            hosts = _hosts(manifest) if by == "host" else []
            if not hosts:
                return [_described(folder, manifest, _name(folder, root, by, manifest), _properties(manifest))]
            return [
                _described(folder, manifest, _told_apart(host.name, manifest), _of_host(host, manifest), host.name)
                for host in hosts
            ]
    except LabError as error:
        return [
            Participation(
                name=_by_folder(folder, root),
                folder=str(folder),
                session=folder.name,
                trust=Trust.UNREADABLE,
                fault=str(error),
            )
        ]


def _hosts(manifest: Mapping[str, Any]) -> list[Host]:
    """The hosts that were joined in a session, and that ran something."""
    stored = (manifest.get("arguments") or {}).get("hosts") or ()
    return [host for host in map(Host.from_stored, stored) if host.session]


def _described(
    folder: Path, manifest: Mapping[str, Any], name: str, properties: Mapping[str, str], host: str = ""
) -> Participation:
    """A session, or the part of it that a host has run."""
    report = manifest.get("report") or {}
    trust, fault = _trust(folder, manifest)
    cells = {cell.id: cell for cell in _cells(manifest, host)}
    several = len({cell.build for cell in cells.values()}) > 1
    places = {name: names.cell_words(cell) if several else _limit(cell) for name, cell in cells.items()}
    verdicts = [each for each in report.get("verdicts", ()) if each["cell"] in places]
    numbers = {(what, places[cell]): number for (what, cell), number in _numbers(report).items() if cell in places}
    return Participation(
        name=name,
        folder=str(folder),
        session=str(manifest["session"]),
        began=float(manifest["began"]),
        trust=trust,
        fault=fault,
        parts=tuple((manifest.get("arguments") or {}).get("merged") or ()),
        properties=properties,
        verdicts={(each["claim"], places[each["cell"]]): Verdict(each["verdict"]) for each in verdicts},
        numbers=numbers,
        guesses=_guesses(manifest, report, places),
        statements={each["claim"]: each["statement"] for each in verdicts},
    )


def _cells(manifest: Mapping[str, Any], host: str) -> Iterator[Cell]:
    """The cells of a session; of a host only its own, which then have no name of a machine."""
    for cell in loading.planned(manifest):
        label, _, machine = cell.machine.rpartition(", ")
        if not host:
            yield cell
        elif machine == host:
            yield replace(cell, machine=label)


def _limit(cell: Cell) -> str:
    """The limit of a cell in words that are the same on every machine: ``2 CPUs``, ``2 CPUs, quota 1.5``."""
    return ", ".join(filter(None, (names.limit_words(cell), cell.machine)))


def _name(folder: Path, root: Path, by: str, manifest: Mapping[str, Any]) -> str:
    label = (manifest.get("arguments") or {}).get("label") or ""
    chosen = {"label": label, "host": _host_name(manifest)}.get(by, "")
    return str(chosen) or _by_folder(folder, root)


def _host_name(manifest: Mapping[str, Any]) -> str:
    """The name of the machine that the cells ran on; empty where it is not known.

    It is the host that the user named, or the node of a cluster. An engine's machine that is not the machine of the lab
    has both names, because the virtual machine of Docker Desktop has the same name everywhere.
    """
    details = loading.machine_of(manifest).details
    host = (manifest.get("arguments") or {}).get("host")
    if host:
        return _told_apart(name_of(str(host)), manifest)
    nodes = {*(details.get("nodes") or {}).values(), (details.get("slurm") or {}).get("node")} - {None}
    return " and ".join(sorted(nodes)) or _told_apart(details.get("engine_name") or "", manifest)


def _told_apart(name: str, manifest: Mapping[str, Any]) -> str:
    """The name of a machine, after that of the machine of the lab if it may mean another one elsewhere.

    So may the name of a Docker context. An address or a node of Slurm is the same everywhere.
    """
    if any(sign in name for sign in "@:") or manifest["machine"]["engine"] == "slurm":
        return name
    own = (manifest.get("host") or {}).get("name") or ""
    return ": ".join(filter(None, dict.fromkeys((own, name))))


def _by_folder(folder: Path, root: Path) -> str:
    """The first folder below the root, if the session lies in one; else the name of the session."""
    below = folder.resolve().relative_to(root.resolve()).parts
    return below[0] if below else folder.name


def _trust(folder: Path, manifest: Mapping[str, Any]) -> tuple[Trust, str]:
    """What is known of a session's files, and what is wrong with them."""
    try:
        sealed = json.loads(read_file(folder / seal.NAME))["files"]
        changed = [fault for name, file in sealed.items() if (fault := _fault(folder, name, file["sha256"]))]
    except FileNotFoundError:
        ended = bool(manifest.get("report"))
        return (Trust.UNVERIFIED, "it has no seal") if ended else (Trust.INCOMPLETE, "it was cut short")
    except (OSError, *MALFORMED):
        return Trust.EDITED, f"{seal.NAME} cannot be read"
    if changed:
        return Trust.EDITED, ", ".join(changed[:3])
    report = manifest.get("report") or {}
    lost = [str(cell["id"]) for cell in report.get("cells", ()) if cell["status"] not in ("measured", "unavailable")]
    if report["session"]["interrupted"] or lost:
        return Trust.INCOMPLETE, f"it lacks {', '.join(lost)}" if lost else "it was interrupted"
    return Trust.INTACT, ""


def _fault(folder: Path, name: str, sha256: str) -> str:
    """What is wrong with a sealed file; empty: nothing. A name that leads elsewhere, or to a device, is wrong too."""
    if Path(name).name != name:
        return f"{seal.NAME} names {name!r}, which is not in the folder"
    try:
        with open_to_read(folder / name) as file:
            is_as_sealed = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return "" if is_as_sealed else f"{name} was changed"


def _properties(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What describes a machine, and may explain a verdict, by name."""
    machine = loading.machine_of(manifest)
    topology, python = machine.cpu_topology, machine.python
    facts = differences.machine_facts(machine)
    quotas = ((machine.details.get("probe") or {}).get("quotas")) or ()
    properties = {
        "processor": facts.get("processor"),
        "CPUs": len(machine.cpus),
        "cores": len({(cpu.package, cpu.core) for cpu in topology.cpus if cpu.id in machine.cpus}),
        "SMT": "yes" if len({cpu.core for cpu in topology.cpus}) < len(topology.cpus) else "no",
        "virtual machine": None if topology.is_virtual is None else "yes" if topology.is_virtual else "no",
        "quota": min((quota["quota_cpus"] for quota in quotas), default="none"),
        "kernel": python.get("kernel"),
        "cgroup version": facts.get("cgroup version"),
        "engine": machine.engine_facts.product or machine.engine,
        "engine version": machine.engine_facts.version,
        "Python": names.python_words(python, short=True) if python else None,
        "architecture": facts.get("architecture"),
    }
    return {name: str(value) for name, value in properties.items() if value not in (None, "")}


def _of_host(host: Host, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What describes a host of a joined session, by the same names, as far as that session tells it."""
    known = ("processor", "kernel", "cgroup version", "architecture")
    product, _, version = host.facts.get("engine", "").partition(" ")
    pythons = {
        build.label: names.python_words(build.python, short=True) for build in loading.machine_of(manifest).builds
    }
    properties = {
        **{name: host.facts.get(name, "") for name in known},
        "Python": ", ".join(dict.fromkeys(pythons.get(cell.build, "") for cell in _cells(manifest, host.name))),
        "CPUs": str(host.cpus or ""),
        "engine": product,
        "engine version": version,
    }
    return {name: value for name, value in properties.items() if value}


def _numbers(report: Mapping[str, Any]) -> dict[tuple[str, str], Number]:
    """Each number of a report by its name and the id of its cell: those of claims, the speed-ups, and all others."""
    numbers: dict[tuple[str, str], Number] = {}
    for verdict in report.get("verdicts", ()):
        evidence = verdict.get("evidence") or {}
        if evidence.get("value") is not None:
            numbers[verdict["claim"], verdict["cell"]] = _number(evidence["value"], *(evidence["interval"] or ()))
    for cell in report.get("cells", ()):
        for row in cell.get("cores") or ():
            gain = row["speed_up"]
            if gain and row["workers"] > 1:
                numbers[f"cores.{row['arm']}", cell["id"]] = _number(gain["value"], gain["low"], gain["high"])
    return numbers


def _number(value: float, low: float | None = None, high: float | None = None) -> Number:
    return Number(value=value, low=value if low is None else low, high=value if high is None else high)


def _guesses(
    manifest: Mapping[str, Any], report: Mapping[str, Any], places: Mapping[str, str]
) -> dict[tuple[str, str], Guess]:
    """The predictions of a session beside what was measured."""
    numbers = _numbers(report)
    guesses = {}
    for fields in (manifest.get("arguments") or {}).get("predictions") or ():
        prediction = Prediction(**fields)
        number = numbers.get((prediction.of, prediction.cell))
        guesses[prediction.of, places.get(prediction.cell, prediction.cell)] = Guess(
            what=prediction.what,
            predicted=words(prediction, prediction.value),
            measured=words(prediction, number.value) if number else "",
            is_right=is_right(prediction, number.value, number.low, number.high) if number else None,
        )
    return guesses
