"""Packs a session into one zip file, with the same files that ``lab run`` stores in its folder. Pure."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from lab.cell.worker.record_writer import record_line
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.sessions import manifest as sessions

#: The oldest time that a zip can hold. With a constant time, the same session gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def pack(session: Session, document: Mapping[str, Any]) -> bytes:
    """A zip with the manifest and the records. ``document`` is the report. ``lab report`` reads the unpacked zip."""
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
    """The records of a cell, byte for byte as the worker wrote them."""
    return b"".join(
        record_line(
            record.session,
            record.cell,
            record.seq,
            record.kind,
            record.time,
            record.data,
            errors="surrogatepass",
        )
        for record in result.records
    )
