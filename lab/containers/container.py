"""One container of the lab: how it is made, and how it ended."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab import interrupts
from lab.containers.client import clean_command
from lab.containers.image_config import NOBODY
from lab.containers.owner import OWNER_LABEL, own
from lab.model.cell import PERIOD_US
from lab.model.room import Room
from lab.system import in_container

if TYPE_CHECKING:
    from docker.types import Mount

    from docker import DockerClient

#: The prefix of the labels of Docker Compose.
COMPOSE_LABEL = "com.docker.compose"

#: Compose puts its labels on the images that it builds, and a container inherits the labels of its image. Then
#: ``docker compose up`` would follow our cells, and ``docker compose down`` would remove them. Empty
#: labels prevent that.
_NOT_OF_COMPOSE = {f"{COMPOSE_LABEL}.{name}": "" for name in ("project", "service", "version")}

_MEBIBYTE = 2**20

#: How large a container's log may become on the engine. There is room for all that a worker may send.
LOG_SIZE = "128m"


#: The containers that were made and not removed: their ids, or an object for each whose id is unknown.
_left: set[object] = set()


def isolated_host_config(cpus: int) -> dict[str, Any]:
    """The host configuration of an isolated container that runs code for that many CPUs.

    The container gets nothing that a cell does not need: no network, no capability, no file to write but in ``/tmp``.
    The limit of pids also counts threads: it has room for some hundred threads, and for a pool of one worker for each
    CPU. Each worker has memory for a small Python. The records are read from the log when the stream broke, so the
    driver of the log does not depend on the engine's default. The log is limited, because output may never end.
    """
    return {
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=64m,mode=1777"},  # noqa: S108 - inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 512 + 32 * cpus,
        "mem_limit": (512 + 64 * cpus) * _MEBIBYTE,
        "memswap_limit": (512 + 64 * cpus) * _MEBIBYTE,
        "init": True,
        "log_config": {"Type": "json-file", "Config": {"max-size": LOG_SIZE, "max-file": "1"}},
    }


#: The folder of the user's code in a cell.
PROJECT = "/project"
#: The folder in a cell that the user's code is compared with.
OTHER_PROJECT = "/other"


def own_code_config(folder: str, other: str) -> dict[str, Any]:
    """What the host configuration of a cell has besides, if the cell runs code of the user's in this folder.

    The folder, and the ``other`` one if there is one, are mounted so that they can only be read. Own code may need much
    more memory than the lab's experiments, so the memory has no limit of the lab's.
    """
    from docker.types import Mount  # here, because docker is slow to load

    places = [(PROJECT, folder), *([(OTHER_PROJECT, other)] if other else [])]
    return {
        # As "binds", a folder that the engine's machine does not have would be made there, and be empty.
        "mounts": [Mount(place, source, type="bind", read_only=True) for place, source in places],
        "mem_limit": None,
        "memswap_limit": None,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,size=1g,mode=1777"},  # noqa: S108 - inside the container
    }


def volume_mount(place: str, volume: str, *, read_only: bool) -> Mount:
    """A volume at a place in a container. What the image has there is copied into a new volume."""
    from docker.types import Mount  # here, because docker is slow to load

    return Mount(place, volume, type="volume", read_only=read_only)


def room_config(room: Room) -> dict[str, Any]:
    """What the host configuration of a cell has besides, if the cell runs a program of the user's.

    The program finds what its image promises: files that can be written, and memory without a limit, unless the user
    sets one. The files are the container's own, and are removed with it.
    """
    from docker.types import Mount  # as above

    return {
        "mounts": [
            Mount(in_container(each.folder), each.folder, type="bind", read_only=each.read_only) for each in room.mounts
        ],
        "network_mode": room.network or "none",
        "read_only": False,
        "mem_limit": room.memory_bytes,
        "memswap_limit": room.memory_bytes,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,exec,size=1g,mode=1777"},  # noqa: S108 - inside the container
    }


def create_container(
    client: DockerClient,
    image: str,
    command: Sequence[str],
    host: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    name: str | None = None,
    user: str = NOBODY,
) -> dict[str, Any]:
    """Create a container, and return its ``Id`` and the engine's ``Warnings``. The container is not started.

    It runs ``command`` instead of the image's own entry point, as ``user``. ``host`` is its host configuration. Raises
    what the SDK raises. Until :func:`is_gone` says otherwise, the container counts as left behind.
    """
    api = client.api
    unknown = object()  # until the engine has answered, nobody knows whether there is a container
    _left.add(unknown)
    interrupts.leave("containers", functools.partial(_remains, clean_command(client)))
    made: dict[str, Any] = api.create_container(
        image,
        entrypoint=list(command[:1]),
        command=list(command[1:]),
        user=user,
        working_dir="/",  # nobody may not enter the image's own folder
        healthcheck={"test": ["NONE"]},  # a health check would run beside the measurement, on the same CPUs
        name=name,
        labels={**_NOT_OF_COMPOSE, OWNER_LABEL: own(), **labels},
        host_config=api.create_host_config(**host),
    )
    _left.add(str(made["Id"]))
    _left.discard(unknown)
    return {"Id": str(made["Id"]), "Warnings": [str(line) for line in made.get("Warnings") or ()]}


def is_gone(container: str | None = None) -> None:
    """Note that a container, or all that this process has made, is no longer on the engine."""
    _left.intersection_update(_left - {container} if container else ())


def _remains(remedy: str) -> str | None:
    if not _left:
        return None
    count = f"{len(_left)} container{'s' * (len(_left) > 1)}"
    _left.clear()
    return f"left behind: {count} of the lab may still be on the engine; remove them with: {remedy}"


def quota_of(host_config: Mapping[str, Any]) -> float | None:
    """The quota that the engine says it has set, in CPUs; ``None``: it has set no quota."""
    if host_config.get("NanoCpus"):
        return float(host_config["NanoCpus"] / 1e9)
    quota, period = host_config.get("CpuQuota") or 0, host_config.get("CpuPeriod") or PERIOD_US
    return float(quota / period) if quota > 0 else None
