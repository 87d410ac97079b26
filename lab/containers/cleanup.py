"""Removing what carries the lab's label, and nothing else."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient
from lab.containers.client import SESSION_LABEL, short, translated


def remove_container(client: DockerClient, container: str) -> None:
    """Remove one container, dead or alive. What cannot be removed is left to :func:`remove` and ``lab clean``."""
    from docker.errors import APIError, NotFound

    with contextlib.suppress(NotFound, EngineError), translated("removing the container"):
        try:
            client.api.remove_container(container, force=True, v=True)
        except APIError as error:
            if error.status_code != 409:  # 409: its removal is under way already
                raise


def remove_all(client: DockerClient, session: str | None = None) -> tuple[list[str], list[str]]:
    """Remove every container, volume and network with our label, of one session or of all. By label only.

    Returns (what was removed, what could not be, each with the engine's reason). Raises EngineError when the engine
    cannot even list them.
    """
    label = SESSION_LABEL if session is None else f"{SESSION_LABEL}={session}"
    removed, kept = [], []
    delete = client.api.remove_container
    with translated("listing what the lab left"):
        # In this order: a network or a volume that a container still uses cannot be removed.
        found: list[tuple[str, str, Callable[[], object]]] = [
            ("container", one["Names"][0].lstrip("/"), functools.partial(delete, one["Id"], force=True, v=True))
            for one in client.api.containers(all=True, filters={"label": label})
        ]
        found += [("network", str(one.name), one.remove) for one in client.networks.list(filters={"label": label})]
        found += [("volume", str(one.name), one.remove) for one in client.volumes.list(filters={"label": label})]
    import requests
    from docker.errors import NotFound

    for kind, name, act in found:
        try:
            act()
        except NotFound:
            continue
        except requests.RequestException as error:  # APIError is one too
            if kind == "container" and getattr(error, "status_code", None) == 409:
                continue  # its removal is under way already
            kept.append(f"{kind} {name}: {short(error)}")
        else:
            removed.append(f"{kind} {name}")
    return removed, kept
