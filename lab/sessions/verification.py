"""Verifies a stored session: its files against its seal, and its report against its records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab import __version__
from lab.errors import StoreError
from lab.judging.records import MALFORMED
from lab.model.session import Session
from lab.sessions import document, loading, seal
from lab.sessions.files import read_file
from lab.sessions.folder import read_files

_NAMED = 5


def inspect(folder: Path) -> tuple[tuple[str, ...], bool]:
    """What is wrong with a session, in a sentence each, and whether the session was sealed.

    Raises UsageError when the folder is no session, StoreError when the system refuses to read it.
    """
    manifest = loading.manifest(folder)
    sealed = (folder / seal.NAME).exists()
    names, problems = _against_its_seal(folder, manifest)
    session = loading.load_session(folder)
    in_seal = " ".join(problems)
    read = {f"{result.cell.id}.jsonl": result.faults for result in session.results if result.records or result.faults}
    for name in names:
        if name.endswith(".jsonl"):
            faults = read[name] if name in read else loading.read_records(folder / name).faults
            problems += [f"{name}: {'; '.join(faults)}"] if faults and f"{name} was changed" not in in_seal else []
    problems += [] if in_seal else _missing(session, names)
    problems += _against_its_records(session, manifest)
    return tuple(problems), sealed


def _against_its_seal(folder: Path, manifest: dict[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """The names of the session's files, and what has changed since the session was sealed."""
    try:
        files = read_files(folder)
    except OSError as error:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error
    problems: list[str] = []
    if (folder / seal.NAME).exists():
        try:
            problems += seal.differences(json.loads(read_file(folder / seal.NAME)), files)
        except (OSError, *MALFORMED) as error:
            problems.append(f"{seal.NAME} cannot be read ({error!r}): nothing can be compared with it")
    elif manifest.get("report") and "versions" in manifest:
        problems.append(f"{seal.NAME} is missing: the session came to its end, and was sealed then")
    return tuple(files), problems


def _missing(session: Session, names: tuple[str, ...]) -> list[str]:
    wanted = [f"{result.cell.id}.jsonl" for result in session.results if result.is_missing_records]
    return [f"{name} is missing" for name in wanted if name not in names]


def _against_its_records(session: Session, manifest: dict[str, Any]) -> Iterator[str]:
    """Verdicts and advice of the report that are not those of the records.

    The report of another version is not checked.
    """
    report = manifest.get("report") or {}
    reported = {(verdict["claim"], verdict["cell"]): verdict["verdict"] for verdict in report.get("verdicts", ())}
    if report.get("session", {}).get("versions", {}).get("lab") != __version__ or "versions" not in manifest:
        return
    wrong = [
        f"{judgement.claim} at {judgement.cell} is {reported[judgement.claim, judgement.cell]}, its records give"
        f" {judgement.verdict}"
        for judgement in session.judgements
        if reported.get((judgement.claim, judgement.cell), judgement.verdict) != judgement.verdict
    ]
    wrong += _wrong_advice(session, report)
    yield from (f"the report says {line}" for line in wrong[:_NAMED])
    if len(wrong) > _NAMED:
        yield f"and {len(wrong) - _NAMED} more that the records do not give"


def _wrong_advice(session: Session, report: Mapping[str, Any]) -> list[str]:
    """The advice of the report that differs from that of the records."""
    reported = {(each.get("case"), each.get("cell")): each for each in report.get("advice", ())}
    wrong = []
    for advice in document.advice(session):
        place = advice["case"], advice["cell"]
        said, given = (_choice(each) for each in (reported.get(place, advice), advice))
        if said != given:
            wrong.append(f"to take {said} for {place[0]} at {place[1]}, its records give {given}")
    return wrong


def _choice(advice: Mapping[str, Any]) -> str:
    return f"{advice.get('workers')} of {advice.get('executor')}"
