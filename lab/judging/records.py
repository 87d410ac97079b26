"""Reading a cell's stream of records: bytes in, records and faults out. Pure.

The writing side is :mod:`lab.cell.worker.record_writer`. A stream is whole when its sequence numbers run from 0 without
a gap or a repeat, and its last record, of kind ``end``, has the right count and hash. Records of a stream that is not
whole are kept too."""

from __future__ import annotations

import hashlib
from typing import Any

from lab.cell.worker.record_writer import LONGEST_RECORD, SCHEMA, canonical
from lab.interrupts import signals_held
from lab.model.cell import Record

with signals_held():  # if Ctrl-C raises an exception while orjson loads, orjson crashes
    import orjson

#: What reading records or a report raises that are whole, but not what a worker or a lab of this version writes.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)

#: The entries that the data of each kind of record must have. An experiment may send data without them.
_HOLDS: dict[str, dict[str, Any]] = {
    "start": {"python": dict, "proof": dict},
    "topology": {"text": str},
    "begin": {"experiment": str},
    "observation": {"experiment": str, "name": str, "value": object},
    "sample": {"experiment": str, "name": str, "values": dict},
    "event": {"experiment": str, "pid": int, "thread": str, "cpu": (int, type(None)), "at": (int, float), "text": str},
    "finish": {"experiment": str, "outcome": str, "reason": (str, type(None))},
    "end": {"records": int, "sha256": str},
}

#: Entries whose texts many records have in common: one copy of each text is kept.
_COMMON = ("experiment", "name", "thread")

#: For each kind: the kind, its entries with their types, and which entries are in ``_COMMON``.
_KINDS = {
    kind: (kind, tuple(held.items()), tuple(name for name in held if name in _COMMON)) for kind, held in _HOLDS.items()
}

_FIELDS = len(Record._fields)

#: At most this many faults of a stream are named.
_MOST_FAULTS = 5
#: After so many lines that are no records, a stream is not read any further: it is not that of a worker.
_MOST_STRAYS = 1000
#: How many bytes of a whole stream are split into lines at a time.
_PIECE = 2**20


class Reader:
    """Reads a stream in pieces of any size; ``records`` and ``faults`` hold what was read so far."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.faults: list[str] = []
        self.refusal: str | None = None
        self._pending = b""
        self._overlong = False
        self._strays = 0
        self._hash = hashlib.sha256()
        self._ended = False
        self._texts: dict[str, str] = {}

    def feed(self, piece: bytes) -> list[Record]:
        """Read the next piece, and return the records that it completed."""
        if self._strays > _MOST_STRAYS:
            return []
        lines = (self._pending + piece).split(b"\n")
        self._pending = lines.pop()
        completed = [record for line in lines if (record := self._line(line)) is not None]
        if self._strays > _MOST_STRAYS:
            self.faults.append(f"more than {_MOST_STRAYS} lines are not records; the rest is not read")
            self._pending = b""
            return completed
        if len(self._pending) > LONGEST_RECORD:
            # The rest of the line is dropped, so that a megabyte without a newline costs no memory.
            if not self._overlong:
                self._fault(f"a line longer than {LONGEST_RECORD} bytes")
            self._overlong, self._pending = True, b""
        return completed

    def finish(self) -> None:
        """End the stream, and note what is missing."""
        if self._pending or self._overlong:
            self._fault("a torn last line")
            self._pending = b""
        if not self._ended and self.refusal is None:
            self.faults.append("the end record is missing" if self.records else "no record came")

    def _line(self, line: bytes) -> Record | None:
        if self._overlong:
            self._overlong = False
            return None
        if not line or self._strays > _MOST_STRAYS:
            return None
        if len(line) >= LONGEST_RECORD:
            self._fault(f"a line longer than {LONGEST_RECORD} bytes")
            return None
        try:
            fields = orjson.loads(line)
            if fields.get("kind") == "refused":
                self.refusal = str(fields["reason"])
                return None
            if fields.pop("schema") != SCHEMA:
                self._fault("a record of another schema")
                return None
            record = _record(fields, self._texts)
        except MALFORMED:
            self._strays += 1
            self._fault(f"a line that is not a record: {line[:40].decode('ascii', 'backslashreplace')!r}")
            return None
        return self._in_order(record, line)

    def _in_order(self, record: Record, line: bytes) -> Record | None:
        expected = self.records[-1].seq + 1 if self.records else 0
        if record.seq < expected:
            self._fault(f"record {record.seq} came twice")
            return None
        if record.seq > expected:
            self._fault(f"records {expected} to {record.seq - 1} are missing")
        if self._ended:
            self._fault("a record after the end")
            return None
        self.records.append(record)
        if record.kind == "end":
            self._ended = True
            self._hash.update(canonical(record.data))
            if record.data.get("records") != record.seq or record.data.get("sha256") != self._hash.hexdigest():
                self._fault("the count or the hash in the end record does not match what came")
        else:
            self._hash.update(line + b"\n")
        return record

    def _fault(self, text: str) -> None:
        if len(self.faults) >= _MOST_FAULTS:
            text = "and more"
        if text not in self.faults:
            self.faults.append(text)


def _record(fields: dict[str, Any], texts: dict[str, str]) -> Record:
    """The record that has these fields. Texts that are in ``texts`` are shared and not copied.

    Raises TypeError or LookupError where a field or an entry is missing, or has the wrong type.
    """
    # Plain tests, one after the other, because this runs for every record of a session.
    kind, held, common = _KINDS[fields["kind"]]
    session, cell, seq, time, data = fields["session"], fields["cell"], fields["seq"], fields["time"], fields["data"]
    if not (len(fields) == _FIELDS and isinstance(session, str) and isinstance(cell, str) and isinstance(data, dict)):
        raise TypeError
    if not (isinstance(seq, int) and isinstance(time, (int, float))):
        raise TypeError
    for name, form in held:
        if not isinstance(data[name], form):
            raise TypeError
    for name in common:
        data[name] = texts.setdefault(data[name], data[name])
    return Record(texts.setdefault(session, session), texts.setdefault(cell, cell), seq, kind, time, data)


def read_records(stream: bytes | bytearray) -> Reader:
    """The reader of a whole stream, which has ended."""
    reader = Reader()
    for start in range(0, len(stream), _PIECE):
        reader.feed(bytes(stream[start : start + _PIECE]))
    reader.finish()
    return reader
