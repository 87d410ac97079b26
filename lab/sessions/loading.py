"""Stored sessions: finds them, and reads one back from its folder, judged again by the claims of this version.

What :mod:`lab.sessions.folder` writes. A session that was cut short is read as far as it goes: what is missing is named
in its notes, and the cell is an error. Only a folder that is no session, or one of a newer version, is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.cell import experiments
from lab.cell.cpus import cpulist
from lab.errors import StoreError, UsageError
from lab.judging import assembly
from lab.judging import status as runner
from lab.judging.records import MALFORMED, Reader
from lab.model import topology
from lab.model.cell import Cell, CellResult, Outcome, Status
from lab.model.machine import Machine
from lab.model.session import Session
from lab.sessions.folder import CELLS_LOG

#: The newest form of session.json that this version reads.
SCHEMA = 1

_MANIFEST = "session.json"
_PIECE = 1 << 20


def find_session(named: Path) -> Path:
    """The session's folder that somebody means by this path: itself, or the newest session below it.

    Raises UsageError when it is neither.
    """
    if (named / _MANIFEST).exists():
        return named
    if not named.exists():
        raise UsageError(f"{named} does not exist; name a session's folder, or the one that sessions are kept in")
    if not named.is_dir():
        raise UsageError(f"{named} is not a folder; name a session's folder, or the one that sessions are kept in")
    return newest(named)


def newest(parent: Path) -> Path:
    """The session's folder below ``parent`` that was begun last. Raises UsageError when there is none."""
    found = folders(parent)
    if not found:
        raise UsageError(f"there is no session in {parent}; make one with lab run, or name a session's folder")
    return found[-1]


def folders(parent: Path) -> list[Path]:
    """The sessions' folders below ``parent``, the oldest first: their names begin with the time."""
    return sorted(path.parent for path in parent.glob(f"*/{_MANIFEST}"))


def load_session(folder: Path) -> Session:
    """The session in this folder. Raises UsageError when it holds none that can be read, StoreError when the system
    refuses to read it."""
    found = manifest(folder)
    try:
        with uncollected():
            return _session(folder, found)
    except MALFORMED as error:
        raise UsageError(
            f"{folder / _MANIFEST} does not describe a session of this lab ({error!r}); name a folder that lab run"
            " has written"
        ) from error


def manifest(folder: Path) -> dict[str, Any]:
    """What a session's session.json holds. Raises UsageError when it is none, or of a newer version, StoreError when
    the system refuses to read it."""
    path = folder / _MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder} is not a session: it has no {_MANIFEST}; name a folder that lab run has written"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}); name a folder that lab run has written") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(schema, int):
        raise UsageError(
            f"{path} is not a session's manifest: it has no schema; name a folder that lab run has written"
        )
    if schema > SCHEMA:
        raise UsageError(
            f"{folder} was written by a newer lab (schema {schema}; this one reads up to {SCHEMA}); install that"
            " version to read it"
        )
    return dict(found)


def _session(folder: Path, manifest: Mapping[str, Any]) -> Session:
    report = manifest.get("report") or {}
    said = report.get("session") or {}
    versions = said.get("versions") or manifest.get("versions") or {}
    notes = list(said.get("notes", ()))
    if not report:
        notes.append("note: this session was cut short: what was stored until then is judged")
    stored = {one["id"]: one for one in report.get("cells", ())} or endings(folder)
    results = tuple(_result(folder, cell, stored.get(cell.id)) for cell in planned(manifest))
    known = experiments.in_order()
    wanted = manifest["arguments"]["experiments"]
    lacking = [name for name in wanted if name not in known]
    if lacking:
        notes.append(f"note: this version has no experiment {', '.join(map(repr, lacking))}: its claims are not judged")
    found = assembly.assemble(
        id=str(manifest["session"]),
        began=float(manifest["began"]),
        machine=_machine(manifest, said, results),
        arguments=manifest["arguments"],
        experiments=[name for name in wanted if name in known],
        results=results,
        code_sha256=versions.get("code_sha256", ""),
        wall_seconds=float(said.get("wall_seconds") or sum(one.wall_seconds for one in results)),
        notes=notes,
        interrupted=bool(said.get("interrupted", not report)),
    )
    return dataclasses.replace(found, lab_version=versions.get("lab", found.lab_version))


def endings(folder: Path) -> dict[str, dict[str, Any]]:
    """How the cells of a run without a report ended, by their ids; of one that ended twice, the last time."""
    try:
        lines = (folder / CELLS_LOG).read_bytes().splitlines()
    except OSError:
        return {}  # of a version that kept none, or of a run that was cut short before any cell had ended
    found = {}
    for line in lines:
        with contextlib.suppress(*MALFORMED):  # the last one may be torn
            one = json.loads(line)
            found[str(one["id"])] = one
    return found


def planned(manifest: Mapping[str, Any]) -> tuple[Cell, ...]:
    """The planned cells: as the manifest has them, or (of an early version) from the report."""
    stored = manifest.get("cells") or [
        {
            "id": one["id"],
            "label": one["limit"]["label"],
            "size": one["limit"]["cpus"],
            "cpus": one["cpus"],
            "reason": one["reason"] if one["status"] == Status.UNAVAILABLE else None,
        }
        for one in (manifest.get("report") or {}).get("cells", ())
    ]
    cells = tuple(Cell.from_stored(one) for one in stored)
    if any(Path(cell.id).name != cell.id for cell in cells):  # it names a file
        raise ValueError("a cell's id is a name, not a path")
    return cells


def _fields(stored: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """What this version knows of it; a list in JSON was a tuple."""
    known = {name: value for name, value in stored.items() if name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}


def _machine(manifest: Mapping[str, Any], said: Mapping[str, Any], results: Iterable[CellResult]) -> Machine:
    kept = _fields(manifest.get("machine", {}), {one.name for one in dataclasses.fields(Machine)})
    kept["topology"] = topology.from_stored(kept["topology"]) if kept.get("topology") else None
    host = said.get("host", {})
    fields: dict[str, Any] = {
        "engine": manifest["engine"],
        "cpus": tuple(host.get("cpus", ())),
        "host_cpus": tuple(host.get("host_cpus", ())),
        "python": next((one.python for one in results if one.python), {}),
        "image": said.get("image"),
        "details": said.get("details", {}),
    }
    return Machine(**fields | kept)


def _result(folder: Path, cell: Cell, stored: Mapping[str, Any] | None) -> CellResult:
    """What became of a cell. How it ended is known only from the report: a failure that the records do not show."""
    status = Status(stored["status"]) if stored else Status.PLANNED if cell.available else Status.UNAVAILABLE
    reason = stored["reason"] if stored else cell.reason
    name = f"{cell.id}.jsonl"
    if not (folder / name).exists():
        if not stored:
            reason = reason or "not run: the session was cut short before"
        elif status in (Status.MEASURED, Status.TAINTED):
            reason = f"its records are missing: the session's folder has no {name}"
            return CellResult(cell=cell, status=Status.ERROR, reason=reason, is_missing_records=True)
        return CellResult(cell=cell, status=status, reason=reason)
    reader = read_records(folder / name)
    cell = _as_it_ran(cell, stored, reader)
    outside = stored["proof"]["engine"] if stored else None
    wall = stored["wall_seconds"] if stored else _seconds(reader)
    result = runner.conclude(cell, reader, Outcome(exit_code=0, outside=outside or {}), wall_seconds=float(wall))
    if stored and result.status is Status.MEASURED and status is not Status.MEASURED:
        return dataclasses.replace(result, status=status, reason=reason)
    return result


def _as_it_ran(cell: Cell, stored: Mapping[str, Any] | None, reader: Reader) -> Cell:
    """The cell on the CPUs that it was given: beside others it may have been on others than planned."""
    start = next((record.data for record in reader.records if record.kind == "start"), {})
    cpus = tuple(stored["cpus"]) if stored else cpulist.parse(start.get("asked") or "")
    return dataclasses.replace(cell, cpus=cpus) if cpus else cell


def read_records(path: Path) -> Reader:
    """The records in a file, in pieces: a session may be larger than what one wants in memory twice.

    Raises StoreError when the system refuses to read it.
    """
    reader = Reader()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                reader.feed(piece)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    reader.finish()
    return reader


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Within this the collector of cycles rests, and what was made meanwhile it leaves alone for ever: there are no
    cycles in a session, and to look for some takes as long as to read it. It may be nested."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.freeze()
            gc.enable()


def _seconds(reader: Reader) -> float:
    records = reader.records
    return records[-1].time - records[0].time if records else 0.0
