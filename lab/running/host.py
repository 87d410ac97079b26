"""The machine that the lab itself runs on: its topology, and its facts for the manifest. The engine's may be another
one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lab.cell.cpus import cgroups, cpulist, host
from lab.cell.cpus import topology as reader
from lab.errors import UsageError
from lab.model.topology import Topology, from_reading

#: Where Docker's command line looks for its plugins (its documentation, "CLI plugins"), after the user's own folder.
_PLUGINS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_COMPOSE_SECONDS = 5.0


def host_facts() -> dict[str, Any]:
    """This machine and this Python, as a JSON-able dict."""
    here = read_topology()
    return {
        "name": socket.gethostname(),
        "processor": here.model,
        "cpus": len(here.online),
        "cgroup_version": cgroups.cgroups("/")["version"],
        "python": sys.version.split()[0],
        **host.describe(),
    }


@contextlib.contextmanager
def compose_asked() -> Iterator[Callable[[], str | None]]:
    """Ask Compose's plugin for its version; yields what waits for the answer: ``None`` where there is none.

    It is a process, which takes some hundredths of a second of a CPU: ask while nothing is measured. It is ended at
    the end, whether anybody has waited for it or not.
    """
    own = os.environ.get("DOCKER_CONFIG") or os.environ.get("HOME", "") + "/.docker"
    folders = [Path(own) / "cli-plugins", *map(Path, _PLUGINS)]
    plugins = [str(folder / "docker-compose") for folder in folders if os.access(folder / "docker-compose", os.X_OK)]
    program = next(iter(plugins), None) or shutil.which("docker-compose")
    asked = None
    if program:
        with contextlib.suppress(OSError):  # it is no program after all
            asked = subprocess.Popen(
                [program, "version", "--short"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
    if asked is None:
        yield lambda: None
        return

    def answer() -> str | None:
        try:
            said, _ = asked.communicate(timeout=_COMPOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        return said.strip() or None if asked.returncode == 0 else None

    with asked:
        try:
            yield answer
        finally:
            asked.kill()


_HERE = Path("/")


def read_topology(root: Path = _HERE) -> Topology:
    """The machine below ``root``. Raises UsageError when there is none.

    What we ourselves may use is, here, our affinity; in a tree of another machine what its own ``proc/self`` says, and
    without that all that is on line.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"--topology {root} {what}; give the folder that holds a machine's sys and proc")
    here = root.resolve() == _HERE
    found = from_reading(reader.read("/" if here else str(root), _ours() if here else _theirs(root)))
    if not found.cpus:
        raise UsageError(
            f"--topology {root} describes no CPU: neither sys/devices/system/cpu nor proc/cpuinfo is there; give the"
            " folder that holds a machine's sys and proc, such as an unpacked archive of them"
        )
    return found


def _ours() -> tuple[int, ...] | None:
    return tuple(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _theirs(root: Path) -> tuple[int, ...] | None:
    try:
        return cpulist.parse(cgroups.own_cpus(str(root)) or "") or None
    except ValueError:
        return None
