"""What an image sets for the programs that run in it, and which of these settings a cell keeps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import ImageError

#: The user that a cell runs as: nobody, unless only another user may start the image's Python.
NOBODY = "65534:65534"
#: The user that the program of an image runs as if the image names none.
ROOT = "0:0"
#: The image that is pulled when the user names none and the engine has none of the lab's.
OFFICIAL_IMAGE = "python:3.13-slim"
#: The repository of the lab's own images: a tag for each build.
BASE_REPOSITORY = "multicore-lab-base"

#: The registries that a name without a registry stands for, the longest first.
_IMPLIED_REGISTRIES = ("docker.io/library/", "docker.io/", "localhost/")

#: The engine's default for PATH, for an image that does not set PATH.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Variables with which an official image describes itself. No Python reads them.
_DESCRIBE = {
    *(f"PYTHON_{name}" for name in ("VERSION", "SHA256", "PIP_VERSION", "SETUPTOOLS_VERSION")),
    *(f"PYTHON_GET_PIP_{name}" for name in ("URL", "SHA256")),
}
#: Nearly every image sets these variables, and no measurement depends on them.
_USUAL = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
#: Variables that the loader and the C library read (man 8 ld.so, man 3 mallopt), even if Python runs isolated. They
#: load other code or choose another allocator.
_FOR_EVERY_PROGRAM = ("LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "MALLOC_")

#: Kernel name -> image name (GOARCH) of each architecture that has two names.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    **dict.fromkeys(("armv6l", "armv7l", "armv8l"), "arm"),
    **dict.fromkeys(("i386", "i586", "i686"), "386"),
    "loongarch64": "loong64",
}
#: (a machine, an older architecture whose programs it runs as they are).
_WITHIN = (("amd64", "386"), ("arm64", "arm"))


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The configuration of an image. What the image does not set is empty."""

    #: The architecture that the image says it is for.
    architecture: str = ""
    #: The user that the image's own program runs as.
    user: str = ""
    #: The entry point.
    entrypoint: tuple[str, ...] = ()
    #: The command, or the arguments of the entry point.
    command: tuple[str, ...] = ()
    #: The folder that the image's own program starts in.
    folder: str = "/"
    #: The environment variables by their names.
    environment: Mapping[str, str]

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> ImageSettings:
        """The settings in what the engine says of an image; see :func:`lab.containers.client.image_attributes`."""
        config = attributes.get("Config") or {}
        pairs = (variable.partition("=") for variable in config.get("Env") or ())
        return cls(
            architecture=str(attributes.get("Architecture") or ""),
            user=str(config.get("User") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            folder=str(config.get("WorkingDir") or "/"),
            environment={name: value for name, _, value in pairs},
        )

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders in which a program is looked for by its name."""
        return tuple(folder for folder in (self.environment.get("PATH") or _PATH).split(":") if folder)

    @property
    def users(self) -> tuple[str, ...]:
        """The users to try, the user with the least rights first."""
        return tuple(dict.fromkeys(user for user in (NOBODY, self.user, ROOT) if user))

    @property
    def ignored(self) -> Mapping[str, str]:
        """The variables that Python would read if it did not run isolated (``-I``)."""
        return self._variables(lambda name: name.startswith("PYTHON") and name not in _DESCRIBE)

    @property
    def kept(self) -> Mapping[str, str]:
        """The variables that act on a cell although Python runs isolated. They may change times or memory."""
        return self._variables(lambda name: name.startswith(_FOR_EVERY_PROGRAM))

    def _variables(self, wanted: Callable[[str], bool]) -> Mapping[str, str]:
        return {name: value for name, value in sorted(self.environment.items()) if wanted(name)}

    def details(self, program: str, user: str) -> dict[str, Any]:
        """What a session stores of these settings, with the program and the user of its cells."""
        return {
            "interpreter": program,
            "user": user,
            "entrypoint": list(self.entrypoint),
            "image_user": self.user,
            "ignored": dict(self.ignored),
            "kept": dict(self.kept),
        }

    def note(self, image: str, program: str, user: str) -> str | None:
        """A line on what a cell replaces, ignores and keeps of these settings; ``None`` if nothing is worth a line.

        ``program`` and ``user`` are those of the cells.
        """
        replaced, remarks = [], []
        if self.entrypoint and self.entrypoint[0] != program:
            replaced.append(f"entry point {self.entrypoint[0]} by {program}")
        if user == NOBODY and self.user not in ("", "65534", NOBODY):
            replaced.append(f"user {self.user} by {NOBODY}")
        if user != NOBODY:
            remarks.append(f"cells run as user {user}, since {NOBODY} may not start its Python")
        if replaced:
            remarks.append(f"replaced: {', '.join(replaced)}")
        if unusual := [name for name in self.ignored if name not in _USUAL]:
            remarks.append(f"ignored, since Python runs isolated (-I): {', '.join(unusual)}")
        if self.kept:
            remarks.append(f"kept, and may change times or memory: {', '.join(self.kept)}")
        return f"the image {image}: {'; '.join(remarks)}" if remarks else None


def familiar_name(name: str) -> str:
    """The name of an image as the user writes it and as Docker lists it.

    Podman lists every name with its registry: ``localhost/multicore-lab-base:3.13``,
    ``docker.io/library/python:3.13-slim``.
    """
    for registry in _IMPLIED_REGISTRIES:
        if name.startswith(registry):
            return name.removeprefix(registry)
    return name


def tagged_name(name: str) -> str:
    """The name of an image with its tag: ``latest``, where it has neither a tag nor a digest."""
    last = name.rpartition("/")[2]  # before it, a colon is that of a port
    return name if ":" in last or "@" in last else f"{name}:latest"


def fits(architecture: str, machine: str) -> bool:
    """Whether an image for this architecture runs on this machine without emulation; also where one is not known.

    Both may be named as an image or as a kernel names them.
    """
    required, native = _image_name(architecture), _image_name(machine)
    return not (required and native) or required == native or (native, required) in _WITHIN


def _image_name(architecture: str) -> str:
    return _ARCHITECTURES.get(architecture, architecture)


def refuse_emulation(image: str, architecture: str, machine: str) -> None:
    """Raise ImageError for an image of another architecture than the machine's.

    Such an image would run under emulation. Every time, speed and number of cores would then be the emulator's. Both
    architectures may be named as an image or as a kernel names them.
    """
    if not fits(architecture, machine):
        native = _image_name(machine)
        raise ImageError(
            f"the image {image} is for {_image_name(architecture)}, and the engine's machine is {native}: emulated, its"
            " timings would say nothing",
            f"name an image for {native}, such as --image {OFFICIAL_IMAGE}",
        )
