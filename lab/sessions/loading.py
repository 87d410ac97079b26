"""Finds stored sessions, and reads them from their folders. The claims of this version judge the records again.

:mod:`lab.sessions.folder` describes the files. A session that was cut short is read as far as possible: its notes name
what is missing, and an incomplete cell is an error. A folder that is no session of this or an older version is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import reprlib
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
from lab.model.session import Judgement, Session, Verdict
from lab.sessions import shape
from lab.sessions.files import open_to_read, read_file
from lab.sessions.folder import CELLS_LOG

#: The newest form of session.json that this version reads.
SCHEMA = 1

_MANIFEST = "session.json"
_PIECE = 1 << 20


def find_session(named: Path) -> Path:
    """The session's folder that the user means by this path: the path itself, or the newest session below it.

    Raises UsageError when there is no session, and StoreError when the system refuses to look.
    """
    try:
        if (named / _MANIFEST).exists():
            return named
        if not named.exists():
            raise UsageError(f"{named} does not exist; name the folder of a session, or a folder with sessions")
        if not named.is_dir():
            raise UsageError(f"{named} is not a folder; name the folder of a session, or a folder with sessions")
        return newest(named)
    except OSError as error:
        raise StoreError(f"cannot read {named}: {error.strerror}") from error


def newest(parent: Path) -> Path:
    """The folder of the newest session below ``parent``. Raises UsageError when there is no session."""
    all_folders = folders(parent)
    if not all_folders:
        raise UsageError(f"there is no session in {parent}; make one with lab run, or name a session's folder")
    return all_folders[-1]


def folders(parent: Path) -> list[Path]:
    """The sessions' folders below ``parent``, the oldest first: their names begin with the time."""
    return sorted(path.parent for path in parent.glob(f"*/{_MANIFEST}"))


def load_session(folder: Path) -> Session:
    """The session in this folder.

    Raises UsageError when the folder has no session that can be read, StoreError when the system refuses to read it.
    """
    content = manifest(folder)
    with making_sense_of(folder), uncollected():
        return _session(folder, content)


@contextlib.contextmanager
def making_sense_of(*folders: Path) -> Iterator[None]:
    """Within the context, a session that holds what no lab writes is refused, in whatever place that is noticed."""
    try:
        yield
    except MALFORMED as error:
        where = " or ".join(str(folder / _MANIFEST) for folder in folders)
        raise UsageError(
            f"{where} does not describe a session of this lab ({reprlib.repr(error)})",
            "name a folder that lab run has written",
        ) from error


def manifest(folder: Path) -> dict[str, Any]:
    """The content of a session's session.json.

    Raises UsageError when it is no manifest or a newer version wrote it, StoreError when the system refuses to read it.
    """
    path = folder / _MANIFEST
    try:
        content = json.loads(read_file(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder} is not a session: it has no {_MANIFEST}; name a folder that lab run has written"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}); name a folder that lab run has written") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int):
        raise UsageError(
            f"{path} is not a session's manifest: it has no schema; name a folder that lab run has written"
        )
    if schema > SCHEMA:
        raise UsageError(
            f"{folder} was written by a newer lab (schema {schema}; this one reads up to {SCHEMA}); install that"
            " version to read it"
        )
    with making_sense_of(folder):
        shape.check(content)
    return dict(content)


def _session(folder: Path, manifest: Mapping[str, Any]) -> Session:
    report = manifest.get("report") or {}
    summary = report.get("session") or {}
    versions = summary.get("versions") or manifest.get("versions") or {}
    notes = list(summary.get("notes", ()))
    if not report:
        notes.append("note: this session was cut short: the records that were stored until then are judged")
    stored = {cell["id"]: cell for cell in report.get("cells", ())} or endings(folder)
    results = tuple(_result(folder, cell, stored.get(cell.id)) for cell in planned(manifest))
    wanted = manifest["arguments"]["experiments"]
    unknown = [name for name in wanted if not experiments.is_known(name)]
    if unknown:
        how = "its verdicts are those that its report has" if report else "its claims are not judged"
        own = [name for name in unknown if name in (manifest["arguments"].get("own") or {})]
        others = [name for name in unknown if name not in own]
        notes += [f"note: the file of {name} is not run again to report it: {how}" for name in own]
        notes += [f"note: this version has no experiment {', '.join(map(repr, others))}: {how}"] if others else []
    session = assembly.assemble(
        id=str(manifest["session"]),
        began=float(manifest["began"]),
        machine=machine_of(manifest, results),
        arguments=manifest["arguments"],
        experiments=[name for name in wanted if name not in unknown],
        results=results,
        code_sha256=versions.get("code_sha256", ""),
        wall_seconds=float(summary.get("wall_seconds") or sum(result.wall_seconds for result in results)),
        notes=notes,
        interrupted=bool(summary.get("interrupted", not report)),
    )
    reported = tuple(_reported(each) for each in report.get("verdicts", ()) if _experiment_of(each) in unknown)
    return dataclasses.replace(
        session,
        lab_version=versions.get("lab", session.lab_version),
        judgements=(*session.judgements, *reported),
    )


def _experiment_of(verdict: Mapping[str, Any]) -> str:
    return str(verdict["claim"]).rpartition(".")[0]


def _reported(verdict: Mapping[str, Any]) -> Judgement:
    """A verdict as the report of a session has it, on a claim that only the session's own code can judge."""
    evidence = verdict["evidence"]
    low, high = evidence["interval"] or (None, None)
    return Judgement(
        claim=verdict["claim"],
        statement=verdict["statement"],
        cell=verdict["cell"],
        verdict=Verdict(verdict["verdict"]),
        expected=Verdict(verdict["expected"]) if verdict["expected"] else None,
        reason=verdict["reason"],
        value=evidence["value"],
        low=low,
        high=high,
        unit=evidence["unit"],
        ceiling=evidence["ceiling"],
        accepted=evidence["samples"]["accepted"],
        rejected=evidence["samples"]["rejected"],
    )


def endings(folder: Path) -> dict[str, dict[str, Any]]:
    """How the cells of a run without a report ended, by their ids. If a cell ended twice, the last end counts."""
    try:
        lines = read_file(folder / CELLS_LOG).splitlines()
    except OSError:
        return {}  # an early version wrote no log, or no cell had ended
    ends = {}
    for line in lines:
        with contextlib.suppress(*MALFORMED):  # the last line may be torn
            end = json.loads(line)
            ends[str(end["id"])] = end
    return ends


def planned(manifest: Mapping[str, Any]) -> tuple[Cell, ...]:
    """The planned cells, from the manifest; for a session of an early version, from the report."""
    stored = manifest.get("cells") or [
        {
            "id": cell["id"],
            "label": cell["limit"]["label"],
            "size": cell["limit"]["cpus"],
            "cpus": cell["cpus"],
            "reason": cell["reason"] if cell["status"] == Status.UNAVAILABLE else None,
        }
        for cell in (manifest.get("report") or {}).get("cells", ())
    ]
    cells = tuple(Cell.from_stored(fields) for fields in stored)
    if any(Path(cell.id).name != cell.id for cell in cells):  # the id names a file
        raise ValueError("a cell's id is a name, not a path")
    return cells


def _fields(stored: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The fields that this version knows. A list in JSON becomes a tuple."""
    known = {name: value for name, value in stored.items() if name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}


def machine_of(manifest: Mapping[str, Any], results: Iterable[CellResult] = ()) -> Machine:
    """The machine of a session. The manifest of an early version knows less of it than the results do."""
    summary = (manifest.get("report") or {}).get("session") or {}
    kept = _fields(manifest.get("machine", {}), {field.name for field in dataclasses.fields(Machine)})
    kept["topology"] = topology.from_stored(kept["topology"]) if kept.get("topology") else None
    host = summary.get("host", {})
    fields: dict[str, Any] = {
        "engine": manifest["engine"],
        "cpus": tuple(host.get("cpus", ())),
        "host_cpus": tuple(host.get("host_cpus", ())),
        "python": next((result.python for result in results if result.python), {}),
        "image": summary.get("image"),
        "details": summary.get("details", {}),
    }
    return Machine(**fields | kept)


def _result(folder: Path, cell: Cell, stored: Mapping[str, Any] | None) -> CellResult:
    """The result of a cell. Only the report, or the log of the cells, knows a failure that the records do not show."""
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
    if not stored or status is Status.MEASURED or result.status not in (Status.MEASURED, status):
        return result
    reasons = [text for text in (reason, result.reason) if text]
    also = [text for text in reasons[1:] if text not in reasons[0]]
    return dataclasses.replace(result, status=status, reason="; ".join((*reasons[:1], *also)) or None)


def _as_it_ran(cell: Cell, stored: Mapping[str, Any] | None, reader: Reader) -> Cell:
    """The cell with the CPUs that it really had. Next to other cells these may differ from the plan."""
    start = next((record.data for record in reader.records if record.kind == "start"), {})
    cpus = tuple(stored["cpus"]) if stored else cpulist.parse(start.get("asked") or "")
    return dataclasses.replace(cell, cpus=cpus) if cpus else cell


def read_records(path: Path) -> Reader:
    """The records in a file. The file is read in pieces, because a session may be too large to be in memory twice.

    Raises StoreError when the system refuses to read it.
    """
    reader = Reader()
    try:
        with open_to_read(path) as stream:
            while piece := stream.read(_PIECE):
                reader.feed(piece)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    reader.finish()
    return reader


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Switch the collector of cycles off inside the ``with`` block. It never looks at the objects made there.

    A session has no cycles, and to look for cycles takes as long as to read the session. The blocks may be nested.
    """
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
