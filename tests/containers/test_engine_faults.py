"""Whose fault it is that a container does not start, by what engines, their runtimes and inits really say."""

from __future__ import annotations

import re

import pytest

from lab.containers.engine_faults import about_limits, fix, forbidden, refusal

SNAP = "exec /sbin/docker-init: operation not permitted"

#: What an engine says -> a part of the meaning, and of the fix.
ENGINES_FAULT = [
    (SNAP, "from the snap", "snap remove docker"),
    (
        "[FATAL tini (7)] exec /usr/bin/python3 failed: x; exec /usr/bin/python3: operation not permitted",
        "snap",
        "snap",
    ),
    ('OCI runtime create failed: exec: "docker-init": executable file not found in $PATH', "no init", "catatonit"),
    (
        "container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or directory",
        "no init",
        "catatonit",
    ),
    ("Unknown runtime specified nvidia", "no runtime", "default-runtime"),
    ("unknown or invalid runtime name: crun", "no runtime", "default-runtime"),
    ('default OCI runtime "crun" not found: invalid argument', "no runtime", "runc or crun"),
    ('failed to create shim task: exec: "runc": executable file not found in $PATH', "no runtime", "runc or crun"),
    ("unable to retrieve OCI runtime error: fork/exec /usr/bin/runc: no such file", "no runtime", "runc or crun"),
    ("AppArmor enabled on system but the docker-default profile could not be loaded", "security profile", "dmesg"),
    ("mkdir /var/lib/docker/overlay2/x: no space left on device", "no space", "docker system df"),
    ("crun: the requested cgroup controller `cpuset` is not available: OCI runtime error", "control group", "kernel"),
    ("open /sys/fs/cgroup/user.slice/cpuset.cpus: no such file or directory", "control group", "kernel"),
]

IMAGES_FAULT = [
    'exec: "python3": executable file not found in $PATH: unknown',
    "crun: executable file `python3` not found in $PATH: No such file or directory",
    "[FATAL tini (7)] exec python3 failed: No such file or directory",
    "exec /usr/bin/python3: exec format error",
    "exec /usr/bin/python3: permission denied",
    "unable to find user 65534: no matching entries in passwd file",
    "",
]


@pytest.mark.parametrize(("answer", "meaning", "remedy"), ENGINES_FAULT)
def test_an_engine_at_fault_is_named_with_what_it_said_and_the_fix(answer: str, meaning: str, remedy: str) -> None:
    error = refusal(answer, {})
    assert error
    assert meaning in error.what
    assert answer[:40] in error.what
    assert remedy in error.fix
    assert error.fix.endswith("--engine local")


@pytest.mark.parametrize("answer", IMAGES_FAULT)
def test_an_image_at_fault_is_not_taken_for_the_engine(answer: str) -> None:
    assert refusal(answer, {}) is None
    assert forbidden(answer) is None


def test_only_what_no_program_says_counts_in_the_output_of_a_container() -> None:
    assert forbidden(SNAP)
    assert forbidden("ImportError: cannot import name 'seccomp'; cgroup controller; Unknown runtime specified") is None


@pytest.mark.parametrize("text", [text for text, meaning, _ in ENGINES_FAULT if meaning == "control group"])
def test_a_complaint_about_limits_is_recognised(text: str) -> None:
    assert about_limits(text)


@pytest.mark.parametrize(
    ("info", "refuses", "words"),
    [
        ({"Rootless": True, "CgroupVersion": "1"}, True, "systemd.unified_cgroup_hierarchy=1.*Delegate=cpu cpuset"),
        ({"Rootless": True, "CgroupVersion": "2"}, False, "Delegate=cpu cpuset.*user@.service.d"),
        ({"SecurityOptions": ["name=rootless"], "CgroupVersion": "2"}, False, "Delegate=cpu cpuset.*user@.service.d"),
        ({"SecurityOptions": None, "CgroupVersion": "2"}, True, "Delegate=cpu cpuset.*user@.service.d"),
        ({}, False, "boot a kernel with the cpu controller and the cpuset"),
    ],
)
def test_the_fix_fits_the_engine(info: dict[str, object], refuses: bool, words: str) -> None:
    assert re.search(words, fix(info, refuses=refuses))
