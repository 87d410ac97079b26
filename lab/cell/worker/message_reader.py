"""Hearing an experiment: its messages, a line of JSON each, become records. Nothing that it sends is trusted."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping

from lab.cell.claims.recorder import MOST_FRAMES
from lab.cell.claims.wording import shortened
from lab.cell.worker.record_writer import Channel

#: Longer messages, in bytes, are refused (the record around them needs room).
LONGEST_MESSAGE = 7168

#: What each kind of message must hold, and of which type.
_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "observation": {"name": str, "value": object, "unit": str},
    "sample": {"name": str, "values": dict},
    "event": {"pid": int, "thread": str, "cpu": (int, type(None)), "at": (int, float), "text": str},
    "raised": {"error": str},
    "done": {},
}
_DEEPEST = 10
_MOST_DIGITS = 1000
_PIECE = 65536


class Listener:
    """Takes what an experiment sends through its pipe, and turns it into records of ``channel``.

    - ``fault``: the first thing that the experiment sent and that is not a message;
    - ``raised``: what ended the experiment, in words that go on from its name;
    - ``frames``: where it came from, the innermost place last;
    - ``done``: whether the experiment said that it had come to its end;
    - ``overfull``: whether the experiment has sent more than ``most`` bytes.
    """

    def __init__(self, channel: Channel, experiment: str, most: float) -> None:
        self.fault: str | None = None
        self.raised: str | None = None
        self.frames: list[str] = []
        self.done = False
        self.overfull = False
        self._channel = channel
        self._experiment = experiment
        self._most = most
        self._heard = 0
        self._pending = b""

    def hear(self, pipe: int) -> bool:
        """Take what the pipe, which does not block, holds now, up to 64 KiB. Returns whether there may be more."""
        try:
            piece = os.read(pipe, _PIECE)
        except BlockingIOError:
            return True
        self._heard += len(piece)
        if self._heard > self._most:
            self.overfull = True
            self._blame("sent more than %d KiB" % (self._most / 1024))
            return False
        lines = (self._pending + piece).split(b"\n")
        # Of a line that does not end, only the part is kept that shows that it is too long.
        self._pending = lines.pop()[: LONGEST_MESSAGE + 1]
        for line in lines:
            self._relay(line)
        return bool(piece)

    def hear_the_rest(self, pipe: int) -> None:
        """Take what is left in the pipe of an experiment that has ended."""
        before = -1
        while before < self._heard and not self.overfull:
            before = self._heard
            self.hear(pipe)
        if self._pending:
            self._blame("was cut off in the middle of a message")

    def _relay(self, line: bytes) -> None:
        try:
            kind, data = _message(line)
            if kind == "done":
                self.done = True
            elif kind == "raised":
                self.raised = self.raised or _plain(data["error"])
                self.frames = self.frames or [_plain(str(frame)) for frame in data.get("frames", ())][:MOST_FRAMES]
            else:
                self._channel.emit(kind, dict(data, experiment=self._experiment))
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            self._blame("sent something that is not a message: %s" % _plain(repr(line[:60])))

    def _blame(self, fault: str) -> None:
        self.fault = self.fault or fault


def _message(line: bytes) -> tuple[str, dict[str, Any]]:
    """A line as (kind, data). Raises ValueError, or what else comes of taking it for a message, when it is none."""
    if len(line) > LONGEST_MESSAGE:
        raise ValueError("it is too long")
    data: dict[str, Any] = json.loads(line, parse_int=_integer)
    kind: str = data.pop("kind")
    if not all(isinstance(data[name], types) for name, types in _FIELDS[kind].items()):
        raise TypeError("a field has the wrong type")
    if not _is_flat(data, _DEEPEST):
        raise ValueError("it is nested too deeply to be read everywhere")
    return kind, data


def _integer(digits: str) -> int:
    """The number that these digits write. Not every Python reads thousands of digits, and the orchestrator must."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError("it has too many digits")
    return int(digits)


def _is_flat(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_flat(part, levels - 1) for part in inner)


def _plain(text: str) -> str:
    """One short line of characters that can be shown, and cannot steer a terminal; others as their escapes."""
    line = shortened(" ".join(text.split()), 200)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
