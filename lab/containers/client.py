"""The Docker engine as a whole: its client, and all that carries the lab's labels on it, to collect or to remove."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cell.claims.wording import shortened
from lab.containers.image_config import familiar_name
from lab.errors import CellError, EngineError

if TYPE_CHECKING:
    from docker import DockerClient

#: Every container, volume and network of the lab carries this label, with the session as its value.
SESSION_LABEL = "org.multicore-lab.session"
CELL_LABEL = "org.multicore-lab.cell"


_API_SECONDS = 60


def client_for_this_environment() -> DockerClient:
    """A client of the engine that ``DOCKER_HOST`` or the current context names. Raises EngineError."""
    try:
        # Missing too where a folder named docker/ in the current directory imports as an empty namespace package.
        from docker import DockerClient
    except ImportError as error:
        raise EngineError(
            "the Docker SDK is not installed (a folder named docker/ can hide that)",
            "pip install docker, or use --engine local",
        ) from error
    import requests
    from docker.errors import DockerException

    _refuse_missing_context()
    try:
        client = DockerClient.from_env(timeout=_API_SECONDS)
    except DockerException as error:
        raise EngineError(f"no Docker engine can be reached: {short(error)}", _START_ONE) from error
    try:
        client.ping()
    except (DockerException, requests.RequestException) as error:
        where = client.api.base_url.replace("http+docker://localhost", "the local socket")
        client.close()
        raise EngineError(f"no Docker engine answers at {where}: {short(error)}", _START_ONE) from error
    return client


def _refuse_missing_context() -> None:
    """Raise EngineError if the user names a context that does not exist: the SDK would take the default engine."""
    from docker.context import ContextAPI

    if os.environ.get("DOCKER_HOST"):
        return
    config = Path(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")) / "config.json"
    name, source = os.environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not name:
        name, source = _current_context(config), f"currentContext in {config}"
    if not name or name == "default":
        return
    fix = "see docker context ls, and name one of them or unset it; or use --engine local"
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the SDK raises this very class for a broken description
        raise EngineError(f"the Docker context {name} ({source}) cannot be read: {short(error)}", fix) from error
    if context is None or not context.Host:
        raise EngineError(f"the Docker context {name} ({source}) does not exist", fix)


def _current_context(config: Path) -> str:
    """The context that the settings of the Docker client name; empty: none. Raises EngineError for a broken file."""
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        return str(settings.get("currentContext") or "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError) as error:
        raise EngineError(
            f"the settings of the Docker client in {config} cannot be read: {short(error)}",
            "repair or remove the file, set DOCKER_HOST, or use --engine local",
        ) from error


_START_ONE = "start one, point DOCKER_HOST at one, or use --engine local"


def image_attributes(client: DockerClient, image: str) -> dict[str, Any] | None:
    """What the engine says of an image; ``None`` when it has none of that name."""
    from docker.errors import ImageNotFound

    with translated(f"looking for the image {image}"):
        try:
            details: dict[str, Any] = client.images.get(image).attrs
        except ImageNotFound:
            return None
    return details


def image_names(client: DockerClient) -> list[tuple[str, str]]:
    """(name, id) for each name of each image on the engine; see :func:`lab.containers.image_config.familiar_name`."""
    with translated("listing the images"):
        images = client.api.images()
    return [(familiar_name(name), image["Id"]) for image in images for name in image.get("RepoTags") or ()]


def pull_image(client: DockerClient, image: str, note: Callable[[str], None]) -> str | None:
    """Pull an image. Returns ``None``, or why it could not be."""
    from docker.errors import DockerException

    note(f"pulling the image {image} …")
    try:
        with translated(f"pulling {image}"):
            client.images.pull(image)
    except (EngineError, DockerException) as error:
        return str((error.__cause__ and short(error.__cause__)) or error)
    return None


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the SDK raises into our errors, with what was being done."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise CellError(f"{doing}: the engine answered {error.status_code}: {short(error)}") from error
    except (DockerException, requests.RequestException, ConnectionError) as error:
        raise EngineError(f"{doing}: {short(error)}", "is the engine still running? (docker info)") from error


def short(error: BaseException) -> str:
    """What an engine or the SDK says of an error, in one line."""
    text = getattr(error, "explanation", None) or str(error)
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return shortened(" ".join(str(text).split()), 200)
