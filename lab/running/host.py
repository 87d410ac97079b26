"""The machine that the lab itself runs on: its topology, and its facts for the manifest.

The engine may run on another machine.
"""

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

from lab import system
from lab.cell.cpus import cgroups, host
from lab.cell.cpus import topology as reader
from lab.cell.cpus.capture import root_at
from lab.errors import UsageError
from lab.model.topology import Topology, from_reading

#: Where Docker's command line looks for its plugins (its documentation, "CLI plugins"), after the user's own folder.
#: The last ones are those of Docker Desktop on Windows.
_PLUGINS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    *(
        str(Path(os.environ[name], "Docker", "cli-plugins"))
        for name in ("ProgramData", "ProgramFiles")
        if name in os.environ
    ),
)
_COMPOSE_SECONDS = 5.0


def host_facts() -> dict[str, Any]:
    """This machine and this Python, as a JSON-able dict."""
    here = read_topology()
    return {
        "name": socket.gethostname(),
        "processor": here.model or system.processor(),
        "cpus": len(here.online),
        "cgroup_version": cgroups.cgroups("/")["version"],
        "python": sys.version.split()[0],
        **host.describe(),
    }


@contextlib.contextmanager
def asking_compose() -> Iterator[Callable[[], str | None]]:
    """Ask Compose's plugin for its version. Yields a function that waits for the answer: ``None`` without a plugin.

    The plugin is a process, which uses a CPU for some hundredths of a second: ask while nothing is measured. The
    process is ended at the end of the ``with`` block.
    """
    own = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    folders = os.pathsep.join((str(Path(own, "cli-plugins")), *_PLUGINS))
    program = shutil.which("docker-compose", path=folders) or shutil.which("docker-compose")
    process = None
    if program:
        with contextlib.suppress(OSError):  # the file is not a program
            process = subprocess.Popen(
                [program, "version", "--short"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
    if process is None:
        yield lambda: None
        return

    def answer() -> str | None:
        try:
            output, _ = process.communicate(timeout=_COMPOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        return (output.decode(errors="replace").strip() or None) if process.returncode == 0 else None

    with process:
        try:
            yield answer
        finally:
            process.kill()


_HERE = Path("/")


def read_topology(root: Path = _HERE) -> Topology:
    """The topology of the machine whose file tree is below ``root``, or in the capture that ``root`` is.

    Raises UsageError when there is no machine.

    The usable CPUs of this machine are this process's affinity. In the tree of another machine its ``proc/self`` says
    it; without that file, all CPUs that are on line are usable.
    """
    try:
        files = "/" if root.resolve() == _HERE.resolve() else root_at(str(root))
    except ValueError as error:
        raise UsageError(
            f"--topology {root} {error}; give the folder that holds a machine's sys and proc, or a file that"
            " lab doctor --capture wrote"
        ) from None
    topology = from_reading(reader.read_topology(files))
    if not topology.cpus:
        raise UsageError(
            f"--topology {root} describes no CPU: neither sys/devices/system/cpu nor proc/cpuinfo is there; give the"
            " folder that holds a machine's sys and proc, such as an unpacked archive of both"
        )
    return topology
