"""Sends an image from one engine to another, as ``docker save`` and ``docker load`` do, through this machine.

The image is a stream, of which this machine keeps nothing. What the other engine has already is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lab.containers import saved_images
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
    note(f"sending the image {image}, {_megabytes(attributes)} …")
    saved_images.load(target, saved_images.saved(source, image))
    there = saved_images.known_name(target, names, layers)
    if there is None:
        raise ImageError(f"another image than {image} has arrived", "remove that name there (docker image rm)")
    return there


def _megabytes(attributes: Mapping[str, Any]) -> str:
    return f"{(attributes.get('Size') or 0) / 1e6:.0f} MB"
