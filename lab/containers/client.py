"""The Docker engine as a whole: its client, and all that carries the lab's labels on it, to collect or to remove."""

from __future__ import annotations

import contextlib
import functools
import shlex
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lab.containers import waiting
from lab.containers.address import host_address, user_address
from lab.containers.exception_words import NONSENSE, fix_for, is_silence, short
from lab.containers.image_config import familiar_name
from lab.errors import CellError, EngineError, NamedEngineError
from lab.system import or_local

if TYPE_CHECKING:
    from docker import DockerClient

#: Every container, volume and network of the lab carries this label, with the session as its value.
SESSION_LABEL = "org.multicore-lab.session"
CELL_LABEL = "org.multicore-lab.cell"


#: How long an engine that let a request fail has to answer again, and how often it is asked, in seconds.
_ANSWERS_SECONDS, _ANSWERS_PAUSE = 5.0, 0.2


def client_for_this_environment(host: str = "") -> DockerClient:
    """A client of the engine that the user has named, or else of the usual one; no other engine is ever taken.

    ``host`` is what ``--host`` names: a context or an address; empty: the environment or the settings name the engine.

    Raises NamedEngineError where the named one is missing, broken or stopped, and EngineError where the usual one is.
    """
    try:
        # Missing too where a folder named docker/ in the current directory imports as an empty namespace package.
        from lab.containers import connection
    except ImportError as error:
        raise EngineError(
            "the Docker SDK is not installed (a folder named docker/ can hide that)",
            or_local("pip install docker"),
        ) from error
    address = host_address(host) if host else user_address()
    try:
        with waiting.doing(f"connecting to {address.url}"):
            return connection.connected(address, host)
    except EngineError:
        raise
    except Exception as error:  # the SDK, TLS, ssh and its settings: their exceptions have no class in common
        kind = NamedEngineError if address.named_by else EngineError
        raise kind(f"no Docker engine answers at {address}: {short(error)}", fix_for(error, address)) from error


def clean_command(client: DockerClient) -> str:
    """The command that removes what killed runs have left on the engine of this client."""
    host = getattr(client, "host", "")
    return f"lab clean --host {shlex.quote(host)}" if host else "lab clean"


def answers(client: DockerClient) -> bool:
    """Whether the engine answers, or does so within some seconds: it may just be starting again."""
    until = time.monotonic() + _ANSWERS_SECONDS
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(*broken_connections()):
            client.api.get(f"{client.api.base_url}/_ping", timeout=left).close()
            return True
        time.sleep(_ANSWERS_PAUSE)
    return False


def image_attributes(client: DockerClient, image: str) -> dict[str, Any] | None:
    """What the engine says of an image; ``None`` when it has none of that name."""
    from docker.errors import ImageNotFound

    api: Any = client.api
    with translated(f"looking for the image {image}"):
        try:
            return dict(api.inspect_image(image))
        except ImageNotFound:
            return None


def image_names(client: DockerClient) -> list[tuple[str, str]]:
    """(name, id) for each name of each image on the engine; see :func:`lab.containers.image_config.familiar_name`."""
    with translated("listing the images"):
        images = client.api.images() or ()
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
    """Turn what the SDK raises into our errors, with what was being done.

    A connection over ssh raises errors of paramiko and of the system. An answer that lacks something, or that is no
    answer of an engine at all, raises one of the errors that Python has for values.
    """
    from docker.errors import APIError

    try:
        with waiting.doing(doing):
            yield
    except APIError as error:
        raise CellError(f"{doing}: the engine answered {error.status_code}: {short(error)}") from error
    except broken_connections() as error:
        slow = " Is the connection slow?" if is_silence(error) else ""
        raise EngineError(f"{doing}: {short(error)}", f"is the engine still running? (docker info){slow}") from error
    except NONSENSE as error:
        raise EngineError(f"{doing}: {short(error)}", "is it an engine? (docker info)") from error


@functools.cache
def broken_connections() -> tuple[type[Exception], ...]:
    """The errors of a connection that broke, of all libraries that there are."""
    import requests
    import urllib3
    from docker.errors import DockerException

    libraries: tuple[type[Exception], ...] = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError)
    with contextlib.suppress(ImportError):
        from paramiko import SSHException

        libraries += (SSHException,)
    return (*libraries, OSError, EOFError)
