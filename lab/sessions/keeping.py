"""Stores a session that was made of others, in a folder like that of a run."""

from __future__ import annotations

from pathlib import Path

from lab.errors import StoreError
from lab.model.session import Session
from lab.sessions import export, manifest
from lab.sessions.document import document
from lab.sessions.folder import SessionFolder


def keep(parent: Path, session: Session) -> Path:
    """Store a session in a folder of its name below ``parent``. Raises StoreError. Returns the folder."""
    with SessionFolder(parent, session.id, again=(parent / session.id).is_dir()) as folder:
        for result in session.results:
            if result.records:
                with folder.cell(result.cell.id) as file:
                    file.append(export.lines(result))
        noise = manifest.noise(session.results)
        folder.write_manifest({**manifest.manifest_of(session), "noise": noise, "report": document(session)})
        folder.seal()
        if folder.failure:
            raise StoreError(f"{folder.failure}; name another folder with --output")
    return folder.path
