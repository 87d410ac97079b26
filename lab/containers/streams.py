"""The output of a container: its attached stream while it runs, and the engine's log after its end."""

from __future__ import annotations

import contextlib
import queue
import struct
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

_POLL_SECONDS = 0.2

#: How many frames are read ahead. The engine cuts output into frames of at most 32 KiB.
_MOST_AHEAD = 64
#: How many bytes of a log are read, unless the caller names a smaller number.
MOST_LOGGED = 2**27
#: How many bytes are read at a time.
_PIECE = 2**16
#: The header of a frame: which stream, and how many bytes follow.
_HEADER = struct.Struct(">BxxxL")

#: A piece of an attached stream: (standard output, standard error).
_Frame = tuple[bytes | None, bytes | None]

#: An empty frame.
_NOTHING: _Frame = (None, None)


def frames(stream: Iterable[_Frame]) -> Generator[tuple[_Frame, bool], None, None]:
    """The frames of an attached stream, each with whether the stream is over.

    A frame is empty if nothing came for a while, or if the stream is over. The iterator itself never ends. A daemon
    thread reads the stream, because its socket has no timeout. The thread reads few frames ahead: a container that
    prints faster than it is listened to waits. The caller closes the iterator.
    """
    received: queue.Queue[_Frame | None] = queue.Queue(_MOST_AHEAD)
    abandoned = threading.Event()
    threading.Thread(target=_read, args=(stream, received, abandoned), daemon=True).start()
    try:
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
    finally:
        abandoned.set()


def _read(stream: Iterable[_Frame], received: queue.Queue[_Frame | None], abandoned: threading.Event) -> None:
    """Hand on the frames of a stream, then ``None``, until nobody takes them any more."""

    def hand_on(frame: _Frame | None) -> None:
        while not abandoned.is_set():
            with contextlib.suppress(queue.Full):
                received.put(frame, timeout=_POLL_SECONDS)
                return

    try:
        for frame in stream:
            hand_on(frame)
            if abandoned.is_set():
                return
    except Exception as error:  # whatever ended the stream: the engine's log is complete
        hand_on((None, f"\n(the attached stream broke: {error})\n".encode()))
    hand_on(None)


def hang_up(stream: Any) -> None:
    """Close an attached stream's connection, which also ends the thread that reads it."""
    with contextlib.suppress(Exception):  # a stream over ssh cannot be closed, and a broken stream need not be
        stream.close()
        stream._response.close()


def log(api: Any, container: str, *, error: bool | None = False, most: int = MOST_LOGGED) -> bytes | None:
    """What the engine has logged of standard output, or of standard ``error``; at most so many bytes of it.

    If ``error`` is ``None``, it is both. For one of them the engine reads through what the other has, too.

    It is ``None`` when the engine does not answer.
    """
    from lab.containers.client import broken_connections

    parameters = {"stdout": int(not error), "stderr": int(error is not False)}
    try:
        with asked(api, f"containers/{container}/logs", parameters) as answer:
            return bounded(_texts(answer.iter_content(_PIECE)), most)
    except broken_connections():
        return None


@contextlib.contextmanager
def asked(api: Any, path: str, parameters: Mapping[str, object]) -> Iterator[Any]:
    """An answer of the engine, whose body is read in pieces. Raises what the SDK raises.

    The SDK's own requests for a stream have no timeout. Its other requests read a body of any size into memory.
    """
    address = f"{api.base_url}/v{api.api_version}/{path}"
    with api.get(address, params=parameters, timeout=api.timeout, stream=True) as answer:
        api._raise_for_status(answer)
        yield answer


def bounded(pieces: Iterable[bytes], most: int) -> bytes:
    """The first ``most`` bytes of these pieces, and no piece after them."""
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most])


def _texts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The texts of a log without the headers of its frames (the engine's API, ``/containers/{id}/attach``)."""
    pending = b""
    for piece in pieces:
        content, start = pending + piece, 0
        while len(content) >= start + _HEADER.size:
            _, length = _HEADER.unpack_from(content, start)
            if len(content) < start + _HEADER.size + length:
                break
            yield content[start + _HEADER.size : start + _HEADER.size + length]
            start += _HEADER.size + length
        pending = content[start:]
    yield pending[_HEADER.size :]
