"""Builds as images on the engine: which there are, which one is a build, how one is made and removed.

Ours are those of the repository ``multicore-lab-base``, one tag for each build. An official image that was pulled gets
such a tag as well, so that what a build is does not change under a session.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.containers.client import image_attributes, pull_image, short, translated
from lab.containers.image_config import BASE_REPOSITORY
from lab.errors import EngineError, ImageError, LabError, UsageError
from lab.model import build as builds
from lab.model.build import Build
from lab.pythons import image_pythons
from lab.pythons.identity import Answer

if TYPE_CHECKING:
    from docker import DockerClient

#: Every image that a recipe of ours made carries this label.
BASE_LABEL = "org.multicore-lab.base"
#: What the stages of a recipe leave behind while it runs.
STAGE_LABEL = "org.multicore-lab.stage"
SOURCE_LABEL = "org.multicore-lab.source"
RECIPE_LABEL = "org.multicore-lab.recipe"

_AT_A_TIME = 4
#: Of why none answers, as much as a table has room for.
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
    #: What its Python says of itself; ``None`` where no Python answered.
    answer: Answer | None
    #: Why no Python answered; empty where one did.
    trouble: str = ""

    @property
    def problem(self) -> str | None:
        """Why it cannot run cells of its build; ``None`` when it can."""
        if self.answer is None:
            return f"no Python in it answers ({self.trouble})"
        if self.answer.build != self.build:
            return f"its Python is {self.answer.build}"
        return self.answer.problem


def name_of(build: Build) -> str:
    """Our name for the image of a build: ``multicore-lab-base:3.13t``."""
    return f"{BASE_REPOSITORY}:{build.name}"


def official_name_of(build: Build) -> str | None:
    """The official image of a build; ``None`` for free-threaded ones, of which there are none."""
    if build.free_threaded or build.path:
        return None
    kind = "pypy" if build.implementation == "pypy" else "python"
    return f"{kind}:{build.name.removeprefix('pypy')}-slim"


def image_of(client: DockerClient, build: Build, pull: Note | None = None) -> str:
    """The image to run cells of a build from: ours, else the official one. With ``pull``, which takes a line for the
    user, the official one is fetched where a registry answers.

    Raises ImageError with what there is and how to get it; UsageError for a path, which no image has.
    """
    if build.path:
        raise UsageError(
            f"--python {build.label}: a path names an interpreter of this machine; use --engine local, or name an"
            " image with --image"
        )
    official = official_name_of(build)
    for name in (name_of(build), official):
        if name and image_attributes(client, name):
            return name
    trouble = pull_image(client, official, pull) if pull and official else ""
    if official and trouble is None:
        return official
    there = ", ".join(str(one) for one in sorted({one for _, one, _ in tagged(client)})) or "none"
    raise ImageError(
        f"there is no image of Python {build.name} on this engine; there are: {there}."
        f"{f' {official} cannot be pulled: {trouble}.' if trouble else ''} Make it with: lab images build {build.name}"
    )


def same(client: DockerClient, name: str, digest: str) -> str | None:
    """What names that very image on the engine: its name where that still means it, else its digest; ``None`` where the
    engine has it no longer."""
    from docker.errors import ImageNotFound

    for known in (name, digest):
        with translated(f"looking for the image {known}"), contextlib.suppress(ImageNotFound):
            if client.images.get(known).id == digest:
                return known
    return None


def listed(client: DockerClient) -> tuple[Image, ...]:
    """Every image of a build on the engine, ours and official ones, each asked in a container of its own."""

    def look(one: tuple[str, Build, Mapping[str, Any]]) -> Image:
        name, build, details = one
        answer, trouble = _looked_at(client, name)
        return Image(
            name=name,
            build=build,
            origin=_origin(details),
            size=details["Size"],
            created=details["Created"],
            answer=answer,
            trouble=trouble,
        )

    with ThreadPoolExecutor(_AT_A_TIME) as several:
        return tuple(sorted(several.map(look, tagged(client)), key=lambda one: (one.build, one.name)))


def remove_images(client: DockerClient, names: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """Remove images of ours: those named, by build or by full name, or all of them with ``None``.

    Returns (what was removed, what could not be, each with the reason). Raises UsageError, before anything is removed,
    for a name that is not ours or not there.
    """
    there = _ours(client)
    chosen = list(there) if names is None else [_chosen(name, there) for name in names]
    import requests

    removed, kept = [], []
    for name in dict.fromkeys(chosen):
        try:
            client.api.remove_image(name)
        except requests.RequestException as error:  # APIError is one too
            kept.append(f"{name}: {short(error)}")
        else:
            removed.append(name)
    if names is None:
        _remove_what_was_left(client)
    return removed, kept


def _chosen(wanted: str, there: list[str]) -> str:
    name = wanted if ":" in wanted else f"{BASE_REPOSITORY}:{wanted}"
    if not name.startswith(f"{BASE_REPOSITORY}:"):
        raise UsageError(
            f"{wanted} is not an image of the lab, which removes only {BASE_REPOSITORY}:…; docker image rm can"
        )
    if name not in there:
        have = ", ".join(one.partition(":")[2] for one in there) or "none"
        raise UsageError(f"there is no image {name}; of ours there are: {have}")
    return name


def remove_unnamed(client: DockerClient, ids: Sequence[str]) -> None:
    """Remove the images among these that carry the lab's label and have no name.

    These are the stages of a build, half a gigabyte each, which engines without BuildKit keep in their order. They are
    also images whose name a newer image has taken. An image that is in use is kept.
    """
    for image in reversed(ids):  # the last one of a stage takes those that it is made of along
        with contextlib.suppress(EngineError):
            details = image_attributes(client, image)
            labels = (details or {}).get("Config", {}).get("Labels") or {}
            if details and not details.get("RepoTags") and {STAGE_LABEL, BASE_LABEL} & labels.keys():
                with translated("removing an image without a name"):
                    client.api.remove_image(image)


def _remove_what_was_left(client: DockerClient) -> None:
    """Remove what builds that were killed have left. By the label of stages alone: that of bases is inherited by
    whatever a user builds on them."""
    with contextlib.suppress(EngineError), translated("removing what builds have left"):
        client.images.prune(filters={"dangling": True, "label": STAGE_LABEL})


def _ours(client: DockerClient) -> list[str]:
    with translated("listing the images"):
        there = client.api.images(name=BASE_REPOSITORY)
    return sorted(tag for one in there for tag in one.get("RepoTags") or () if tag.startswith(f"{BASE_REPOSITORY}:"))


def tagged(client: DockerClient) -> Iterator[tuple[str, Build, dict[str, Any]]]:
    """(name, build, what the engine says of it) of every image that is one of a build by its name."""
    with translated("listing the images"):
        there = [(tag, one["Id"]) for one in client.api.images() for tag in one.get("RepoTags") or ()]
    for name, image in there:
        match = re.fullmatch(
            rf"(?:{BASE_REPOSITORY}:(?P<ours>.+)|(?P<kind>python|pypy):(?P<version>\d\.\d+)-slim)", name
        )
        if not match:
            continue
        text = match["ours"] or f"{'pypy' if match['kind'] == 'pypy' else ''}{match['version']}"
        with contextlib.suppress(LabError):  # trixie, say, or one that went meanwhile
            build = builds.parse_build(text)
            with translated(f"looking at {name}"):
                yield name, build, client.images.get(image).attrs


def _origin(details: Mapping[str, Any]) -> str:
    labels = (details.get("Config") or {}).get("Labels") or {}
    source = str(labels.get(SOURCE_LABEL, ""))
    if source.startswith("debian-"):
        return f"Debian {source.removeprefix('debian-')}'s packages"
    if source:
        return f"compiled from {'Debian' if source == 'debian' else 'upstream'}'s source"
    if labels.get(BASE_LABEL):
        return "Debian's packages"
    official = any(str(tag).startswith(("python:", "pypy:")) for tag in details.get("RepoTags") or ())
    return "official" if official else "unknown"


def asked(client: DockerClient, name: str) -> Answer | None:
    """What the Python of an image says of itself, of several the first that can run a cell; ``None`` when none
    answers."""
    return _looked_at(client, name)[0]


def _looked_at(client: DockerClient, name: str) -> tuple[Answer | None, str]:
    """The same, and why none answers."""
    answers: list[Answer] = []
    trouble = ""
    try:
        with contextlib.closing(image_pythons.look(client, name, "images")) as pythons:
            for one in pythons:
                if one.answer and not one.problem:
                    return one.answer, ""
                answers += [one.answer] if one.answer else []
                trouble = trouble or f"{one.program}: {one.outcome.last_words or one.outcome.ending}"
    except EngineError as error:
        trouble = str(error)
    return (answers[0] if answers else None), (trouble or "it has none on its PATH")[:_LONGEST_TROUBLE]
