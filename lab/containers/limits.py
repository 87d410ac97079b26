"""Whether an engine sets the limits that it is asked for: it is tried, because its own words are no proof.

Rootless Podman on version 1 of the control groups says that it has CPU sets and quotas. It drops both without a
warning, and its containers run on every CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab.cell.cpus import cpulist
from lab.containers.cleanup import remove_container
from lab.containers.client import SESSION_LABEL, translated
from lab.containers.container import create_container, isolated_host_config, quota_of
from lab.errors import EngineError
from lab.model.cell import PERIOD_US

if TYPE_CHECKING:
    from docker import DockerClient

#: The quota that is tried, in CPUs. Every machine has half a CPU.
_QUOTA_CPUS = 0.5

_ELSE = "or use --engine local"


def try_limits(
    client: DockerClient, image: str, session: str, cpus: tuple[int, ...], info: Mapping[str, Any]
) -> str | None:
    """Why the engine sets no quota; ``None``: it sets CPU sets and quotas.

    A container with both limits is created and looked at. It is never started, which makes this quick. ``info`` is what
    the engine said of itself. Raises EngineError, with the exact fix, if the engine sets no CPU set.
    """
    limit = {"cpuset_cpus": cpulist.render(cpus), "cpu_period": PERIOD_US, "cpu_quota": round(_QUOTA_CPUS * PERIOD_US)}
    host = isolated_host_config(len(cpus)) | limit
    with translated("trying a CPU set and a quota"):
        container = create_container(client, image, ["true"], host, labels={SESSION_LABEL: session})["Id"]
        try:
            given = client.api.inspect_container(container)["HostConfig"]
        finally:
            remove_container(client, container)
    if cpulist.parse(given.get("CpusetCpus") or "") != cpus:
        raise EngineError(
            f"there are no CPU sets here: the engine was asked for CPUs {limit['cpuset_cpus']}, and set"
            f" {given.get('CpusetCpus') or 'none'}{_kind(info)}",
            fix(info),
        )
    return None if quota_of(given) == _QUOTA_CPUS else f"this engine sets no quota{_kind(info)}"


def _kind(info: Mapping[str, Any]) -> str:
    """What the engine is, where that explains why it sets no limit."""
    return f" (it is rootless, on version {_version(info)} of the control groups)" if _is_rootless(info) else ""


def fix(info: Mapping[str, Any]) -> str:
    """How such an engine gets CPU sets, by what it said of itself."""
    if not _is_rootless(info):
        return f"boot a kernel with the cpuset controller, without cgroup_disable=cpuset, {_ELSE}"
    if _version(info) == "1":
        return (
            "use the engine that runs as root; or boot with systemd.unified_cgroup_hierarchy=1, and delegate the"
            f" controllers to your user (Delegate=cpu cpuset); {_ELSE}"
        )
    return (
        "write [Service] and Delegate=cpu cpuset io memory pids into"
        f" /etc/systemd/system/user@.service.d/delegate.conf, run systemctl daemon-reload, and log in again; {_ELSE}"
    )


def _is_rootless(info: Mapping[str, Any]) -> bool:
    """Whether the engine runs without root: Podman has an entry of its own, Docker a security option."""
    return bool(info.get("Rootless")) or any("name=rootless" in str(it) for it in info.get("SecurityOptions") or ())


def _version(info: Mapping[str, Any]) -> str:
    return str(info.get("CgroupVersion") or "1")
