"""A stored session held against its seal, its records' own hashes, and its report against its records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import __version__
from lab.errors import StoreError
from lab.judging.records import MALFORMED
from lab.model.session import Session
from lab.sessions import loading, seal
from lab.sessions.folder import read_files

_NAMED = 5


def inspect(folder: Path) -> tuple[tuple[str, ...], bool]:
    """What is wrong with a session, a sentence each, and whether it was sealed.

    Raises UsageError when it is none, StoreError when the system refuses to read it.
    """
    manifest = loading.manifest(folder)
    sealed = (folder / seal.NAME).exists()
    names, found = _against_its_seal(folder, manifest)
    session = loading.load_session(folder)
    named = " ".join(found)
    read = {f"{one.cell.id}.jsonl": one.faults for one in session.results if one.records or one.faults}
    for name in names:
        if name.endswith(".jsonl"):
            faults = read[name] if name in read else loading.read_records(folder / name).faults
            found += [f"{name}: {'; '.join(faults)}"] if faults and f"{name} was changed" not in named else []
    found += [] if named else _missing(session, names)
    found += _against_its_records(session, manifest)
    return tuple(found), sealed


def _against_its_seal(folder: Path, manifest: dict[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """The names of the session's files, and what is not as it was sealed."""
    try:
        files = read_files(folder)
    except OSError as error:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error
    found: list[str] = []
    if (folder / seal.NAME).exists():
        try:
            found += seal.differences(json.loads((folder / seal.NAME).read_bytes()), files)
        except (OSError, *MALFORMED) as error:
            found.append(f"{seal.NAME} cannot be read ({error!r}): nothing can be held against it")
    elif manifest.get("report") and "versions" in manifest:
        found.append(f"{seal.NAME} is missing: the session came to its end, and was sealed then")
    return tuple(files), found


def _missing(session: Session, names: tuple[str, ...]) -> list[str]:
    wanted = [f"{one.cell.id}.jsonl" for one in session.results if one.is_missing_records]
    return [f"{name} is missing" for name in wanted if name not in names]


def _against_its_records(session: Session, manifest: dict[str, Any]) -> Iterator[str]:
    """Verdicts in the report that the records do not give; another version may judge otherwise, and is not asked."""
    report = manifest.get("report") or {}
    said = {(one["claim"], one["cell"]): one["verdict"] for one in report.get("verdicts", ())}
    if report.get("session", {}).get("versions", {}).get("lab") != __version__ or "versions" not in manifest:
        return
    wrong = [
        f"{one.claim} at {one.cell} is {said[one.claim, one.cell]}, its records give {one.verdict}"
        for one in session.judgements
        if said.get((one.claim, one.cell), one.verdict) != one.verdict
    ]
    yield from (f"the report says {line}" for line in wrong[:_NAMED])
    if len(wrong) > _NAMED:
        yield f"and {len(wrong) - _NAMED} more verdicts that the records do not give"
