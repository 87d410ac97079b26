"""The record channel: newline-delimited JSON on a private copy of standard output.

Descriptor 1 itself is pointed at standard error before any experiment runs, so that whatever experiment code prints,
closes or replaces can never reach the stream of records. See :mod:`lab.judging.records` for the reading side.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any, Mapping

SCHEMA = 1

#: No record may be longer, in bytes, newline included: Docker's log drivers cut lines at 16 KiB.
LONGEST_RECORD = 8192


class Channel:
    """Writes records to a descriptor, counts and hashes them.

    ``session`` and ``cell`` go into every record. Raises OSError when the reader has gone.
    """

    def __init__(self, descriptor: int, session: str, cell: str) -> None:
        self._descriptor = descriptor
        self._session = session
        self._cell = cell
        self._count = 0
        self._hash = hashlib.sha256()

    @classmethod
    def take_standard_output(cls, session: str, cell: str) -> Channel:
        """A channel on a private copy of descriptor 1, which afterwards points at standard error."""
        private = os.dup(1)  # close-on-exec, as every descriptor that Python makes
        os.dup2(2, 1)
        return cls(private, session, cell)

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one record. Raises ValueError when it would be longer than LONGEST_RECORD, or cannot be written at all:
        a number that is none, a text that no encoding has (half a surrogate pair)."""
        line = record_line(self._session, self._cell, self._count, kind, time.time(), data)
        if len(line) > LONGEST_RECORD:
            raise ValueError("a record of %d bytes is longer than %d" % (len(line), LONGEST_RECORD))
        left = line
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._hash.update(line)
        self._count += 1

    def end(self, data: Mapping[str, Any]) -> None:
        """Write the last record: the number of records before it, and the SHA-256 of them and of its own data."""
        self._hash.update(canonical(data))
        self.emit("end", dict(data, records=self._count, sha256=self._hash.hexdigest()))

    def close(self) -> None:
        """Close the private descriptor; a forked child calls this so that it cannot write a record."""
        os.close(self._descriptor)


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
