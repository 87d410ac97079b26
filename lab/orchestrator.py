"""What the machine is that the lab itself runs on, for the manifest: the engine's may be another one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab import topology
from lab.worker import cgroups, host

#: Where Docker's command line looks for its plugins (its documentation, "CLI plugins"), after the user's own folder.
_PLUGINS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_COMPOSE_SECONDS = 5.0


def facts() -> dict[str, Any]:
    """This machine and this Python, as a JSON-able dict."""
    here = topology.read()
    return {
        "name": socket.gethostname(),
        "processor": here.model,
        "cpus": len(here.online),
        "cgroup_version": cgroups.cgroups("/")["version"],
        "python": sys.version.split()[0],
        **host.describe(),
    }


def compose_version() -> str | None:
    """The version of Compose's plugin; ``None`` where there is none. It starts a process: not while one measures."""
    folders = [Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins", *map(Path, _PLUGINS)]
    plugins = [str(folder / "docker-compose") for folder in folders if os.access(folder / "docker-compose", os.X_OK)]
    program = next(iter(plugins), None) or shutil.which("docker-compose")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "version", "--short"], capture_output=True, text=True, check=True, timeout=_COMPOSE_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
