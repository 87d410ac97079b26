"""Images as the engine saves and loads them: one stream each, which is never held in memory.

Source: docs.docker.com, Engine API, ``/images/{name}/get`` and ``/images/load``.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lab.containers.client import translated
from lab.errors import CellError

if TYPE_CHECKING:
    from docker import DockerClient

#: How long the engine may send nothing, in seconds. It writes layers to its disk before it sends or answers.
_SECONDS = 900
_PIECE = 2**20
#: An archive ends with two empty blocks. After an error an engine ends the stream with a text instead.
_END = bytes(2 * tarfile.BLOCKSIZE)


def saved(client: DockerClient, image: str) -> Iterator[bytes]:
    """The stream in which the engine saves an image, in pieces. ``image`` is its id. Raises EngineError."""
    api: Any = client.api
    end = b""
    with translated(f"saving the image {image}"):
        address = f"{api.base_url}/v{api.api_version}/images/{image}/get"
        with api.get(address, timeout=_SECONDS, stream=True) as answer:
            api._raise_for_status(answer)
            for piece in answer.iter_content(_PIECE):
                end = (end + piece)[-len(_END) :]
                yield piece
    if end != _END:
        raise CellError(
            f"saving the image {image}: the engine's stream ended too soon; is its disk full? (docker info)"
        )


def load(client: DockerClient, pieces: Iterable[bytes]) -> str | None:
    """Load an image from such a stream. Returns its id or name, as the engine says it. Raises EngineError."""
    api: Any = client.api
    loaded = None
    with translated("loading an image"):
        # With "quiet" the engine says nothing before it has read all: nobody listens as long as the stream is sent.
        address = f"{api.base_url}/v{api.api_version}/images/load"
        with api.post(address, data=iter(pieces), params={"quiet": 1}, timeout=_SECONDS, stream=True) as answer:
            api._raise_for_status(answer)
            for line in answer.iter_lines():
                said = json.loads(line)
                if said.get("error"):
                    raise CellError(f"loading an image: the engine said: {said['error']}")
                words = str(said.get("stream") or "").strip()
                if words.startswith("Loaded image"):
                    loaded = words.partition(": ")[2]
    return loaded
