"""What a container says: its attached stream as it comes, and the engine's log of it after the end."""

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


#: No piece.
_NOTHING: _Frame = (None, None)


def frames(stream: Iterable[_Frame]) -> Iterator[tuple[_Frame, bool]]:
    """The pieces of an attached stream, each with whether the stream is over; an empty one whenever none came for a
    while, and for ever after its end.

    A daemon thread reads them: the socket has no timeout, so nothing else may wait for it.
    """
    found: queue.Queue[_Frame | None] = queue.Queue()

    def read() -> None:
        try:
            for frame in stream:
                found.put(frame)
        except Exception as error:  # whatever ends the stream: the engine's log is the authority
            found.put((None, f"\n(the attached stream broke: {error})\n".encode()))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            frame = found.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            yield _NOTHING, False
        else:
            if frame is None:
                break
            yield frame, False
    pause = 0.0
    while True:  # it ends very soon now, unless only the connection broke
        yield _NOTHING, True
        pause = min(2 * pause + 0.005, _POLL_SECONDS)
        time.sleep(pause)


def hang_up(stream: Any) -> None:
    """Close an attached stream's connection, which also ends the thread that reads it."""
    with contextlib.suppress(Exception):  # ssh's cannot be closed, and a broken one need not be
        stream.close()
        stream._response.close()


def log(api: Any, container: str) -> bytes | None:
    """What the engine logged of standard output; ``None`` when it cannot say."""
    import requests

    try:
        found: bytes = api.logs(container, stdout=True, stderr=False)
    except requests.RequestException:  # APIError is one too
        return None
    return found
