"""Who made a container of the lab, and whether that run is still under way. Several labs may use one engine."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab.containers.client import SESSION_LABEL, translated
from lab.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

#: The label with the process that made a container: the boot of its machine, its pid namespace, its pid and its start.
OWNER_LABEL = "org.multicore-lab.owner"

#: The field of ``/proc/PID/stat`` with the start of a process, counted after its name (man 5 proc).
_START_FIELD = 19


@functools.cache
def own() -> str:
    """The value of the label for this process."""
    return f"{_here()}:{os.getpid()}:{_start_of(os.getpid())}"


def _here() -> str:
    """This boot of this machine, and the namespace in which a pid means something."""
    boot = namespace = ""
    with contextlib.suppress(OSError):  # no such file but on Linux
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]")
    return f"{boot}:{namespace}"


def _start_of(pid: int) -> str:
    """When a process began, in ticks; empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[_START_FIELD]


def is_alive(owner: str) -> bool | None:
    """Whether the process with this label still lives; ``None`` if that cannot be seen from here."""
    here, _, start = owner.rpartition(":")
    here, _, pid = here.rpartition(":")
    if here != _here() or not pid.isdecimal():
        return None
    return _start_of(int(pid)) == start


def under_way(client: DockerClient) -> dict[str, str]:
    """The sessions whose containers are still needed -> who runs them. Raises EngineError.

    A container is needed while the process lives that made it. If that process cannot be seen from here, the container
    is needed while it runs: it may be a run on another machine, or ``docker compose up``.
    """
    sessions: dict[str, str] = {}
    with translated("listing the lab's containers"):
        for container in client.api.containers(all=True, filters={"label": SESSION_LABEL}) or ():
            labels = container.get("Labels") or {}
            owner = str(labels.get(OWNER_LABEL, ""))
            alive = is_alive(owner)
            if alive or (alive is None and container.get("State") == "running"):
                who = _named(owner) if alive else "a process that cannot be seen from here"
                sessions[str(labels.get(SESSION_LABEL))] = who
    return sessions


def _named(owner: str) -> str:
    return f"process {owner.split(':')[-2]} of this machine"


def others(client: DockerClient, session: str) -> set[str]:
    """The other sessions of which a container runs on the engine now. It is empty if the engine does not answer."""
    sessions: set[str] = set()
    with contextlib.suppress(EngineError), translated("looking for other labs"):
        for container in client.api.containers(filters={"label": SESSION_LABEL}) or ():
            sessions.add(str((container.get("Labels") or {}).get(SESSION_LABEL)))
    return sessions - {session, "None"}
