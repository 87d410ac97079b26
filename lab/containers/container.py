"""One container of the lab: how it is made, and how it ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.containers.image_config import NOBODY
from lab.model.cell import PERIOD_US

if TYPE_CHECKING:
    from docker import DockerClient


COMPOSE_LABEL = "com.docker.compose"


#: Compose puts its labels on the images that it builds, and a container inherits them: `docker compose up` would then
#: follow our cells, and `docker compose down` remove them.
_NOT_OF_COMPOSE = {f"{COMPOSE_LABEL}.{name}": "" for name in ("project", "service", "version")}


_MEBIBYTE = 2**20


def isolated_host_config(cpus: int) -> dict[str, Any]:
    """The host configuration of a container in which code for that many CPUs runs: nothing that it does not need.

    pids count threads, so there is room for the hundred of them and a pool for each CPU; memory for a small Python
    each. Its log is where the records are read again, so it does not depend on the engine's default.
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
        "log_config": {"Type": "json-file", "Config": {}},
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
    """Make a container that runs ``command`` in the place of the image's own entry point, as nobody unless another
    ``user`` is given; what the engine answers. ``host`` is its host configuration. What the SDK raises passes
    through."""
    api = client.api
    made: dict[str, Any] = api.create_container(
        image,
        entrypoint=list(command[:1]),
        command=list(command[1:]),
        user=user,
        working_dir="/",  # nobody may not enter the image's own
        healthcheck={"test": ["NONE"]},  # it would run beside what is measured, on the same CPUs
        name=name,
        labels={**_NOT_OF_COMPOSE, **labels},
        host_config=api.create_host_config(**host),
    )
    return made


def quota_of(host_config: Mapping[str, Any]) -> float | None:
    """The quota that the engine says it set, in CPUs; ``None`` for none."""
    if host_config.get("NanoCpus"):
        return float(host_config["NanoCpus"] / 1e9)
    quota, period = host_config.get("CpuQuota") or 0, host_config.get("CpuPeriod") or PERIOD_US
    return float(quota / period) if quota > 0 else None


def how_it_ended(state: dict[str, Any], ended: str | None = None) -> str | None:
    """What ended a container, where it did not end by itself; ``ended`` is why we did, where we did."""
    number = (state.get("ExitCode") or 0) - 128  # as an init and a shell pass a signal on
    if ended:
        return ended
    if state.get("OOMKilled"):
        return "it was killed for want of memory (OOM)"
    if state.get("Error"):
        return str(state["Error"])
    if number not in signal.valid_signals():
        return None
    return f"the worker was killed by signal {number} ({signal.strsignal(number)})"
