"""``docker run`` settings with known limits, and what ``lab cpus`` says in them."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lab
from lab.containers.client import SESSION_LABEL
from tests.support.paths import TESTS

if TYPE_CHECKING:
    from docker import DockerClient

#: A group above the container's, with a quota of its own; it is made for the time of one setting.
PARENT = "multicore-lab-limited"
PARENT_CPUS = 0.6

#: Runs the rest of the command line on the first CPU only, as taskset does, which small images lack.
_NARROW = (
    "import os, sys; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); os.execvp(sys.argv[1], sys.argv[1:])"
)

_CGROUPS = Path("/sys/fs/cgroup")
#: How often a hidden limit is looked for, and how long a container may take each time.
_TRIES, _SECONDS = 5, 60

_CALL = ["python3", "-m", "lab", "cpus", "--format", "json"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is set (as ``docker run`` spells it, and for the SDK) and what is true then.

    ``cpus`` is how many CPUs the container may use, ``None`` for all; ``quota`` the CPU time that it may use, whoever
    limits it; ``visible`` the part of that which shows inside.
    """

    words: str
    options: Mapping[str, Any] = field(default_factory=dict)
    cpus: int | None = None
    quota: float | None = None
    visible: float | None = None
    version: str = "3.13"
    command: tuple[str, ...] = ()
    parent: bool = False
    #: Part of every sentence that it has to say about the kernel's files; empty where they all agree.
    remark: str = ""

    @property
    def hidden(self) -> bool:
        """Whether no file inside shows the quota, so that only D can."""
        return self.quota is not None and self.visible is None

    @property
    def image(self) -> str:
        """The image that it runs in."""
        return f"multicore-lab-base:{self.version}"


def quota(words: str, cpus: float, version: str = "3.13", **options: Any) -> Setting:
    """A setting with a quota that shows inside."""
    return Setting(words=words, options=options, quota=cpus, visible=cpus, version=version)


def limited_parent(
    words: str, visible: float | None, quota: float = PARENT_CPUS, below: str = "", **options: Any
) -> Setting:
    """A setting below a group with a quota, or further below it."""
    options["cgroup_parent"] = f"/{PARENT}{below}"
    return Setting(
        words=f"in a limited parent {words}".strip(), options=options, quota=quota, visible=visible, parent=True
    )


_HALF_MORE = 1_500_000_000
_HARDENED: dict[str, Any] = {"read_only": True, "user": "1234:1234", "cap_drop": ["ALL"], "network_mode": "none"}

_HOST_GROUPS = {str(_CGROUPS): {"bind": str(_CGROUPS), "mode": "ro"}}


def _made_up(name: str, place: str) -> dict[str, Any]:
    """A file in the place of one of the kernel's, as lxcfs does it."""
    return {"volumes": {str(TESTS / "data" / "lxcfs" / name): {"bind": place, "mode": "ro"}}}


SETTINGS = (
    Setting(words="no limit"),
    Setting(words="--cpuset-cpus 0", options={"cpuset_cpus": "0"}, cpus=1),
    quota("--cpus 0.5", 0.5, nano_cpus=500_000_000),
    quota("--cpus 1.1", 1.1, nano_cpus=1_100_000_000),
    quota("--cpus 1.5", 1.5, nano_cpus=_HALF_MORE),
    quota("--cpus 2", 2, nano_cpus=2_000_000_000),
    quota("--cpu-period 20000 --cpu-quota 25000", 1.25, cpu_period=20000, cpu_quota=25000),
    quota("--cpu-period 1000000 --cpu-quota 750000", 0.75, cpu_period=1_000_000, cpu_quota=750_000),
    Setting(words="--cpu-shares 2", options={"cpu_shares": 2}),
    Setting(
        words="--cpuset-cpus 0 --cpus 1.5",
        options={"cpuset_cpus": "0", "nano_cpus": _HALF_MORE},
        cpus=1,
        quota=1.5,
        visible=1.5,
    ),
    Setting(words="--cpuset-cpus 0,1", options={"cpuset_cpus": "0,1"}, cpus=2),
    quota("--cpuset-cpus 0-1 --cpus 1.5", 1.5, cpuset_cpus="0-1", nano_cpus=_HALF_MORE),
    quota("--cpus 0.5 --cpu-shares 2", 0.5, nano_cpus=500_000_000, cpu_shares=2),
    quota("--cpus 1.5 --pid host", 1.5, nano_cpus=_HALF_MORE, pid_mode="host"),
    quota("--cpus 1.5 -v /sys/fs/cgroup", 1.5, nano_cpus=_HALF_MORE, cgroupns="host", volumes=_HOST_GROUPS),
    quota("--cpus 1.5 -v /sys/fs/cgroup, private", 1.5, nano_cpus=_HALF_MORE, cgroupns="private", volumes=_HOST_GROUPS),
    Setting(
        words="--cpus 0.5 --tmpfs /sys/fs/cgroup",
        options={"nano_cpus": 500_000_000, "tmpfs": {str(_CGROUPS): ""}},
        quota=0.5,
        remark="cannot be seen",
    ),
    Setting(words="lxcfs: /proc/cpuinfo", options=_made_up("cpuinfo", "/proc/cpuinfo")),
    Setting(
        words="lxcfs: CPUs on line",
        options=_made_up("online", "/sys/devices/system/cpu/online"),
        remark="the mask counts",
    ),
    quota("--cpus 1.5 --cgroupns private", 1.5, nano_cpus=_HALF_MORE, cgroupns="private"),
    quota("--cpus 1.5 --cgroupns host", 1.5, nano_cpus=_HALF_MORE, cgroupns="host"),
    quota("--cpus 1.5 --read-only --user 1234", 1.5, nano_cpus=_HALF_MORE, **_HARDENED),
    quota("--cpus 1.5, Python 3.9", 1.5, "3.9", nano_cpus=_HALF_MORE),
    quota("--cpus 1.5, Python 3.15", 1.5, "3.15", nano_cpus=_HALF_MORE),
    Setting(words="--pids-limit 3", options={"pids_limit": 3}),
    Setting(words="taskset 1 inside", cpus=1, command=("python3", "-c", _NARROW)),
    limited_parent("--cgroupns host", None, cgroupns="host"),
    limited_parent("--cgroupns private", None, cgroupns="private"),
    limited_parent("--cpus 0.5", 0.5, quota=0.5, nano_cpus=500_000_000),
    limited_parent(
        "-v /sys/fs/cgroup",
        PARENT_CPUS,
        cgroupns="host",
        volumes=_HOST_GROUPS,
    ),
    limited_parent("-v /sys/fs/cgroup, private", PARENT_CPUS, cgroupns="private", volumes=_HOST_GROUPS),
    limited_parent("of a parent without", None, below="/inner", cgroupns="private"),
    limited_parent("of a parent without, -v /sys/fs/cgroup", PARENT_CPUS, below="/inner", volumes=_HOST_GROUPS),
)


def ask(client: DockerClient, setting: Setting) -> dict[str, Any]:
    """What ``lab cpus`` says in a container with that setting.

    Beside busy neighbours it may not reach a limit, which then cannot be seen, and it may seem to get more than a
    quota allows. Then it is asked again.
    """
    for _ in range(_TRIES):
        document = _ask_once(client, setting)
        seen = document["hidden_limit"] or not setting.hidden
        if seen and not (document["explanation"] or "").startswith("more than R"):
            break
    return document


def _ask_once(client: DockerClient, setting: Setting) -> dict[str, Any]:
    package = str(Path(lab.__file__).parent)
    options = dict(setting.options)
    volumes = {package: {"bind": "/opt/lab/lab", "mode": "ro"}, **options.pop("volumes", {})}
    with limited() if setting.parent else contextlib.nullcontext():
        container = client.containers.create(
            setting.image,
            [*setting.command, *_CALL],
            environment={"PYTHONPATH": "/opt/lab"},
            volumes=volumes,
            labels={SESSION_LABEL: "effective"},
            **options,
        )
        try:
            container.start()
            container.wait(timeout=_SECONDS)
            output = container.logs()  # with standard error, where nothing is to be
        finally:
            container.remove(force=True)
    document: dict[str, Any] = json.loads(output)
    return document


def wrong(setting: Setting, document: Mapping[str, Any], all_cpus: int) -> list[str]:
    """What is not as it should be in what ``lab cpus`` said; ``all_cpus`` is the number of the engine's CPUs."""
    parallelism = setting.cpus or all_cpus
    rate = min(parallelism, setting.visible or parallelism)
    true = min(parallelism, setting.quota or parallelism)
    delivery = document["measured"]
    delivered, said = delivery["cpus"], document["rate_cpus"]
    faults = []
    if document["parallelism_cpus"] != parallelism:
        faults.append(f"P is {document['parallelism_cpus']}, not {parallelism}")
    if said != rate and not (setting.parent and said == true):  # version 2 may show the parent
        faults.append(f"R is {said}, not {rate}")
    if delivered > true * 1.1 + 0.05:
        faults.append(f"D is {delivered:.2f}, and there are only {true:g} CPUs")
    if delivered < 0.9 * min(said, delivery["processes"]) and not document["explanation"]:
        faults.append(f"D is {delivered:.2f}, and nothing is said about it")
    advice = (document["advice"]["throughput_workers"], document["advice"]["latency_workers"])
    told = setting.hidden and not document["hidden_limit"] and "busy machine" in (document["explanation"] or "")
    if advice != (max(1, math.ceil(true)), max(1, math.floor(true))) and not told:
        faults.append(f"the advice is {advice}")
    remarks = document["contradictions"]
    if bool(remarks) != bool(setting.remark) or any(setting.remark not in remark for remark in remarks):
        faults.append(f"it says of the files: {remarks}")
    return faults


def no_limited_parent(client: DockerClient) -> str | None:
    """Why a group with a quota cannot be made here above a container's; ``None`` when it can."""
    info = client.info()
    if info.get("CgroupDriver") != "cgroupfs":
        return f"the engine's cgroup driver is {info.get('CgroupDriver')}, not cgroupfs"
    try:
        with limited():
            return None
    except OSError as error:
        return f"a control group cannot be made here: {error}"


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Makes the parent with its quota; removes it afterwards, and what the engine made of that name elsewhere."""
    first = (_CGROUPS / "cpu" if (_CGROUPS / "cpu").is_dir() else _CGROUPS) / PARENT
    first.mkdir()
    try:
        if first.parent == _CGROUPS:
            (first / "cpu.max").write_text(f"{PARENT_CPUS * 100000:.0f} 100000")
        else:
            (first / "cpu.cfs_quota_us").write_text(f"{PARENT_CPUS * 100000:.0f}")
        yield
    finally:
        for group in (first, *_CGROUPS.glob(f"*/{PARENT}")):
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(FileNotFoundError):
                    Path(folder).rmdir()
