"""Removing what carries the lab's label, and nothing else."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any

from lab.containers.client import SESSION_LABEL, broken_connections, translated
from lab.containers.container import is_gone
from lab.containers.exception_words import short
from lab.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient


def remove_container(client: DockerClient, container: str) -> None:
    """Remove one container, dead or alive. If that fails, :func:`remove_all` and ``lab clean`` will remove it."""
    from docker.errors import APIError, NotFound

    with contextlib.suppress(EngineError), translated("removing the container"):
        try:
            client.api.remove_container(container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409:  # 409: it is being removed already
                raise
        is_gone(container)


def remove_all(
    client: DockerClient, session: str | None = None, spare: Container[str] = ()
) -> tuple[list[str], list[str]]:
    """Remove every container, volume and network that carries the lab's label, of one session or of all sessions.

    What belongs to the sessions in ``spare`` stays.

    Returns two lists: what was removed, and what could not be removed, with the engine's reason. Raises EngineError
    when the engine cannot list them.
    """
    label = SESSION_LABEL if session is None else f"{SESSION_LABEL}={session}"
    removed, kept = [], []
    delete = client.api.remove_container
    with translated("listing what the lab left"):
        # In this order: a network or a volume that a container still uses cannot be removed.
        leftovers: list[tuple[str, str, Callable[[], object]]] = [
            ("container", _name(item), functools.partial(delete, item["Id"], force=True, v=True))
            for item in client.api.containers(all=True, filters={"label": label}) or ()
            if _session(item) not in spare
        ]
        for kind, collection in (("network", client.networks), ("volume", client.volumes)):
            leftovers += [
                (kind, str(item.name), item.remove)
                for item in collection.list(filters={"label": label})
                if _session(item.attrs) not in spare
            ]
    from docker.errors import NotFound

    for kind, name, remove in leftovers:
        try:
            remove()
        except NotFound:
            continue
        except broken_connections() as error:
            if kind == "container" and getattr(error, "status_code", None) == 409:
                continue  # it is being removed already
            kept.append(f"{kind} {name}: {short(error)}")
        else:
            removed.append(f"{kind} {name}")
    is_gone()  # the caller names what could not be removed
    return removed, kept


def _session(item: Mapping[str, Any]) -> str:
    return str((item.get("Labels") or {}).get(SESSION_LABEL, ""))


def _name(container: Mapping[str, Any]) -> str:
    """The name of a container, or the beginning of its id: a container that is dead may have lost its name."""
    names = container.get("Names") or ()
    return next((str(name).lstrip("/") for name in names if name), str(container["Id"])[:12])
