"""Sends an image from one engine to another, as ``docker save`` and ``docker load`` do, through this machine.

The image is a stream, of which this machine keeps nothing. What the other engine has already is not sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from lab.containers import saved_images, waiting
from lab.containers.client import image_attributes
from lab.errors import ImageError

if TYPE_CHECKING:
    from docker import DockerClient


def send_image(source: DockerClient, target: DockerClient, image: str, note: Callable[[str], None]) -> str:
    """Send an image to an engine, unless the engine has it. Returns the name or the id that it has there.

    An image is the same if it has the same layers. ``note`` takes a line before something is sent. Raises ImageError
    where the source does not have the image, and where the target cannot load it or gets another one, CellError where
    an engine refuses, and EngineError.
    """
    attributes = image_attributes(source, image)
    if attributes is None:
        raise ImageError(f"the image {image} is not on the engine of this machine", f"get it with: docker pull {image}")
    names, layers = (image, str(attributes["Id"])), saved_images.layers(attributes)
    if there := saved_images.known_name(target, names, layers):
        return there
    note(f"sending the image {image}, {_megabytes(attributes.get('Size'))} …")
    saved_images.load(target, _told(saved_images.saved(source, image), image, attributes.get("Size"), note))
    there = saved_images.known_name(target, names, layers)
    if there is None:
        raise ImageError(f"another image than {image} has arrived", "remove that name there (docker image rm)")
    return there


def _told(pieces: Iterable[bytes], image: str, size: int | None, note: Callable[[str], None]) -> Iterator[bytes]:
    """These pieces of an image of about this size, in bytes. ``note`` takes a line now and then on what is sent."""
    sent, told_at = 0, time.monotonic()
    for piece in pieces:
        if time.monotonic() - told_at > waiting.TOLD_SECONDS:
            told_at = time.monotonic()
            note(f"sending the image {image}: {_megabytes(sent)} of about {_megabytes(size)} are sent")
        yield piece
        sent += len(piece)


def _megabytes(size: int | None) -> str:
    return f"{(size or 0) / 1e6:.0f} MB"
