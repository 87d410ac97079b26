"""A Python that an image without one is lent: that of another image, in a volume, with its loader and libraries.

The engine copies what an image has in a folder into a new volume that is mounted there (docs.docker.com, "Volumes").
So a volume at ``/usr`` gets the Python of a base image, with all that it loads. In the image of the user's it stands at
:data:`PLACE`, where nothing else is. The Python is started by its own loader, which is told where its libraries are.
That also works in an image with another C library, and in one without any.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.containers import streams
from lab.containers.cleanup import remove_container
from lab.containers.client import SESSION_LABEL, translated
from lab.containers.container import create_container, isolated_host_config, volume_mount
from lab.containers.owner import OWNER_LABEL, own
from lab.errors import ImageError

if TYPE_CHECKING:
    from docker import DockerClient

#: Where the volume is in the containers of the user's image.
PLACE = "/.multicore-lab"
#: What the volume has a copy of.
_SOURCE = "/usr"
#: How long the other Python may take to say where it is, in seconds.
_SECONDS = 60

#: The names of loaders: of glibc and of musl.
_LOADER = re.compile(r"ld(-linux|-musl|64|\.so|-)[^/]*")

#: Loads what a cell loads, so that the libraries of all of that are known.
_FACTS = """
import ctypes, hashlib, json, os, resource, select, socket, struct, subprocess, sys, zlib
files = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
print(json.dumps([os.path.realpath(path) for path in [sys.executable, *sorted(files)]]))
"""


@dataclass(frozen=True, kw_only=True)
class LentPython:
    """A Python in a volume."""

    #: The name of the volume.
    volume: str
    #: The words that start the Python, before its arguments.
    words: tuple[str, ...]


def lend(client: DockerClient, image: str, session: str) -> LentPython:
    """A new volume with the Python of this image. It has the session's label, by which it is removed at the end.

    Raises ImageError where that Python cannot be moved, and EngineError.
    """
    labels = {SESSION_LABEL: session, OWNER_LABEL: own()}
    volume = f"multicore-lab-{session}-python"
    with translated("making a volume for a Python"):
        client.api.create_volume(name=volume, labels=labels)
        # The engine's init would stand below /usr, where the volume hides it.
        host = isolated_host_config(1) | {"mounts": [volume_mount(_SOURCE, volume, read_only=False)], "init": False}
        container = create_container(
            client, image, ["python3", "-I", "-S", "-c", _FACTS], host, labels={SESSION_LABEL: session}
        )["Id"]
        try:
            client.api.start(container)
            client.api.wait(container, timeout=_SECONDS)
            said = streams.log(client.api, container, most=2**20) or b""
        finally:
            remove_container(client, container)
    return LentPython(volume=volume, words=_words(image, said))


def _words(image: str, said: bytes) -> tuple[str, ...]:
    """The words that start the Python at its new place, from what it said of its old one."""
    try:
        program, *files = json.loads(said)
    except ValueError as error:
        raise ImageError(
            f"the image {image} has no python3 that can be lent", "make one: lab images build 3.13"
        ) from error
    loaders = [file for file in files if _LOADER.fullmatch(posixpath.basename(file))]
    needed = [program, *loaders[:1], *(file for file in files if ".so" in file)]
    if not loaders or not all(file.startswith(f"{_SOURCE}/") for file in needed):
        raise ImageError(
            f"the Python of the image {image} is not below {_SOURCE} with its libraries, so it cannot be lent",
            "make an image that has one: lab images build 3.13",
        )
    folders = dict.fromkeys(posixpath.dirname(_moved(file)) for file in needed[1:])
    return (_moved(loaders[0]), "--library-path", ":".join(folders), _moved(program))


def _moved(path: str) -> str:
    return PLACE + path.removeprefix(_SOURCE)


def lent_mount(lent: LentPython | None) -> Mapping[str, Any]:
    """What the host configuration of a container has for a lent Python."""
    return {"mounts": [volume_mount(PLACE, lent.volume, read_only=True)]} if lent else {}
