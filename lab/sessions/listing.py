"""Lists the stored sessions, from their manifests and folders, without reading records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.judging.records import MALFORMED
from lab.model.cell import Status
from lab.model.machine import stored_builds
from lab.sessions import folder as store
from lab.sessions import loading, seal
from lab.sessions.files import read_file
from lab.text import units


class State(StrEnum):
    """Whether a session is complete and readable."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"  # cells that could be measured were lost
    INTERRUPTED = "interrupted"  # by Ctrl-C or SIGTERM
    CUT_SHORT = "cut short"  # killed, or the disk was full
    RUNNING = "running"
    DAMAGED = "damaged"  # a file is missing, or has another size than when it was sealed
    UNREADABLE = "unreadable"  # not a manifest, or one of a newer version


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored session, as ``lab sessions`` lists it."""

    #: The name of its folder.
    id: str
    #: Its folder.
    path: str
    #: When it began, in seconds since the epoch; ``None`` if the manifest cannot be read.
    began: float | None
    #: The name that the participant gave it; empty: none.
    label: str
    #: The machine that the cells ran on: its name and its number of CPUs; ``None`` if the manifest does not say.
    machine: str | None
    #: The engine and the Pythons.
    where: str
    #: The names of the experiments.
    experiments: tuple[str, ...]
    #: The image of the cells, or the images, separated by commas.
    image: str | None
    #: How many cells were measured.
    measured: int
    #: How many cells were planned and can be run on the machine.
    planned: int
    #: How many verdicts differ from the expected verdict; ``None`` without a report.
    surprises: int | None
    #: The share of blocks that something disturbed; ``None`` if the session has no count of blocks.
    noise: float | None
    #: Whether the session is complete and readable.
    state: State
    #: Why the session is damaged or unreadable; otherwise empty.
    reason: str
    #: The size of its files.
    size_bytes: int


def entries(parent: Path) -> list[Entry]:
    """The sessions below a folder, the oldest first."""
    return [_entry(folder) for folder in loading.folders(parent)]


def _entry(folder: Path) -> Entry:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    try:
        manifest = loading.manifest(folder)
        return _described(folder, manifest, size)
    except (LabError, *MALFORMED) as error:
        return Entry(
            id=folder.name,
            path=str(folder),
            began=None,
            label="",
            machine=None,
            where="-",
            experiments=(),
            image=None,
            measured=0,
            planned=0,
            surprises=None,
            noise=None,
            state=State.UNREADABLE,
            reason=str(error) if isinstance(error, LabError) else "session.json does not describe a session",
            size_bytes=size,
        )


def _described(folder: Path, manifest: Mapping[str, Any], size: int) -> Entry:
    report = manifest.get("report") or {}
    cells = report.get("cells") or loading.endings(folder).values()
    machine = manifest.get("machine") or {}
    python = machine.get("python") or {}
    builds = stored_builds(machine)
    planned = sum(cell.available for cell in loading.planned(manifest))
    measured = sum(cell["status"] == Status.MEASURED for cell in cells)
    state, reason = _state(folder, report, missing=planned - measured)
    release = f"{python.get('release') or ''}{'t' if python.get('free_threaded') else ''}"
    where = [manifest["engine"], ", ".join(facts.label for facts in builds) or release]
    blocks = sum(cell["blocks"] for cell in manifest.get("noise", {}).values())
    disturbed = sum(sum(cell["disturbed"].values()) for cell in manifest.get("noise", {}).values())
    return Entry(
        id=folder.name,
        path=str(folder),
        began=float(manifest["began"]),
        label=str((manifest.get("arguments") or {}).get("label") or ""),
        machine=_machine(manifest),
        where=" ".join(filter(None, where)),
        experiments=tuple(map(str, (manifest.get("arguments") or {}).get("experiments") or ())),
        image=", ".join(facts.image for facts in builds if facts.image) or machine.get("image"),
        measured=measured,
        planned=planned,
        surprises=sum(verdict["surprise"] for verdict in report["verdicts"]) if report else None,
        noise=disturbed / blocks if blocks else None,
        state=state,
        reason=reason,
        size_bytes=size,
    )


def _machine(manifest: Mapping[str, Any]) -> str | None:
    """The engine's machine where the engine says its name, else the machine that the lab ran on."""
    machine = manifest.get("machine") or {}
    name = (machine.get("details") or {}).get("engine_name") or (manifest.get("host") or {}).get("name")
    count = len(machine.get("cpus") or ())
    parts = [str(name)] if name else []
    parts += [units.cpus(count)] if count else []
    return ", ".join(parts) or None


def _state(folder: Path, report: Mapping[str, Any], missing: int) -> tuple[State, str]:
    if store.is_written(folder):
        return State.RUNNING, ""
    damage = _damage(folder)
    if damage:
        return State.DAMAGED, damage
    if not report:
        return State.CUT_SHORT, ""
    if report["session"]["interrupted"]:
        return State.INTERRUPTED, ""
    return (State.INCOMPLETE if missing > 0 else State.COMPLETE), ""


def _damage(folder: Path) -> str:
    """The first sealed file that is missing or has another size; empty if there is no such file."""
    try:
        sealed = json.loads(read_file(folder / seal.NAME))["files"]
        for name, file in sealed.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != file["bytes"]:
                return f"{name} was changed"
    except FileNotFoundError:
        return ""
    except (OSError, *MALFORMED):
        return f"{seal.NAME} cannot be read"
    return ""
