"""Our compose.yaml as a project of its own, run as a user does."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from docker import DockerClient

#: Busy until it is stopped, as far as a test is concerned.
LONG = {"LAB_EXPERIMENTS": "gil", "LAB_SECONDS": "60"}


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@dataclass(frozen=True, kw_only=True)
class Project:
    """Our compose.yaml under a name of its own. ``output`` is what the first ``up`` printed."""

    name: str
    settings: Mapping[str, str]
    output: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        """The command line; a developer's own .env is left out of it."""
        file = str(ROOT / "compose.yaml")
        return ["docker", "compose", "--env-file", os.devnull, "--file", file, "-p", self.name, *arguments]

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        usual = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "COMPOSE_"))}
        return {**usual, "COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain", **self.settings, **settings}

    def compose(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def containers(self, client: DockerClient) -> dict[str, dict[str, Any]]:
        """What the engine says of each service's container."""
        filters = {"label": f"com.docker.compose.project={self.name}"}
        containers = [
            client.api.inspect_container(container["Id"])
            for container in client.api.containers(all=True, filters=filters)
        ]
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in containers}

    def gather(self) -> tuple[int, dict[str, Any]]:
        done = lab("gather", "--project", self.name, "--format", "json")
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    def said(self, service: str) -> str:
        """What a service printed during the first ``up``, without the prefix."""
        lines = [line.partition(" | ") for line in self.output]
        return "\n".join(text for prefix, _, text in lines if prefix.strip().endswith(f"{service}-1"))


@contextlib.contextmanager
def project_with(settings: Mapping[str, str]) -> Iterator[Project]:
    """A project that leaves nothing behind."""
    project = Project(name=f"mlc-test-{secrets.token_hex(4)}", settings=settings)
    try:
        yield project
    finally:
        done = project.compose("--profile", "quota", "down", "--volumes", "--timeout", "2")
        assert done.returncode == 0, done.stdout
