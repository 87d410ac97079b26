"""A session as one file to hand on: a zip that holds its folder, as lab run has stored it. Pure."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from lab.cell.worker.record_writer import SCHEMA
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.sessions import manifest as sessions

#: The oldest time that a zip can hold: the same session makes the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def pack(session: Session, document: Mapping[str, Any]) -> bytes:
    """A zip with the session's manifest and records; ``document`` is its report. Unpacked, ``lab report`` reads it."""
    manifest = sessions.manifest_of(session)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        _add(archive, "session.json", json.dumps({**manifest, "report": document}, indent=1).encode())
        for result in session.results:
            if result.records:
                _add(archive, f"{result.cell.id}.jsonl", lines(result))
    return memory.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def lines(result: CellResult) -> bytes:
    """The records of a cell, byte for byte as the worker wrote them
    (:meth:`lab.cell.worker.record_writer.Channel.emit`)."""
    found = (
        {
            "schema": SCHEMA,
            "session": one.session,
            "cell": one.cell,
            "seq": one.seq,
            "kind": one.kind,
            "time": one.time,
            "data": one.data,
        }
        for one in result.records
    )
    return b"".join(
        json.dumps(one, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        for one in found
    )
