"""Which image cells are run from where the user names none, and what is said of that choice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.containers.client import client_for_this_environment, image_attributes, pull_image
from lab.containers.image_config import BASE_REPOSITORY, OFFICIAL_IMAGE
from lab.containers.image_transfer import send_image
from lab.errors import EngineError, ImageError
from lab.model.machine import Machine, PythonChoice, choice_of
from lab.pythons import images
from lab.system import or_local

if TYPE_CHECKING:
    from docker import DockerClient

#: The images that are tried, in this order and before any other, when the user names no image -> why.
CHOICES = {
    "multicore-lab-cell:latest": "left by docker compose up",
    f"{BASE_REPOSITORY}:3.13": "the lab's default",
    OFFICIAL_IMAGE: "the official image",
}
OWN_IMAGES = tuple(name for name in CHOICES if name != OFFICIAL_IMAGE)


def find_image(
    client: DockerClient, wanted: str | None, before_slow_step: Callable[[str], None], *, is_host: bool = False
) -> str:
    """The image to run cells from: the wanted image, or the first of the usual images, or the newest base image.

    An image that is not on the engine is pulled. Raises ImageError if it cannot be pulled: ``is_host`` says that it can
    be sent there.
    """
    for name in (wanted,) if wanted else CHOICES:
        if image_attributes(client, name):
            return name
    newest = None if wanted else images.newest_release(client)
    if newest:
        return newest
    name = wanted or OFFICIAL_IMAGE
    trouble = pull_image(client, name, before_slow_step)
    if trouble is not None:
        raise ImageError(
            f"the image {name} is not on this engine and cannot be pulled: {trouble}",
            "send it from this machine with --send-image, or name an image that is there with --image"
            if is_host
            else or_local(
                "name an image of this engine with --image (docker image ls), make one with lab images build 3.13"
            ),
        )
    return name


def send_from_here(client: DockerClient, wanted: str | None, before_slow_step: Callable[[str], None]) -> str:
    """The image to run cells from on an engine that gets it from the engine of the environment.

    Raises EngineError where that one does not answer, and ImageError where it has no such image.
    """
    with contextlib.closing(client_for_this_environment()) as source:
        return send_image(source, client, find_image(source, wanted, before_slow_step), before_slow_step)


def choice(client: DockerClient, image: str, machine: Machine) -> PythonChoice:
    """Why this image was taken, and the builds that have an image too."""
    try:
        builds = sorted(build for _, build, _ in images.tagged(client))
    except EngineError:  # only a line of the report is about them
        builds = []
    return choice_of(machine, CHOICES.get(image, "the newest base image"), map(str, builds))
