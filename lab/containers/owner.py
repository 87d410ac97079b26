"""Who made a container of the lab, and whether that run is still under way. Several labs may use one engine.

On Linux a process is known by its boot, its pid namespace, its pid and its start. macOS and Windows have no files that
tell this. There the process keeps a folder for temporary files locked as long as it lives.
"""

from __future__ import annotations

import contextlib
import functools
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from lab import interrupts, system
from lab.containers.client import SESSION_LABEL, translated
from lab.errors import EngineError

if TYPE_CHECKING:
    from docker import DockerClient

#: The label with the process that made a container: the boot of its machine, its pid namespace, its pid and its start.
OWNER_LABEL = "org.multicore-lab.owner"

#: The field of ``/proc/PID/stat`` with the start of a process, counted after its name (man 5 proc).
_START_FIELD = 19
#: The states of a process that has ended, and whose exit code nobody has asked for yet (ibidem).
_ENDED = ("Z", "X")


@functools.cache
def own() -> str:
    """The value of the label for this process."""
    return f"{_here()}:{os.getpid()}:{_start_of(os.getpid()) or _own_folder()}"


def _here() -> str:
    """This boot of this machine, and the namespace in which a pid means something.

    Without Linux's kernel it is the name of this machine, and a number that stands for its folder of temporary files.
    """
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid').partition('[')[2].rstrip(']')}"
    import socket
    import tempfile

    return f"{socket.gethostname().replace(':', '.')}:{zlib.crc32(tempfile.gettempdir().encode())}"


def _own_folder() -> str:
    """The name of a folder for temporary files that this process has locked, and removes at its end."""
    import atexit

    path, lock = system.make_owned_folder()
    remove = functools.partial(system.remove_owned_folder, path, lock)
    interrupts.leave("owner", remove)  # after Ctrl-C nothing that is registered with atexit is called
    atexit.register(remove)
    return os.path.basename(path)


def _start_of(pid: int) -> str:
    """When a process began, in ticks; empty if there is no such process, or nothing of it but its exit code."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in _ENDED else fields[_START_FIELD]


def is_alive(owner: str) -> bool | None:
    """Whether the process with this label still lives; ``None`` if that cannot be seen from here."""
    here, _, start = owner.rpartition(":")
    here, _, pid = here.rpartition(":")
    if here != _here() or not pid.isdecimal():
        return None
    if start.startswith(system.PREFIX):
        return _is_locked(start)
    return _start_of(int(pid)) == start


def _is_locked(folder: str) -> bool:
    """Whether a process has locked this folder for temporary files. One that has ended has removed it, or left it."""
    import tempfile

    path = Path(tempfile.gettempdir(), folder)
    lock = system.lock_of_abandoned(path)
    if lock is not None:
        os.close(lock)
    return lock is None and path.is_dir()


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
