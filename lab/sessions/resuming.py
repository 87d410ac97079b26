"""A run that was killed or interrupted, taken up again: what of it is whole, and whether it may go on here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cell.cpus import cpulist
from lab.containers import cleanup
from lab.containers import client as client_
from lab.errors import EngineError, UsageError
from lab.judging import differences
from lab.judging.differences import Difference
from lab.model import machine as machine_
from lab.model.cell import Cell, CellResult, Status
from lab.model.machine import Machine
from lab.sessions import folder as store
from lab.sessions import loading


@dataclass(frozen=True, kw_only=True)
class Past:
    """What there is of the run: its folder, its manifest, its plan, and the cells of it that are whole, by their ids.
    ``wall_seconds`` is the time that these took."""

    folder: Path
    manifest: Mapping[str, Any]
    cells: tuple[Cell, ...]
    kept: Mapping[str, CellResult]
    machine: Machine
    code_sha256: str
    wall_seconds: float

    def manifest_at(self, time: float, unlike: Iterable[Difference] = ()) -> dict[str, Any]:
        """The manifest to go on with: without what its end said, with the time (since the epoch) of going on, and with
        what is not as it was."""
        begun = {name: value for name, value in self.manifest.items() if name not in ("report", "ended", "noise")}
        forced = [*self.manifest.get("forced", ()), *map(str, unlike)]
        return {**begun, "resumed": [*self.manifest.get("resumed", ()), time], **({"forced": forced} if forced else {})}

    @property
    def arguments(self) -> Mapping[str, Any]:
        arguments: Mapping[str, Any] = self.manifest["arguments"]
        return arguments


def take_up(named: Path | None, parent: Path) -> Past:
    """The run in this folder, or the newest one below ``parent`` that did not come to its end.

    Raises UsageError when there is none, when nothing of it is missing, when it is still running, or when it comes
    from a version that did not note what it takes to go on.
    """
    folder = loading.find_session(named) if named else _newest_unfinished(parent)
    if store.is_written(folder):
        raise UsageError(f"{folder.name} is still being written by another lab; wait for it, or end it first")
    session = loading.load_session(folder)
    manifest = loading.manifest(folder)
    # A cell whose end nobody noted may have been limited otherwise than asked: only the engine could tell.
    noted = {*loading.endings(folder), *(one["id"] for one in (manifest.get("report") or {}).get("cells", ()))}
    kept = {
        one.cell.id: one
        for one in session.results
        if one.status is Status.UNAVAILABLE or (one.status is Status.MEASURED and one.cell.id in noted)
    }
    if len(kept) == len(session.results) and not unfinished(manifest):
        raise UsageError(f"{folder.name} is complete, nothing of it is missing; lab report {folder} shows it")
    if "seed" not in manifest["arguments"]:
        raise UsageError(f"{folder.name} is of a lab that did not note its seed; it can be read, but not resumed")
    return Past(
        folder=folder,
        manifest=manifest,
        cells=loading.planned(manifest),
        kept=kept,
        machine=session.machine,
        code_sha256=session.code_sha256,
        wall_seconds=sum(one.wall_seconds for one in kept.values()),
    )


def unfinished(manifest: Mapping[str, Any]) -> bool:
    """Whether the run has not come to its end."""
    report = manifest.get("report")
    return not report or bool(report["session"]["interrupted"])


def _newest_unfinished(parent: Path) -> Path:
    for folder in reversed(loading.folders(parent)):
        try:
            if unfinished(loading.manifest(folder)):
                return folder
        except UsageError:  # not a session that this version can read
            continue
    raise UsageError(f"no session in {parent} was cut short; lab sessions lists them")


def clear(past: Past) -> None:
    """Remove what the run that was killed has left on its engine: it would run beside the cells, and its containers
    have their names. Raises EngineError when the engine does not answer, or keeps some of it."""
    if past.manifest["engine"] != "docker":
        return
    with contextlib.closing(client_.client_for_this_environment()) as client:
        _, kept = cleanup.remove_all(client, past.folder.name)
    if kept:
        raise EngineError(f"{past.folder.name} has left {'; '.join(kept)}; remove it with lab clean, then go on")


def check_resumable(past: Past, machine: Machine, code_sha256: str, *, force: bool = False) -> tuple[Difference, ...]:
    """In what this is not the machine, the builds and the lab that the run was begun with, where ``force`` allows it.

    Raises UsageError where it does not, or where the CPUs or the builds of the missing cells are not there at all.
    """
    missing = [cell for cell in past.cells if cell.available and cell.id not in past.kept]
    lacking = sorted({cpu for cell in missing for cpu in cell.cpus} - {*machine.cpus})
    builds = {cell.build for cell in missing if cell.build} - {*machine_.builds_of(machine)}
    anew = f"run it anew: lab replay {past.folder}"
    if lacking and machine.cpus:
        found = differences.of_machines(past.machine, machine)
        raise UsageError(
            f"{past.folder.name} cannot go on here, its cells need CPUs {cpulist.render(lacking)}, which are not ours:"
            f" it had {'; '.join(map(str, found))}; {anew}"
        )
    if builds:
        raise UsageError(
            f"{past.folder.name} cannot go on here, its cells need the builds {', '.join(sorted(builds))}; there are"
            f" {', '.join(machine_.builds_of(machine))}; {anew}"
        )
    found = differences.of_machines(past.machine, machine) + differences.of_code(past.code_sha256, code_sha256)
    if found and not force:
        raise UsageError(
            f"{past.folder.name} cannot go on here, its cells would not compare: it had {'; '.join(map(str, found))};"
            f" {anew}, or go on all the same with --force"
        )
    return found


def joined(past: Past | None, cells: tuple[Cell, ...], ran: tuple[CellResult, ...]) -> tuple[CellResult, ...]:
    """The results of the whole plan, in its order, those that were there before among them."""
    found = {**(past.kept if past else {}), **{one.cell.id: one for one in ran}}
    return tuple(found[cell.id] for cell in cells)
