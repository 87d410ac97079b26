"""Images as the engine saves and loads them: one stream each, which is never held in memory.

Source: docs.docker.com, Engine API, ``/images/{name}/get`` and ``/images/load``.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab.cell.claims.wording import shortened
from lab.containers.client import image_attributes, translated
from lab.errors import CellError, ImageError

if TYPE_CHECKING:
    from docker import DockerClient

#: How long an engine may be silent, in seconds. It writes layers to its disk before it sends them or answers.
_SILENCE_SECONDS = 900
#: How many bytes are passed on at a time. A slow connection has to take them within :data:`_SILENCE_SECONDS`.
_PIECE_BYTES = 2**16
#: An archive ends with two empty blocks. After an error an engine ends the stream with a text instead.
_END = bytes(2 * tarfile.BLOCKSIZE)


def layers(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """The digests of an image's layers: two images are the same if these are. ``attributes`` is what the engine says.

    The id is no measure: an engine with another store gives the same image another id.
    """
    return tuple(map(str, (attributes.get("RootFS") or {}).get("Layers") or (attributes["Id"],)))


def known_name(client: DockerClient, names: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    """The first of these names and ids that an image with these layers has on the engine; ``None``: none has."""
    for name in names:
        there = image_attributes(client, name)
        if there and layers(there) == wanted:
            return name
    return None


def saved(client: DockerClient, image: str) -> Iterator[bytes]:
    """The stream in which the engine saves an image, in pieces. ``image`` is a name or an id. Raises EngineError."""
    api: Any = client.api
    end = b""
    with translated(f"saving the image {image}"):
        address = f"{api.base_url}/v{api.api_version}/images/{image}/get"
        with api.get(address, timeout=_SILENCE_SECONDS, stream=True) as answer:
            api._raise_for_status(answer)
            for piece in answer.iter_content(_PIECE_BYTES):
                end = (end + piece)[-len(_END) :]
                yield piece
    if end != _END:
        raise CellError(
            f"saving the image {image}: the engine's stream ended too soon; is its disk full? (docker info)"
        )


def load(client: DockerClient, pieces: Iterable[bytes]) -> str | None:
    """Load an image from such a stream. Returns the name or the id that the engine says it has loaded.

    Raises ImageError where the engine cannot load it, EngineError, and what ``pieces`` raises.
    """
    api: Any = client.api
    loaded = None
    with translated("loading an image"):
        # Nobody reads what the engine says while the stream is sent. Its progress could fill the connection, and
        # neither side would go on. With "quiet" it says nothing before it has read all.
        address = f"{api.base_url}/v{api.api_version}/images/load"
        with api.post(address, data=iter(pieces), params={"quiet": 1}, timeout=_SILENCE_SECONDS, stream=True) as answer:
            api._raise_for_status(answer)
            for line in answer.iter_lines():
                said = json.loads(line)
                if said.get("error"):
                    raise ImageError(
                        f"the engine cannot load the image: {shortened(str(said['error']), 200)}",
                        "make room there (docker system df)",
                    )
                words = str(said.get("stream") or "").strip()
                if words.startswith("Loaded image"):
                    loaded = words.partition(": ")[2]
    return loaded
