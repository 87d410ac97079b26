"""Listening to a program: for how long, and to how much output. Nothing that a program prints is kept without bound."""

from __future__ import annotations

import math
import os
import select
import subprocess
import time
from collections.abc import Callable

MEBIBYTE = 2**20

#: How long to wait for output before the sink is called, in seconds.
_POLL_SECONDS = 0.2
#: How many bytes at the end of standard error are kept.
STDERR_KEPT = 4000


class Patience:
    """How long a program is listened to: ``seconds`` in all, ``silence`` seconds without output, and ``most`` bytes.

    By default the silence is as long as the whole time. The silence of a worker that hangs shows sooner than the
    deadline of its cell.
    """

    def __init__(self, seconds: float, silence: float | None = None, most: int = 64 * MEBIBYTE) -> None:
        self._seconds = seconds
        self._silence = seconds if silence is None else silence
        self._most = most
        self._bytes = 0
        self.begin()

    def begin(self) -> None:
        """Start to count the time."""
        self._last = time.monotonic()
        self._end = self._last + self._seconds

    def heard(self, count: int) -> None:
        """Note that the program has printed so many bytes."""
        self._last = time.monotonic()
        self._bytes += count

    def finish(self) -> None:
        """Listen no longer: all has come."""
        self._end = time.monotonic()

    @property
    def overfull(self) -> bool:
        """Whether the program has printed too much."""
        return self._bytes > self._most

    @property
    def left(self) -> float:
        """How many seconds the program has left; below zero after the deadline, and when it has printed too much."""
        if self.overfull:
            return -math.inf
        return min(self._end, self._last + self._silence) - time.monotonic()

    @property
    def why(self) -> str:
        """Why a program without time left was ended."""
        if self.overfull:
            return f"it printed more than {self._most / MEBIBYTE:g} MiB and was ended"
        if self._last + self._silence < self._end:
            return f"it said nothing for {self._silence:g} s and was ended"
        return "it passed its deadline and was ended"


def listen(
    program: subprocess.Popen[bytes], sink: Callable[[bytes], None], patience: Patience
) -> tuple[str, str | None]:
    """Read both streams of a program until they close. The caller ends the program.

    ``sink`` takes each piece of standard output, and ``b""`` where nothing came for a while. Returns (the end of
    standard error, ``None`` or why the patience ended).
    """
    assert program.stdout
    assert program.stderr
    output = program.stdout.fileno()
    streams = {output: True, program.stderr.fileno(): False}
    tail = b""
    while any(streams.values()):  # the answer ends with standard output; a stray grandchild may keep the other open
        left = patience.left
        if left <= 0:
            return tail.decode(errors="replace"), patience.why
        ended = program.poll() is not None  # ask before reading, so that the last output is not missed
        ready, _, _ = select.select(list(streams), [], [], min(left, _POLL_SECONDS))
        sink(b"")
        for stream in ready:
            piece = os.read(stream, 65536)
            if not piece:
                del streams[stream]
            elif stream == output:
                patience.heard(len(piece))
                sink(piece)
            else:
                tail = (tail + piece)[-STDERR_KEPT:]
        if ended and not ready:
            break
    return tail.decode(errors="replace"), None
