"""Whether an engine sets the limits that it is asked for: it is tried, because its own words are no proof.

Rootless Podman on version 1 of the control groups says that it has CPU sets and quotas. It drops both without a
warning, and its containers run on every CPU. On version 2, where a controller is not delegated to its user, it
creates a container with a limit, and cannot start it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.cell.cpus import cpulist
from lab.containers.cleanup import remove_container
from lab.containers.client import SESSION_LABEL, translated
from lab.containers.container import create_container, isolated_host_config, quota_of
from lab.containers.engine_faults import about_limits, fix, kind, refusal
from lab.errors import CellError, EngineError
from lab.model.cell import PERIOD_US

if TYPE_CHECKING:
    from docker import DockerClient

#: The quota that is tried, in CPUs. Every machine has half a CPU.
_QUOTA_CPUS = 0.5


class Trial:
    """Tries the limits of one engine with a program that ends at once."""

    def __init__(
        self,
        client: DockerClient,
        image: str,
        session: str,
        command: Sequence[str],
        user: str,
        host: Mapping[str, Any] | None = None,
    ) -> None:
        self._client = client
        self._image = image
        self._labels = {SESSION_LABEL: session}
        self._command = command
        self._user = user
        self._host = host or {}

    def no_quota(self, cpus: tuple[int, ...], info: Mapping[str, Any]) -> str | None:
        """Why the engine sets no quota; ``None``: it sets CPU sets and quotas.

        ``info`` is what the engine said of itself. Raises EngineError, with the exact fix, if the engine sets no CPU
        set, or starts no container that has one.
        """
        cpu_set: dict[str, Any] = {"cpuset_cpus": cpulist.render(cpus)}
        try:
            given, refused = self._given(cpu_set | _QUOTA), ""
        except CellError as error:
            refused = error.what
            try:
                given = self._given(cpu_set)
            except CellError as alone:
                raise _no_cpu_sets(alone, info) from alone
        if cpulist.members(given.get("CpusetCpus")) != set(cpus):
            raise EngineError(
                f"there are no CPU sets here: the engine was asked for CPUs {cpu_set['cpuset_cpus']}, and set"
                f" {given.get('CpusetCpus') or 'none'}{kind(info)}",
                fix(info),
            )
        if refused:
            return f"this engine starts no container with a quota ({refused})"
        return None if quota_of(given) == _QUOTA_CPUS else f"this engine sets no quota{kind(info)}"

    def _given(self, limit: Mapping[str, Any]) -> Mapping[str, Any]:
        """The host configuration that a container with this limit got. The container was started."""
        host = isolated_host_config(1) | dict(self._host) | dict(limit)
        with translated("trying a container with a limit"):
            container = create_container(
                self._client, self._image, self._command, host, labels=self._labels, user=self._user
            )["Id"]
            try:
                given: Mapping[str, Any] = self._client.api.inspect_container(container)["HostConfig"]
                self._client.api.start(container)
            finally:
                remove_container(self._client, container)
        return given


_QUOTA = {"cpu_period": PERIOD_US, "cpu_quota": round(_QUOTA_CPUS * PERIOD_US)}


def _no_cpu_sets(error: CellError, info: Mapping[str, Any]) -> EngineError:
    """The error for an engine that refused a container with a CPU set."""
    if about_limits(error.what):
        return EngineError(f"there are no CPU sets here: {error.what}{kind(info)}", fix(info, refuses=True))
    return refusal(error.what, info) or error
