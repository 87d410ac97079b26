"""Bundles: what a run needs, made into one file where there is a network, and brought in where there is none."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import __version__
from lab.containers import saved_images
from lab.containers.bundle_file import Bundle, BundleWriter, open_bundle
from lab.containers.client import image_attributes, translated
from lab.containers.exception_words import NONSENSE
from lab.containers.image_config import BASE_REPOSITORY, familiar_name, fits, tagged_name
from lab.engines.image_choice import find_image
from lab.engines.selection import Wanted, images_by_build
from lab.engines.temporary import TemporaryFolder
from lab.errors import ImageError, UsageError
from lab.pythons import wheelhouse
from lab.text import units

if TYPE_CHECKING:
    from docker import DockerClient

#: Takes a line for the user.
Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class BundledImage:
    """An image in a bundle."""

    #: Its id: the digest that the engine calls it by.
    id: str
    #: The names that it has on the engine.
    names: tuple[str, ...]
    #: The architecture that it is for, as images name it; empty: it does not say.
    architecture: str
    #: The digests of its layers.
    layers: tuple[str, ...]

    @property
    def member(self) -> str:
        """The name of its stream in the bundle."""
        return f"images/{self.id.rpartition(':')[2]}.tar"

    @property
    def label(self) -> str:
        """Its names, or its id."""
        return ", ".join(self.names) or self.id

    def to_stored(self) -> dict[str, Any]:
        """The image as a manifest has it."""
        return {
            "id": self.id,
            "names": list(self.names),
            "architecture": self.architecture,
            "layers": list(self.layers),
        }


def bundled_image(stored: Mapping[str, Any]) -> BundledImage:
    """The image that a manifest has. Raises KeyError or TypeError."""
    return BundledImage(
        id=str(stored["id"]),
        names=tuple(map(str, stored["names"])),
        architecture=str(stored["architecture"]),
        layers=tuple(map(str, stored["layers"])),
    )


# ---- making


def needed_images(client: DockerClient, wanted: Wanted, note: Note) -> tuple[BundledImage, ...]:
    """The images that a run with these options needs, each once. An image that is not here is pulled.

    Raises EngineError, ImageError and UsageError.
    """
    if wanted.pythons:
        names = list(images_by_build(client, wanted, note, note)[0].values())
    else:
        names = [find_image(client, wanted.image, note)]
    images: dict[str, BundledImage] = {}
    for name in names:
        attributes = image_attributes(client, name)
        if attributes is None:
            raise ImageError(f"the image {name} is no longer on this engine", "make or pull it again")
        own = _names_of(name, [familiar_name(tag) for tag in attributes.get("RepoTags") or ()])
        before = images.get(str(attributes["Id"]))
        images[str(attributes["Id"])] = BundledImage(
            id=str(attributes["Id"]),
            names=tuple(sorted(own | {*(before.names if before else ())})),
            architecture=str(attributes.get("Architecture") or ""),
            layers=saved_images.layers(attributes),
        )
    return tuple(images.values())


def _names_of(image: str, tags: Sequence[str]) -> set[str]:
    """The names that an image with these tags has in a bundle: what the user has typed, and the names of the lab.

    An engine can be given no digest and no id as a name: an image that was typed so has all of its tags.
    """
    own = {tag for tag in tags if tag.startswith(f"{BASE_REPOSITORY}:")}
    if familiar_name(tagged_name(image)) in tags:
        own.add(tagged_name(image))
    return own or {*tags}


def write(
    client: DockerClient | None, path: Path, images: Sequence[BundledImage], extras: Sequence[str], note: Note
) -> tuple[Mapping[str, Any], str]:
    """Write a bundle with these images and the lab's wheels. Returns what it says of itself, and its fingerprint.

    Without images it needs no engine. Raises EngineError, StoreError, UsageError where the file cannot be made, and
    LabError where pip fails.
    """
    with BundleWriter(path) as bundle, TemporaryFolder() as folder:
        note("getting the wheels of the lab and of all that it needs …")
        house = Path(folder) / "wheels"
        house.mkdir()
        wheels = wheelhouse.make(house, extras)
        for wheel in wheels:
            bundle.add_file(f"wheels/{wheel.name}", wheel)
        bundle.add(f"wheels/{wheelhouse.REQUIREMENTS}", [wheelhouse.pinned(wheels, extras).encode()])
        for image in images:
            assert client
            note(f"saving {image.label} …")
            size = bundle.add(image.member, saved_images.saved(client, image.id))
            note(f"saved {image.label}: {units.size(size)}")
        about = {
            "lab": __version__,
            "images": [image.to_stored() for image in images],
            "wheels": {**wheelhouse.this_python(), "extras": list(extras), "count": len(wheels)},
        }
        return about, bundle.finish(about)


# ---- bringing in


@contextlib.contextmanager
def opened(path: Path, fingerprint: str = "") -> Iterator[Bundle]:
    """A bundle to load from, after all of it was checked.

    Raises UsageError for a file that is no whole bundle, and for one without this fingerprint.
    """
    with open_bundle(path) as bundle:
        if fingerprint and fingerprint.lower() != bundle.fingerprint:
            raise UsageError(
                f"{path} is refused: its fingerprint is {bundle.fingerprint}, not {fingerprint}",
                "compare it with what lab bundle printed",
            )
        images_of(bundle)
        yield bundle


def load_images(client: DockerClient, bundle: Bundle, note: Note) -> tuple[BundledImage, ...]:
    """Load the images of a bundle that the engine does not have yet, and name all of them. Returns them.

    Nothing is loaded if one of them is for another kind of machine. Raises ImageError and EngineError.
    """
    images = images_of(bundle)
    with translated("asking the engine what it is"):
        machine = str(client.info().get("Architecture") or "")
    for image in images:
        if not fits(image.architecture, machine):
            raise ImageError(
                f"{bundle.path} is refused: its image {image.label} is for {image.architecture}, and the engine's"
                f" machine is {machine}",
                "make a bundle on a machine of that kind",
            )
    for image in images:
        _bring_in(client, bundle, image, note)
    return images


def _bring_in(client: DockerClient, bundle: Bundle, image: BundledImage, note: Note) -> None:
    """Load an image, unless the engine has it, and give it its names. Raises ImageError and EngineError."""
    known = saved_images.known_name(client, (image.id, *image.names), image.layers)
    if known:
        note(f"{image.label} is there already")
    else:
        note(f"loading {image.label} …")
        loaded = saved_images.load(client, bundle.pieces(image.member)) or image.id
        known = saved_images.known_name(client, (image.id, loaded), image.layers)
        if known is None:
            raise ImageError(f"the engine has loaded {loaded}, which is not {image.label}", "make a new bundle")
    for name in image.names:
        repository, _, tag = name.rpartition(":")
        with translated(f"naming {name}"):
            client.api.tag(known, repository, tag)


def images_of(bundle: Bundle) -> tuple[BundledImage, ...]:
    """The images that a manifest describes. Raises UsageError where it describes none."""
    try:
        images = tuple(map(bundled_image, bundle.about["images"]))
        dict(bundle.about["wheels"])
    except NONSENSE as error:
        raise UsageError(f"{bundle.path} is refused: its manifest describes no images", "make it again") from error
    missing = [image.member for image in images if image.member not in bundle.places]
    if missing:
        raise UsageError(f"{bundle.path} is refused: {missing[0]} is missing", "make it again")
    return images


# ---- words


def install_commands(path: Path, program: str) -> tuple[str, ...]:
    """The commands that install the lab from the wheels of a bundle, with ``program`` as the Python."""
    folder = f"--no-index --find-links wheels --require-hashes --requirement wheels/{wheelhouse.REQUIREMENTS}"
    return (f"tar -xf {shlex.quote(str(path))} wheels", f"{program} -m pip install {folder}")


def room_commands(about: Mapping[str, Any], path: Path, wanted: Wanted) -> tuple[str, ...]:
    """The commands that install the lab, load the images and run the lab, in a new environment beside the bundle."""
    unpack, install = install_commands(path, "venv/bin/python")
    which = ["--python", ",".join(wanted.pythons)] if wanted.pythons else []
    if wanted.image:
        (image,) = about["images"]
        names = image["names"] or [image["id"]]
        which = ["--image", wanted.image if tagged_name(wanted.image) in names else names[0]]
    return (
        unpack,
        f"python{about['wheels']['python']} -m venv venv",
        install,
        f"venv/bin/lab load {shlex.quote(str(path))}",
        shlex.join(["venv/bin/lab", "run", *which]),
    )


def wheels_label(about: Mapping[str, Any]) -> str:
    """What the wheels are for: ``CPython 3.13 on x86_64 (Linux)``."""
    wheels = about["wheels"]
    implementation, version, machine, system = (
        str(wheels.get(name) or "?") for name in ("implementation", "python", "machine", "system")
    )
    return f"{implementation} {version} on {machine} ({system})"
