"""The seal of a session: hashes of its files, of each record and of each part of its report. Pure.

The seal finds accidents and edits. It is not a signature: a person who edits a file can also write a new seal.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

SCHEMA = 1
NAME = "seal.json"

_MANIFEST = "session.json"
_RECORDS = ".jsonl"

#: Hexadecimal digits of each record's CRC-32. It shows which record changed; the proof is the hash of the file.
_MARK = 8
_NAMED = 5


def seal(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The seal of these files. ``files`` has their contents by their names."""
    return {"schema": SCHEMA, "files": {name: _sealed(name, files[name]) for name in sorted(files)}}


def _sealed(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if name.endswith(_RECORDS):
        entry["records"] = "".join(_marks(content))
    if name == _MANIFEST:
        entry["parts"] = _parts(content)
    return entry


def _marks(content: bytes) -> Iterator[str]:
    return (f"{zlib.crc32(line):0{_MARK}x}" for line in content.splitlines(keepends=True))


def _parts(content: bytes) -> dict[str, str]:
    """The hashes of the parts of the manifest and of its report; empty if the content is not JSON any more."""
    try:
        manifest = json.loads(content)
        parts = {name: value for name, value in manifest.items() if name != "report"}
        parts.update({f"report: {name}": value for name, value in (manifest.get("report") or {}).items()})
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest() for name, value in parts.items()
    }


def differences(sealed: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[str, ...]:
    """What has changed since the session was sealed, in a sentence each. A new file counts if it has records.

    Raises LookupError, TypeError or ValueError if ``sealed`` is not a seal.
    """
    known = sealed["files"]
    changes = [f"{name} is missing" for name in known if name not in files]
    changes += [f"{name} was not there when it was sealed" for name in files if name not in known and _is_records(name)]
    for name, before in known.items():
        content = files.get(name)
        if content is None or hashlib.sha256(content).hexdigest() == before["sha256"]:
            continue
        details = ""
        if "records" in before:
            details = _changed_records(before["records"], content)
        if "parts" in before:
            details = _changed_parts(before["parts"], content)
        changes.append(f"{name} was changed" + (f": {details}" if details else f" ({_size(before, content)})"))
    return tuple(changes)


def _is_records(name: str) -> bool:
    return name.endswith(_RECORDS)


def _size(before: Mapping[str, Any], content: bytes) -> str:
    return f"{before['bytes']} bytes then, {len(content)} now"


def _changed_records(before: str, content: bytes) -> str:
    """The numbers of the records that changed, from 0. A record that was added or removed moves all later records."""
    then = [before[start : start + _MARK] for start in range(0, len(before), _MARK)]
    now = list(_marks(content))
    same = min(len(then), len(now))
    first = next((number for number in range(same) if then[number] != now[number]), same)
    if len(then) != len(now):
        return f"{len(then)} records then, {len(now)} now, the same up to record {first}"
    wrong = [str(number) for number in range(first, same) if then[number] != now[number]]
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return f"record{'s' if len(wrong) > 1 else ''} {', '.join(wrong[:_NAMED])}{more}"


def _changed_parts(before: Mapping[str, str], content: bytes) -> str:
    now = _parts(content)
    if not now:
        return "it is not JSON any more"
    changed = [name for name in before if before[name] != now.get(name)]
    return ", ".join(changed + [name for name in now if name not in before])
