"""The output of a container: its attached stream while it runs, and the engine's log after its end."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

_POLL_SECONDS = 0.2

#: A piece of an attached stream: (standard output, standard error).
_Frame = tuple[bytes | None, bytes | None]

#: An empty frame.
_NOTHING: _Frame = (None, None)


def frames(stream: Iterable[_Frame]) -> Iterator[tuple[_Frame, bool]]:
    """The frames of an attached stream, each with whether the stream is over.

    A frame is empty if nothing came for a while, or if the stream is over. The iterator itself never ends. A daemon
    thread reads the stream, because its socket has no timeout.
    """
    received: queue.Queue[_Frame | None] = queue.Queue()

    def read() -> None:
        try:
            for frame in stream:
                received.put(frame)
        except Exception as error:  # whatever ended the stream: the engine's log is complete
            received.put((None, f"\n(the attached stream broke: {error})\n".encode()))
        received.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            frame = received.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            yield _NOTHING, False
        else:
            if frame is None:
                break
            yield frame, False
    pause = 0.0
    while True:  # the container ends very soon now, unless only the connection broke
        yield _NOTHING, True
        pause = min(2 * pause + 0.005, _POLL_SECONDS)
        time.sleep(pause)


def hang_up(stream: Any) -> None:
    """Close an attached stream's connection, which also ends the thread that reads it."""
    with contextlib.suppress(Exception):  # a stream over ssh cannot be closed, and a broken stream need not be
        stream.close()
        stream._response.close()


def log(api: Any, container: str) -> bytes | None:
    """What the engine has logged of standard output; ``None`` when it does not answer."""
    from lab.containers.client import broken_connections

    try:
        output: bytes = api.logs(container, stdout=True, stderr=False)
    except broken_connections():
        return None
    return output
