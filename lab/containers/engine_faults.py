"""Why an engine starts no container, where the engine is at fault and not the image, and the exact fix. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.cell.claims.wording import shortened
from lab.errors import EngineError
from lab.system import or_local

_Meanings = tuple[tuple[str, str, str], ...]

_SNAP = or_local("use Docker from Debian's or Docker's own packages instead of the snap's (snap remove docker)")

#: What stands in the output of a container whose program was not started: (what is said, what it means, the fix). The
#: first that fits counts. Where the image is at fault, its program is "not found", or "permission denied".
_IN_THE_OUTPUT: _Meanings = (
    (
        r"exec \S*init\S*: operation not permitted",
        "this engine forbids the init of a container and no-new-privileges, as Docker from the snap does",
        _SNAP,
    ),
    (
        r"exec \S+: operation not permitted",
        "this engine forbids programs in a container with no-new-privileges, as Docker from the snap does",
        _SNAP,
    ),
)

#: What the engine answers instead of starting a container, likewise.
_IN_THE_ANSWER: _Meanings = (
    (r"no.new.privileges", "this engine forbids containers with no-new-privileges", _SNAP),
    (
        r"(docker|container|podman)-init\b.*(not found|no such file)|catatonit|exec: \"?\S*(docker-init|tini)\"?: ",
        "this engine has no init for its containers",
        or_local("install the engine's init on its machine (docker-init or tini; for Podman catatonit)"),
    ),
    (
        "|".join(
            (
                r"unknown (or invalid )?runtime|runtime .*not found",
                r"(cannot|unable to|could not) (find|retrieve) .*runtime",
                r"(exec|stat|fork/exec):? \"?(/\S*/)?(runc|crun|containerd-shim\S*|conmon)\"?:",
            )
        ),
        "this engine has no runtime that starts its containers",
        or_local("install the runtime on its machine (runc or crun), or repair default-runtime in daemon.json"),
    ),
    (
        r"apparmor|selinux|seccomp",
        "a security profile of this engine forbids to start a container",
        or_local("look at the log of the engine's machine (dmesg, journalctl)"),
    ),
    (
        r"no space left on device",
        "the engine's machine has no space left",
        or_local("make room there (docker system df)"),
    ),
)

#: What a runtime says where it cannot limit the CPUs of a container.
_ABOUT_LIMITS = re.compile(r"cpuset|cpu\.(max|cfs)|cfs_(quota|period)|controller|cgroup|requested cpus", re.IGNORECASE)


def about_limits(text: str) -> bool:
    """Whether a runtime complains about the limits of a container."""
    return bool(_ABOUT_LIMITS.search(text))


def refusal(answer: str, info: Mapping[str, Any]) -> EngineError | None:
    """The error for an engine that answers this instead of starting a container; ``None``: it need not be at fault.

    ``info`` is what the engine said of itself.
    """
    error = _meant(answer, _IN_THE_OUTPUT + _IN_THE_ANSWER)
    if error is None and about_limits(answer):
        error = EngineError(f"this engine cannot make the control group of a container: {_quoted(answer)}", fix(info))
    return error


def forbidden(output: str) -> EngineError | None:
    """The error for a container with this output, if the engine has forbidden to start its program; else ``None``."""
    return _meant(output, _IN_THE_OUTPUT)


def _meant(text: str, meanings: _Meanings) -> EngineError | None:
    for pattern, meaning, remedy in meanings:
        if re.search(pattern, text, re.IGNORECASE):
            return EngineError(f"{meaning}: {_quoted(text)}", remedy)
    return None


def _quoted(text: str) -> str:
    return shortened(" ".join(text.split()), 200)


def fix(info: Mapping[str, Any], *, refuses: bool = False) -> str:
    """How an engine gets CPU sets, by what it said of itself.

    ``refuses``: it does not start a container with one, as where a controller is not delegated to the engine's user.
    """
    if version(info) == "1" and is_rootless(info):
        return or_local(
            "use the engine that runs as root; or boot with systemd.unified_cgroup_hierarchy=1, and delegate the"
            " controllers to your user (Delegate=cpu cpuset)",
            comma=";",
        )
    if refuses or is_rootless(info):
        return or_local(
            "write [Service] and Delegate=cpu cpuset io memory pids into"
            " /etc/systemd/system/user@.service.d/delegate.conf, run systemctl daemon-reload, and log in again",
            comma=";",
        )
    return or_local("boot a kernel with the cpu controller and the cpuset controller, without cgroup_disable")


def kind(info: Mapping[str, Any]) -> str:
    """What the engine is, where that explains why it sets no limit."""
    return f" (it is rootless, on version {version(info)} of the control groups)" if is_rootless(info) else ""


def is_rootless(info: Mapping[str, Any]) -> bool:
    """Whether the engine runs without root: Podman has an entry of its own, Docker a security option."""
    return bool(info.get("Rootless")) or any("name=rootless" in str(it) for it in info.get("SecurityOptions") or ())


def version(info: Mapping[str, Any]) -> str:
    """The version of the control groups that the engine uses."""
    return str(info.get("CgroupVersion") or "1")
