"""Making the image of a build: it is pulled if a registry answers, else made from a recipe in ``docker/``."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import subprocess
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.containers import client as containers
from lab.containers.client import translated
from lab.containers.image_config import BASE_REPOSITORY, familiar_name
from lab.errors import ImageError, UsageError
from lab.interrupts import signals_held
from lab.model import build as builds
from lab.model.build import Build
from lab.pythons import images, recipes
from lab.pythons.images import Note
from lab.pythons.listening import MEBIBYTE, Patience

if TYPE_CHECKING:
    from docker import DockerClient

#: Where images can come from; ``auto`` takes the first source that is available.
SOURCES = ("auto", "official", "debian", "upstream")

#: The versions that docker/debian-base makes.
DEBIAN_VERSIONS = ("3.9", "3.11", "3.13", "3.14", "3.15")

#: Version -> the release that is compiled for it, the SHA-256 of its .tar.xz, and the Debian suite with its source.
RELEASES = {
    "3.13": ("3.13.15", "1e66a7945a48390ee4c2a4268a0e4185884059a13c4aab6d148aa208deea4a76", "trixie"),
    "3.14": ("3.14.8", "c2215904f02b175596dc49351585104f4bc20341e1c47378b26a2c274360ce73", "forky"),
    "3.15": ("3.15.0", "ba4bed1ba346b916890b76d9e320451420aa69f6408997d33c66482eeae3d575", "forky"),
}
#: The image in which a free-threaded build is compiled.
_TOOLCHAIN = "debian:trixie-slim"

#: Lines as the builders of Docker and of Podman write them.
_STEP = re.compile(r"(?:\[\d+/\d+\] )?S(?:tep|TEP) (\d+)/(\d+) ?: (\w+)")
_LAYER = re.compile(r"^ ?-{2,3}> ([0-9a-f]{11,12})$")
_EXIT_CODE = re.compile(r"(?:returned a non-zero code:|exit status) (\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: How many lines of a build's output are shown when it fails.
_TAIL_LINES = 15
#: How many characters of such a line are shown.
_LONGEST_LINE = 500
#: How long a build may take, in seconds, and how much it may print, in bytes. A compilation takes some minutes.
_BUILD_SECONDS = 4 * 3600.0
_MOST_BUILD_BYTES = 256 * MEBIBYTE


def make(
    client: DockerClient, build: Build, source: str = "auto", *, force: bool = False, note: Note = lambda line: None
) -> tuple[str, bool]:
    """Provide the image of a build: keep the existing image, pull the official image, or make it from a recipe.

    ``source`` is one of :data:`SOURCES`. An image is kept if its Python is the build and it was made from the current
    recipe. With ``force`` it is never kept. Returns (its name, whether it was made now). Raises ImageError with the
    next step, and UsageError for a build that no source has.
    """
    check_buildable(build, source)
    name = images.name_of(build)
    if not force and _is_current(client, build, source):
        return name, False
    # An old image that is not current is replaced, even if its recipe would keep it.
    old = containers.image_attributes(client, name)
    replaces = force or old is not None
    if source not in ("auto", "official") or not _take_official(client, build, source, force, note):
        if build.free_threaded:
            _compile(client, build, source, replaces, note)
        else:
            _run_debian_base(build.name, name, note, replaces)
    _prove(client, name, build)
    if old:
        images.remove_unnamed(client, [old["Id"]])
    return name, True


def check_buildable(build: Build, source: str) -> None:
    """Raise UsageError for a build that no image can be made of, or not from this source."""
    if build.path:
        raise UsageError(f"{build.label} is a path, but images are made of versions", f"name {', '.join(builds.ALL)}")
    if build.arguments:
        raise UsageError(f"{build.label} has options, which belong to a run", f"build the image of {build.name}")
    if build.free_threaded:
        if source == "official" and not images.official_name_of(build):
            raise UsageError(
                f"no registry is known that has an image of {build.name}",
                "set LAB_REGISTRY to the registry of a release, or use --from upstream, debian or auto",
            )
        if build.name.removesuffix("t") not in RELEASES:
            names = ", ".join(f"{version}t" for version in RELEASES)
            raise UsageError(f"there is no recipe for {build.name}", f"recipes exist for {names}")
    elif source == "upstream":
        raise UsageError(
            "only free-threaded builds are compiled", f"for {build.name} use --from official, debian or auto"
        )
    elif source == "debian" and build.name not in DEBIAN_VERSIONS:
        raise UsageError(f"Debian has no package of {build.name}", f"it has {', '.join(DEBIAN_VERSIONS)}")


def _take_official(client: DockerClient, build: Build, source: str, force: bool, note: Note) -> bool:
    """Give the official image the lab's name too. False if there is none to pull, but another source."""
    name = images.official_name_of(build)
    if not name:
        return False
    trouble = (
        None if containers.image_attributes(client, name) and not force else containers.pull_image(client, name, note)
    )
    if trouble is None:
        with translated(f"naming {name}"):
            client.images.get(name).tag(BASE_REPOSITORY, build.name)
        return True
    if source == "official":
        raise ImageError(f"{name} cannot be pulled: {trouble}", "--from debian needs no registry")
    if not build.free_threaded and build.name not in DEBIAN_VERSIONS:
        versions = ", ".join(DEBIAN_VERSIONS)
        raise ImageError(f"{name} cannot be pulled: {trouble}", f"without a registry Debian has {versions}")
    instead = "compiling it" if build.free_threaded else "taking Debian's packages"
    note(f"{name} cannot be pulled ({trouble}); {instead}")
    return False


def _is_current(client: DockerClient, build: Build, source: str) -> bool:
    """Whether the existing image is equal to the image that would be made."""
    details = containers.image_attributes(client, images.name_of(build))
    if details is None:
        return False
    labels = (details.get("Config") or {}).get("Labels") or {}
    default = "debian" if labels.get(images.BASE_LABEL) else "official"
    origin = labels.get(images.SOURCE_LABEL, default).partition("-")[0]
    pulled = images.official_name_of(build) in [familiar_name(name) for name in details.get("RepoTags") or ()]
    if source not in ("auto", origin) and not (pulled and source == "official"):
        return False
    recipe = labels.get(images.RECIPE_LABEL, "by-hand")
    if not pulled and recipe not in ("by-hand", _fingerprint_now(build, origin)):
        return False
    answer = images.asked(client, images.name_of(build))
    return answer is not None and answer.build == build


def _fingerprint_now(build: Build, origin: str) -> str:
    """The fingerprint of the recipe from which the image would be made now."""
    if not build.free_threaded:
        return recipes.fingerprint(recipes.find_recipe(recipes.DEBIAN_BASE).read_bytes(), {})
    return recipes.fingerprint(recipes.find_recipe(recipes.FREE_THREADED).read_bytes(), _arguments(build, origin))


def upstream_arguments(build: Build) -> dict[str, str]:
    """The arguments of the recipe with which a release compiles a free-threaded build."""
    arguments = _arguments(build, "upstream")
    recipe = recipes.find_recipe(recipes.FREE_THREADED).read_bytes()
    return {**arguments, "RECIPE": recipes.fingerprint(recipe, arguments)}


def _arguments(build: Build, origin: str) -> dict[str, str]:
    """The arguments of the recipe of a free-threaded build, without the image that it starts from."""
    version = build.name.removesuffix("t")
    release, sha256, _ = RELEASES[version]
    if origin == "debian":
        return {"BUILD": build.name, "SOURCE": "debian", "VERSION": version, "SHA256": ""}
    return {"BUILD": build.name, "SOURCE": "upstream", "VERSION": release, "SHA256": sha256}


def _compile(client: DockerClient, build: Build, source: str, force: bool, note: Note) -> None:
    """Make a free-threaded build from docker/free-threaded.Dockerfile, through the engine's own API.

    The command ``docker`` is not used, because it may be missing where the SDK reaches an engine. The API also reports
    each step as it begins.
    """
    suite = RELEASES[build.name.removesuffix("t")][2]
    trouble: str | None = "another source was asked for"
    if source != "debian":
        trouble = (
            None if containers.image_attributes(client, _TOOLCHAIN) else containers.pull_image(client, _TOOLCHAIN, note)
        )
    origin, base = ("upstream", _TOOLCHAIN) if trouble is None else (source, f"{BASE_REPOSITORY}:{suite}")
    if trouble is not None:
        if source == "auto":
            note(f"{_TOOLCHAIN} cannot be pulled ({trouble}); taking Debian's source package")
            origin = "debian"
        if not containers.image_attributes(client, base):
            _run_debian_base(suite, base, note, force=False)
    text = recipes.find_recipe(recipes.FREE_THREADED).read_bytes()
    arguments = _arguments(build, origin)
    arguments |= {"RECIPE": recipes.fingerprint(text, arguments), "BASE": base}
    note(f"compiling {build.name} from {origin}'s source; this takes some minutes")
    _build_image(client, text, arguments, images.name_of(build), force, note)


def _build_image(
    client: DockerClient, text: bytes, arguments: dict[str, str], name: str, force: bool, note: Note
) -> None:
    """Run a Dockerfile that needs no context. Raises ImageError, after the end of the output was shown."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    layers: list[str] = []
    step, failure = "it", ""
    patience = Patience(_BUILD_SECONDS, most=_MOST_BUILD_BYTES)
    try:
        with translated(f"building {name}"):
            for piece in client.api.build(
                fileobj=io.BytesIO(text),
                tag=name,
                buildargs=arguments,
                rm=True,
                forcerm=True,
                nocache=force,
                decode=True,
            ):
                for line in _lines(piece):
                    layers += _LAYER.findall(line)
                    if match := _STEP.match(line):
                        step = f"step {match[1]} of {match[2]}"
                        if match[3] in ("RUN", "COPY"):
                            note(f"{name}: {step}")
                    tail.append(line[:_LONGEST_LINE])
                    patience.heard(len(line))
                failure = str(piece.get("error") or (patience.why if patience.left < 0 else failure)).strip()
                if patience.left < 0:
                    break
    finally:
        images.remove_unnamed(client, layers)
    if failure:
        for line in tail:
            note(f"  {line}")
        code = _EXIT_CODE.search(failure)
        raise ImageError(
            f"{name} could not be built: {f'{step} ended with code {code[1]}' if code else failure}; the end of its"
            " output is above",
            "if a source cannot be reached, name another source with --from",
        )


def _lines(piece: Mapping[str, object]) -> list[str]:
    """The lines in a piece of a build's output, without colours and without empty lines."""
    text = _COLOUR.sub("", str(piece.get("stream") or ""))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _run_debian_base(what: str, name: str, note: Note, force: bool) -> None:
    """Run docker/debian-base and pass on its messages. Raises ImageError with its error message."""
    command = ["bash", str(recipes.find_recipe(recipes.DEBIAN_BASE)), *(["--force"] if force else []), what, name]
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        with contextlib.ExitStack() as stack:
            with signals_held():  # a signal finds either no recipe, or one that does not go on alone
                process = stack.enter_context(
                    subprocess.Popen(
                        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
                    )
                )
                stack.callback(process.terminate)
            assert process.stderr
            for line in iter(functools.partial(process.stderr.readline, _LONGEST_LINE), ""):
                tail.append(line.rstrip())
                message = line.strip().removeprefix("debian-base: ")
                if line.startswith("debian-base: ") and not message.startswith("error: "):
                    note(message)
            process.wait()
    except OSError as error:
        raise ImageError(
            f"{command[0]}, which makes the image of {what}, does not start: {error.strerror}", f"install {command[0]}"
        ) from error
    if process.returncode:
        errors = [line for line in tail if line.startswith("debian-base: error: ")]
        if not errors:
            for line in tail:
                note(f"  {line}")
        reason = errors[-1].removeprefix("debian-base: error: ") if errors else "the end of its output is above"
        what, _, fix = reason.partition("; ")
        raise ImageError(f"{name} could not be made from Debian's packages: {what}", fix)


def _prove(client: DockerClient, name: str, build: Build) -> None:
    """Raise ImageError if the Python of a new image does not answer, is another build, or cannot run a cell."""
    answer = images.asked(client, name)
    if answer is None:
        raise ImageError(f"{name} was made, but its Python does not answer", f"try: docker run --rm {name} python3 -V")
    if answer.build != build:
        raise ImageError(
            f"{name} was made, but its Python says that it is {answer.build}", "build it again with --force"
        )
    if answer.problem:
        raise ImageError(f"{name} cannot run a cell: {answer.problem}", "name another build")
