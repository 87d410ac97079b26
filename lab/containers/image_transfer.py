"""Sends an image from one engine to another, as ``docker save`` and ``docker load`` do, through this machine.

The image is a stream, of which this machine keeps nothing. What the other engine has already is not sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lab.cell.claims.wording import shortened
from lab.containers.client import image_attributes, translated
from lab.errors import ImageError

if TYPE_CHECKING:
    from docker import DockerClient

#: How long an engine may be silent while it packs or unpacks an image, in seconds.
_SILENCE_SECONDS = 600
#: How many bytes are passed on at a time. A slow connection has to take them within :data:`_SILENCE_SECONDS`.
_PIECE_BYTES = 2**16


def send_image(source: DockerClient, target: DockerClient, image: str, note: Callable[[str], None]) -> str:
    """Send an image to an engine, unless the engine has it. Returns the name or the id that it has there.

    An image is the same if it has the same layers. ``note`` takes a line before something is sent. Raises ImageError
    where the source does not have the image or where another one arrives, CellError where an engine refuses, and
    EngineError.
    """
    attributes = image_attributes(source, image)
    if attributes is None:
        raise ImageError(f"the image {image} is not on the engine of this machine", f"get it with: docker pull {image}")
    if there := _name_there(target, image, attributes):
        return there
    note(f"sending the image {image}, {_megabytes(attributes)} …")
    api: Any = target.api
    with translated(f"sending the image {image}"), _patient(source), _patient(target):
        for answer in api.load_image(source.api.get_image(image, chunk_size=_PIECE_BYTES), quiet=False):
            if error := answer.get("error"):
                raise ImageError(
                    f"the image {image} cannot be sent: {shortened(str(error), 200)}",
                    "make room there (docker system df), or let the host pull the image: leave out --send-image",
                )
    there = _name_there(target, image, attributes)
    if there is None:
        raise ImageError(f"another image than {image} has arrived", "remove that name there (docker image rm)")
    return there


def _name_there(target: DockerClient, image: str, attributes: Mapping[str, Any]) -> str | None:
    """The name or the id that the image with these attributes has on an engine; ``None`` if it is not there."""
    for name in (image, str(attributes["Id"])):
        there = image_attributes(target, name)
        if there and _layers(there) == _layers(attributes):
            return name
    return None


def _layers(attributes: Mapping[str, Any]) -> object:
    """The digests of the layers. The id is no measure: engines with another store give the same image another id."""
    return (attributes.get("RootFS") or {}).get("Layers") or attributes["Id"]


def _megabytes(attributes: Mapping[str, Any]) -> str:
    return f"{(attributes.get('Size') or 0) / 1e6:.0f} MB"


@contextlib.contextmanager
def _patient(client: DockerClient) -> Iterator[None]:
    """Within the context requests to the engine may take long."""
    usual = client.api.timeout
    client.api.timeout = _SILENCE_SECONDS
    try:
        yield
    finally:
        client.api.timeout = usual
