"""Real processes with known limits, which the kernel sets and no file by hand, and what ``lab cpus`` says in them.

The limits are those of control groups of version 1, in the shape that the machine has them. All groups are below one
folder and all mounts in a namespace of the process, so that nothing is left of either.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

#: Where all groups of this process are made.
_TOP = f"multicore-lab-settings-{os.getpid()}"
_CGROUPS = Path("/sys/fs/cgroup")
_SECONDS = 60

_CPU, _SETS = _CGROUPS / "cpu", _CGROUPS / "cpuset"
_CALL = [sys.executable, "-m", "lab", "cpus", "--no-measure", "--format", "json"]
_JOIN = 'for group in "$OWN" "$OWN_SET"; do [ -z "$group" ] || echo $$ > "$group/tasks"; done; exec "$@"'

MOUNTS = ("unshare", "--mount", "--propagation", "private")
NAMESPACE = ("unshare", "--cgroup")
BOTH = ("unshare", "--cgroup", "--mount", "--propagation", "private")


@dataclass(frozen=True, kw_only=True)
class ProcessSetting:
    """What is set for a process, and what is true then."""

    #: The setting in words.
    words: str
    #: The groups of the CPU controller from the highest to the process's own: name -> (quota, period) in µs; a quota
    #: of -1 is none.
    groups: tuple[tuple[bytes, int, int], ...] = ()
    #: The CPUs of a group of the cpuset controller, as a kernel list.
    cpuset: str | None = None
    #: What runs the rest of the command line.
    wrap: tuple[str, ...] = ()
    #: Shell lines that run before, in the process's own namespaces: ``$CPU`` is the controller's folder, ``$OWN`` the
    #: group's, ``$TMP`` an empty one.
    script: str = ""
    #: P; ``None`` for all CPUs of the machine.
    cpus: int | None = None
    #: The tightest quota that can be seen, in CPUs.
    quota: float | None = None
    #: Whether its own group cannot be seen, so that it has to say so.
    unseen: bool = False


def in_group(
    words: str, *quotas: float, name: bytes = b"own", seen: float | None = None, **more: Any
) -> ProcessSetting:
    """A process in nested groups with these quotas in CPUs (0: none); ``seen`` is the tightest that can be seen."""
    names = [*(b"level %d" % level for level in range(1, len(quotas))), name]
    groups = tuple((name, round(quota * 100000) or -1, 100000) for name, quota in zip(names, quotas, strict=True))
    tightest = min((quota for quota in quotas if quota), default=None) if seen is None else seen
    return ProcessSetting(words=words, groups=groups, quota=tightest or None, **more)


def named(words: str, name: bytes) -> ProcessSetting:
    """A process in a group of that name, whose quota is half a CPU."""
    return in_group(f"group named {words}", 0.5, name=name)


_MOUNT = "mount -t cgroup -o cpu none $CPU"
_HIDE = "mount -t tmpfs none /sys/fs/cgroup"

SETTINGS = (
    ProcessSetting(words="no limit"),
    ProcessSetting(words="taskset, the first CPU", wrap=("taskset", "-c", "0"), cpus=1),
    ProcessSetting(words="nice 19 and batch", wrap=("chrt", "--batch", "0", "nice", "-n", "19")),
    # Quotas.
    in_group("quota 0.5", 0.5),
    in_group("quota 1.5", 1.5),
    in_group("more than the machine has", 64),
    in_group("no quota in the group", 0),
    in_group("parent 0.6, own none", 0.6, 0),
    in_group("parent 1.5, own 0.7", 1.5, 0.7),
    in_group("the highest of four is the tightest", 0.3, 0, 0.3, 0.25),
    in_group("twenty levels, the quota at the top", 0.4, *[0] * 19),
    ProcessSetting(words="a period of 10 ms", groups=((b"own", 12500, 10000),), quota=1.25),
    ProcessSetting(words="a period of 1 s", groups=((b"own", 750000, 1000000),), quota=0.75),
    in_group("a quota that is taken away again", 0.5, script='echo -1 > "$OWN/cpu.cfs_quota_us"', seen=0),
    in_group("shares alone", 0, script='echo 2 > "$OWN/cpu.shares"'),
    in_group("a group that is renamed meanwhile", 0.5, script='mv "$OWN" "$OWN renamed"'),
    # CPU sets.
    ProcessSetting(words="cpuset group of one CPU", cpuset="0", cpus=1),
    in_group("cpuset group and quota 1.5", 1.5, cpuset="0", cpus=1),
    in_group("cpuset group and taskset, quota 0.5", 0.5, cpuset="0", cpus=1, wrap=("taskset", "-c", "0")),
    # Names.
    named("with a blank at its end", b"own "),
    named("of one blank", b" "),
    named("with a tab and a colon", b"a\tb:c,d"),
    named("as mountinfo parts its fields", b"a - b"),
    named("with a backslash and digits", b"a\\040b"),
    named("with bytes that are no text", b"\xff\xfe"),
    named("with an escape and a carriage return", b"\x1b[31m\r"),
    named("that begins with dots", b"...own"),
    named("of 255 bytes", b"n" * 255),
    # Namespaces of control groups: the machine's mounts show from the parent on, /.. or more.
    in_group("own namespace", 0.5, wrap=NAMESPACE),
    in_group("own namespace, the parent is tighter", 0.4, 0, wrap=NAMESPACE),
    in_group("own namespace and process ids", 0.5, wrap=(*NAMESPACE, "--pid", "--fork", "--mount-proc")),
    in_group("own namespace, a new mount over it", 0.5, wrap=BOTH, script=f"mount -t tmpfs none $CPU; {_MOUNT}"),
    in_group(
        "own namespace, only a new mount shows, the parent is hidden",
        0.4,
        0.3,
        wrap=BOTH,
        script=f"{_HIDE}; mkdir $CPU; {_MOUNT}",
    ),
    in_group("a user's namespace", 0.5, wrap=("unshare", "--user", "--map-root-user")),
    # Mounts.
    in_group(
        "hidden by a mount on its point", 0.5, wrap=MOUNTS, script="mount -t tmpfs none $CPU", seen=0, unseen=True
    ),
    in_group("hidden by a mount on the parent", 0.5, wrap=MOUNTS, script=_HIDE, seen=0, unseen=True),
    in_group("all of /sys is hidden", 0.5, wrap=MOUNTS, script="mount -t tmpfs none /sys", seen=0, unseen=True),
    in_group(
        "hidden, and mounted again elsewhere",
        0.5,
        wrap=MOUNTS,
        script=f'mkdir "$TMP/my groups"; mount -t cgroup -o cpu none "$TMP/my groups"; {_HIDE}',
    ),
    in_group(
        "mounted twice, the later is hidden",
        0.5,
        wrap=MOUNTS,
        script='mount --bind $CPU "$TMP"; mount -t tmpfs none "$TMP"',
    ),
    in_group(
        "hidden, a subtree is bound elsewhere",
        0.6,
        0.5,
        wrap=MOUNTS,
        script=f'mount --bind "$OWN" "$TMP"; {_HIDE}',
    ),
    in_group(
        "another group is bound over its own",
        0.5,
        wrap=MOUNTS,
        script='mkdir "$TOP/other"; echo 10000 > "$TOP/other/cpu.cfs_quota_us"; mount --bind "$TOP/other" "$OWN"',
        seen=0,
        unseen=True,
    ),
    in_group(
        "read-only mounts", 0.5, wrap=MOUNTS, script="mount -o remount,bind,ro $CPU; mount -o remount,bind,ro /sys"
    ),
    in_group("another root", 0.5, wrap=MOUNTS, script='mount --rbind / "$TMP"; set -- chroot "$TMP" "$@"'),
    # What lxcfs does: files that describe something else.
    ProcessSetting(
        words="lxcfs: fewer CPUs on line",
        wrap=MOUNTS,
        script='echo 0 > "$TMP/f"; mount --bind "$TMP/f" /sys/devices/system/cpu/online',
    ),
    ProcessSetting(
        words="lxcfs: more CPUs on line",
        wrap=MOUNTS,
        script='echo 0-63 > "$TMP/f"; mount --bind "$TMP/f" /sys/devices/system/cpu/online',
    ),
    ProcessSetting(
        words="lxcfs: other /proc/cpuinfo and /proc/stat",
        wrap=MOUNTS,
        script='echo "processor : 0" > "$TMP/f"; mount --bind "$TMP/f" /proc/cpuinfo; mount --bind "$TMP/f" /proc/stat',
    ),
    in_group(
        "lxcfs: CPUs numbered from 0, taskset and quota",
        0.5,
        wrap=(*MOUNTS, "taskset", "-c", "1"),
        script='echo 0 > "$TMP/f"; mount --bind "$TMP/f" /sys/devices/system/cpu/online',
        cpus=1,
    ),
)


def ask(setting: ProcessSetting) -> dict[str, Any]:
    """What ``lab cpus`` says in a process with that setting."""
    command = ["sh", "-c", _JOIN, "sh", *setting.wrap, "sh", "-ec", f'{setting.script}\nexec "$@"', "sh", *_CALL]
    with tempfile.TemporaryDirectory(prefix="lab ") as folder, _groups(setting) as places:
        environment = {**os.environ, **places, "CPU": str(_CPU), "TMP": folder, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace"
        )
    if done.returncode or done.stderr:
        raise RuntimeError(f"{setting.words}: exit code {done.returncode}: {done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def wrong(setting: ProcessSetting, document: Mapping[str, Any], all_cpus: int) -> list[str]:
    """What is not as it should be in what ``lab cpus`` said; ``all_cpus`` is the number of the machine's CPUs."""
    parallelism = setting.cpus or all_cpus
    rate = min(parallelism, setting.quota or parallelism)
    advice = document["advice"]
    said = any("its own limit cannot be seen" in sentence for sentence in document["contradictions"])
    pairs = {
        "P": (document["parallelism_cpus"], parallelism),
        "R": (document["rate_cpus"], rate),
        "for throughput": (advice["throughput_workers"], max(1, math.ceil(rate))),
        "for latency": (advice["latency_workers"], max(1, math.floor(rate))),
        "its group is unseen": (said, setting.unseen),
    }
    return [f"{name}: {seen}, not {right}" for name, (seen, right) in pairs.items() if seen != right]


def impossible() -> str | None:
    """Why these settings cannot be made here; ``None`` where they can."""
    if os.geteuid() != 0:
        return "control groups and mounts need root"
    if not (_CPU / "cpu.cfs_quota_us").exists() or not _SETS.is_dir():
        return "the controllers cpu and cpuset are not in control groups of version 1"
    return None


def left_out() -> list[str]:
    """Which settings are not tried, and why: a sentence each."""
    reason = impossible()
    if reason:
        return [f"processes in control groups: {reason}"]
    return [
        "quotas, partitions and groups of threads of version 2: the CPU controller is in version 1 here",
        "a hierarchy mounted noprefix: the kernel allows it only where the hierarchy is not mounted yet",
        "isolated CPUs: they are set when a machine starts (isolcpus), or take its CPUs from all others",
    ]


@contextlib.contextmanager
def _groups(setting: ProcessSetting) -> Iterator[dict[str, str]]:
    """Makes the groups; removes them afterwards, and all that was made below them."""
    own, sets = _CPU / _TOP, _SETS / _TOP
    try:
        own.mkdir()
        for name, quota, period in setting.groups:
            own /= os.fsdecode(name)
            own.mkdir()
            (own / "cpu.cfs_period_us").write_text(str(period))
            (own / "cpu.cfs_quota_us").write_text(str(quota))
        if setting.cpuset is not None:
            sets.mkdir()
            (sets / "cpuset.mems").write_text((_SETS / "cpuset.mems").read_text())
            (sets / "cpuset.cpus").write_text(setting.cpuset)
        yield {"TOP": str(_CPU / _TOP), "OWN": str(own), "OWN_SET": "" if setting.cpuset is None else str(sets)}
    finally:
        for top in (_CPU / _TOP, _SETS / _TOP):
            for folder, _, _ in sorted(os.walk(top), reverse=True):
                Path(folder).rmdir()
