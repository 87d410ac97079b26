"""Builds as images on the engine: which images there are, which image a build has, and how images are removed.

The lab's own images are in the repository ``multicore-lab-base``, with one tag for each build. An official image that
was pulled gets such a tag as well, so that the image of a build does not change during a session.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import release
from lab.cell.claims.wording import shortened
from lab.containers.client import broken_connections, image_attributes, image_names, pull_image, translated
from lab.containers.exception_words import short
from lab.containers.image_config import BASE_REPOSITORY, familiar_name
from lab.errors import EngineError, ImageError, LabError, UsageError
from lab.interrupts import in_threads
from lab.model import build as builds
from lab.model.build import Build
from lab.pythons import image_pythons
from lab.pythons.identity import Answer
from lab.system import or_local

if TYPE_CHECKING:
    from docker import DockerClient

#: Every image that was made from a recipe of the lab carries this label.
BASE_LABEL = "org.multicore-lab.base"
#: The label of the images that the stages of a recipe leave behind.
STAGE_LABEL = "org.multicore-lab.stage"
#: Where the Python of an image comes from: ``debian``, ``debian-trixie``, ``upstream``.
SOURCE_LABEL = "org.multicore-lab.source"
#: The fingerprint of the recipe that an image was made from.
RECIPE_LABEL = "org.multicore-lab.recipe"

#: How many images are asked at a time.
_AT_A_TIME = 4
#: How many characters a table has for the reason why no Python answers.
_LONGEST_TROUBLE = 120

#: Takes a line for the user.
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of a build."""

    #: The name with its tag.
    name: str
    #: The build that the name stands for.
    build: Build
    #: Where the image comes from.
    origin: str
    #: Its size in bytes.
    size: int
    #: When it was made, as the engine writes it.
    created: str
    #: The answer of its Python; ``None`` if no Python answered.
    answer: Answer | None
    #: Why no Python answered; empty if a Python answered.
    trouble: str = ""

    @property
    def problem(self) -> str | None:
        """Why the image cannot run cells of its build; ``None`` when it can."""
        if self.answer is None:
            return f"no Python in it answers ({self.trouble})"
        if self.answer.build != self.build:
            return f"its Python is {self.answer.build}"
        return self.answer.problem


def name_of(build: Build) -> str:
    """The lab's name for the image of a build: ``multicore-lab-base:3.13t``."""
    return f"{BASE_REPOSITORY}:{build.name}"


def official_name_of(build: Build) -> str | None:
    """The official image of a build; ``None`` if no registry is known to have one.

    Free-threaded builds are in the registry of the lab's release. If ``LAB_REGISTRY`` names a registry, all builds are
    taken from there.
    """
    if build.path:
        return None
    chosen = os.environ.get("LAB_REGISTRY", "").rstrip("/")
    registry = chosen or (release.registry() if build.free_threaded else "")
    if registry or build.free_threaded:
        return f"{registry}/{name_of(build)}" if registry else None
    kind = "pypy" if build.implementation == "pypy" else "python"
    return f"{kind}:{build.name.removeprefix('pypy')}-slim"


def image_of(client: DockerClient, build: Build, pull: Note | None = None) -> str:
    """The image to run cells of a build from: the lab's own image, else the official image.

    With ``pull`` the official image is pulled if a registry answers. ``pull`` takes a line for the user. Raises
    ImageError with the builds that there are and how to get this one. Raises UsageError for a path, which no image has.
    """
    if build.path:
        raise UsageError(
            f"--python {build.label}: a path names an interpreter of this machine",
            or_local("name an image with --image"),
        )
    official = official_name_of(build)
    for name in (name_of(build), official):
        if name and image_attributes(client, name):
            return name
    trouble = pull_image(client, official, pull) if pull and official else ""
    if official and trouble is None:
        return official
    names = ", ".join(str(known) for known in sorted({known for _, known, _ in tagged(client)})) or "none"
    raise ImageError(
        f"there is no image of Python {build.name} on this engine; there are: {names}"
        f"{f'; {official} cannot be pulled: {trouble}' if trouble else ''}",
        f"make it with: lab images build {build.name}",
    )


def newest_release(client: DockerClient) -> str | None:
    """The image of the newest CPython with a GIL among the images of builds; ``None`` if there is none."""
    releases = [(build, name) for name, build, _ in tagged(client) if not (build.free_threaded or build.path)]
    releases = [(build, name) for build, name in releases if build.implementation == "cpython"]
    return max(releases, default=(None, None))[1]


def same(client: DockerClient, name: str, digest: str) -> str | None:
    """A name of the image with this digest: ``name`` if it still belongs to that image, else the digest.

    It is ``None`` if the image is no longer on the engine.
    """
    from docker.errors import ImageNotFound

    for known in (name, digest):
        with translated(f"looking for the image {known}"), contextlib.suppress(ImageNotFound):
            if client.images.get(known).id == digest:
                return known
    return None


def listed(client: DockerClient) -> tuple[Image, ...]:
    """Every image of a build on the engine, the lab's own and the official images. A container of each is asked."""

    def look(entry: tuple[str, Build, Mapping[str, Any]]) -> Image:
        name, build, details = entry
        answer, trouble = _looked_at(client, name)
        return Image(
            name=name,
            build=build,
            origin=_origin(details),
            size=int(details.get("Size") or 0),
            created=str(details.get("Created") or ""),
            answer=answer,
            trouble=trouble,
        )

    images = in_threads(look, tagged(client), _AT_A_TIME)
    return tuple(sorted(images, key=lambda image: (image.build, image.name)))


def remove_images(client: DockerClient, names: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """Remove images of the lab, named by build or by full name. ``None`` stands for all of them.

    Returns (the images that were removed, the images that were not, each with the reason). Raises UsageError, before
    anything is removed, for an image that does not exist or is not the lab's.
    """
    images = _ours(client)
    targets = list(images) if names is None else [_full_name(name, images) for name in names]
    removed, kept = [], []
    for name in dict.fromkeys(targets):
        try:
            client.api.remove_image(name)
        except broken_connections() as error:
            kept.append(f"{name}: {short(error)}")
        else:
            removed.append(name)
    if names is None:
        _remove_remains(client)
    return removed, kept


def _full_name(text: str, images: list[str]) -> str:
    """The full name of one of these images, which the user names by its build or by its full name."""
    name = text if ":" in text else f"{BASE_REPOSITORY}:{text}"
    if not name.startswith(f"{BASE_REPOSITORY}:"):
        raise UsageError(
            f"{text} is not an image of the lab, which removes only {BASE_REPOSITORY}:…",
            f"remove it with: docker image rm {text}",
        )
    if name not in images:
        names = ", ".join(image.partition(":")[2] for image in images) or "none"
        raise UsageError(f"there is no image {name}; the images of the lab are: {names}")
    return name


def remove_unnamed(client: DockerClient, ids: Sequence[str]) -> None:
    """Remove those of the images that carry the lab's label and have no name. ``ids`` has the oldest image first.

    Some are the stages of a build, half a gigabyte each, which engines without BuildKit keep. Others are images whose
    name a newer image has taken. An image that is in use is kept.
    """
    for image in reversed(ids):  # the engine removes the parents of an image together with it
        with contextlib.suppress(EngineError):
            details = image_attributes(client, image)
            labels = (details or {}).get("Config", {}).get("Labels") or {}
            if details and not details.get("RepoTags") and {STAGE_LABEL, BASE_LABEL} & labels.keys():
                with translated("removing an image without a name"):
                    client.api.remove_image(image)


def _remove_remains(client: DockerClient) -> None:
    """Remove the stages of builds that were killed.

    Images with the label of bases are kept: images that a user builds on a base inherit that label.
    """
    with contextlib.suppress(EngineError), translated("removing the remains of builds"):
        client.images.prune(filters={"dangling": True, "label": STAGE_LABEL})


def _ours(client: DockerClient) -> list[str]:
    """The full names of the lab's own images."""
    return sorted(name for name, _ in image_names(client) if name.startswith(f"{BASE_REPOSITORY}:"))


def tagged(client: DockerClient) -> Iterator[tuple[str, Build, dict[str, Any]]]:
    """(name, build, attributes) of every image whose name stands for a build."""
    for name, image_id in image_names(client):
        match = re.fullmatch(
            rf"(?:{BASE_REPOSITORY}:(?P<ours>.+)|(?P<kind>python|pypy):(?P<version>\d\.\d+)-slim)", name
        )
        if not match:
            continue
        text = match["ours"] or f"{'pypy' if match['kind'] == 'pypy' else ''}{match['version']}"
        with contextlib.suppress(LabError):  # it is no build, such as trixie, or it was removed meanwhile
            build = builds.parse_build(text)
            details = image_attributes(client, image_id)
            if details is not None:
                yield name, build, details


def _origin(details: Mapping[str, Any]) -> str:
    """Where an image comes from, for people."""
    labels = (details.get("Config") or {}).get("Labels") or {}
    source = str(labels.get(SOURCE_LABEL, ""))
    if source.startswith("debian-"):
        return f"Debian {source.removeprefix('debian-')}'s packages"
    if source:
        return f"compiled from {'Debian' if source == 'debian' else 'upstream'}'s source"
    if labels.get(BASE_LABEL):
        return "Debian's packages"
    names = map(familiar_name, details.get("RepoTags") or ())
    official = any(name.startswith(("python:", "pypy:")) or f"/{BASE_REPOSITORY}:" in name for name in names)
    return "official" if official else "unknown"


def asked(client: DockerClient, name: str) -> Answer | None:
    """The answer of the first Python of an image that can run a cell, else of its first Python that answers.

    It is ``None`` if no Python answers.
    """
    return _looked_at(client, name)[0]


def _looked_at(client: DockerClient, name: str) -> tuple[Answer | None, str]:
    """The answer as in :func:`asked`, and why no Python answers."""
    answers: list[Answer] = []
    trouble = ""
    try:
        with contextlib.closing(image_pythons.look(client, name, "images")) as pythons:
            for python in pythons:
                if python.answer and not python.problem:
                    return python.answer, ""
                answers += [python.answer] if python.answer else []
                trouble = trouble or f"{python.program}: {python.outcome.last_words or python.outcome.ending}"
    except EngineError as error:
        trouble = str(error)
    return (answers[0] if answers else None), shortened(trouble or "it has none on its PATH", _LONGEST_TROUBLE)
