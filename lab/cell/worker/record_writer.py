"""The record channel: newline-delimited JSON on a private copy of standard output.

Descriptor 1 itself is pointed at standard error before any experiment runs, so that whatever experiment code prints,
closes or replaces can never reach the stream of records. See :mod:`lab.judging.records` for the reading side.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import time
from typing import Any, Mapping, Optional

SCHEMA = 1

#: No record may be longer, in bytes, newline included: Docker's log drivers cut lines at 16 KiB.
LONGEST_RECORD = 8192

#: How long a reader that takes nothing is waited for, in seconds, where a file has the records too.
_READER_SECONDS = 2.0


class Channel:
    """Writes records to a descriptor, counts and hashes them.

    ``session`` and ``cell`` go into every record. Raises OSError when the reader has gone.

    With a ``copy``, each record is first written to this file. Then a reader that has gone, or takes nothing, is given
    up, and the file has the records that follow. A file that cannot be written is given up instead.
    """

    def __init__(self, descriptor: int, session: str, cell: str, copy: Optional[str] = None) -> None:
        self._descriptor = descriptor
        self._has_reader = True
        self._path = copy
        self._copy = None if copy is None else _new_file(copy)
        self._session = session
        self._cell = cell
        self._count = 0
        self._hash = hashlib.sha256()

    @classmethod
    def take_standard_output(cls, session: str, cell: str, copy: Optional[str] = None) -> Channel:
        """A channel on a private copy of descriptor 1, which afterwards points at standard error."""
        private = os.dup(1)  # close-on-exec, as every descriptor that Python makes
        os.dup2(2, 1)
        return cls(private, session, cell, copy)

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one record. Raises ValueError when it would be longer than LONGEST_RECORD, or cannot be written at all:
        a number that is none, a text that no encoding has (half a surrogate pair)."""
        line = record_line(self._session, self._cell, self._count, kind, time.time(), data)
        if len(line) > LONGEST_RECORD:
            raise ValueError("a record of %d bytes is longer than %d" % (len(line), LONGEST_RECORD))
        self._write(line)
        self._hash.update(line)
        self._count += 1

    def _write(self, line: bytes) -> None:
        if self._copy is not None:
            try:
                _write_all(self._copy, line)
            except OSError:
                os.close(self._copy)
                self._copy = None
        if self._copy is None:
            _write_all(self._descriptor, line)
        elif self._has_reader:
            self._has_reader = _written_in_time(self._descriptor, line)

    def end(self, data: Mapping[str, Any]) -> None:
        """Write the last record: the number of records before it, and the SHA-256 of them and of its own data."""
        self._hash.update(canonical(data))
        self.emit("end", dict(data, records=self._count, sha256=self._hash.hexdigest()))

    def remove_copy(self) -> None:
        """Remove the file, unless only the file has all records."""
        if self._path and self._has_reader:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def close(self) -> None:
        """Close the private descriptors; a forked child calls this so that it cannot write a record."""
        os.close(self._descriptor)
        if self._copy is not None:
            os.close(self._copy)


def _new_file(path: str) -> Optional[int]:
    """A descriptor of a new file that only this user may read; ``None`` where it cannot be made."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _write_all(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def _written_in_time(descriptor: int, line: bytes) -> bool:
    """Write to a reader who may have gone, or may take nothing. Returns whether all of the line was written."""
    until = time.monotonic() + _READER_SECONDS
    os.set_blocking(descriptor, False)
    try:
        while line and select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
            line = line[os.write(descriptor, line) :]
    except OSError:
        return False
    finally:
        os.set_blocking(descriptor, True)
    return not line


def record_line(
    session: str, cell: str, seq: int, kind: str, at: float, data: Mapping[str, Any], *, errors: str = "strict"
) -> bytes:
    """One record as the line that stands in the stream. ``at`` is in seconds since the epoch.

    ``errors`` says what happens to a text that no encoding has, as for :meth:`str.encode`. Raises ValueError for such a
    text, and for a number that is none.
    """
    record = {
        "schema": SCHEMA,
        "session": session,
        "cell": cell,
        "seq": seq,
        "kind": kind,
        "time": at,
        "data": data,
    }
    text = json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", errors) + b"\n"


def canonical(data: Mapping[str, Any]) -> bytes:
    """The data of an end record, without what is computed from it, as the bytes that its hash covers."""
    own = {key: value for key, value in data.items() if key not in ("records", "sha256")}
    return json.dumps(own, sort_keys=True, separators=(",", ":")).encode()
