"""The settings that keep a container apart, and what they are to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.containers.container import LOG_SIZE

#: What hardening() is to find in every container of the lab.
HARDENED = {
    "network": "none",
    "read-only": True,
    "capabilities dropped": ["ALL"],
    "capabilities added": [],
    "security options": ["no-new-privileges:true"],
    "privileged": False,
    "user": "65534:65534",
    "init": True,
    "log driver": "json-file",
    "log limit": {"max-size": LOG_SIZE, "max-file": "1"},
    "tmpfs": ["/tmp"],
    "restart": "no",
    "host namespaces": [],
}


def hardening(container: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a container that keep it apart, as the engine reports them."""
    host = container["HostConfig"]
    return {
        "network": host["NetworkMode"],
        "read-only": host["ReadonlyRootfs"],
        "capabilities dropped": host["CapDrop"],
        "capabilities added": host["CapAdd"] or [],
        "security options": host["SecurityOpt"],
        "privileged": host["Privileged"],
        "user": container["Config"]["User"],
        "init": host["Init"],
        "log driver": host["LogConfig"]["Type"],
        "log limit": host["LogConfig"]["Config"],
        "tmpfs": list(host["Tmpfs"]),
        "restart": host["RestartPolicy"]["Name"] or "no",
        "host namespaces": [name for name in ("PidMode", "IpcMode", "UTSMode", "UsernsMode") if host[name] == "host"],
    }
