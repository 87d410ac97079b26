"""How many CPUs this process really has: P, the CPUs it may use at once, and R, the CPU time it may use per second.

Standard library only, in Python 3.9's syntax, so that it can be used anywhere (``lab.effective_cpus()``).

Sources: man 2 sched_getaffinity; man 5 proc (``Cpus_allowed_list``); the kernel's
Documentation/admin-guide/kernel-parameters.txt (``isolcpus``) and ABI/testing/sysfs-devices-system-cpu; for quotas and
CPU sets see :mod:`lab.cell.cpus.cgroups`.
"""

from __future__ import annotations

import os
from typing import List, NamedTuple, Optional, Set, Tuple, Union

from lab.cell.cpus.affinity import affinity
from lab.cell.cpus.cgroups import Groups, look
from lab.cell.cpus.cpulist import members, render
from lab.cell.cpus.kernel_files import KernelFiles, Root, files_below
from lab.cell.cpus.rate import rate_of


class Quota(NamedTuple):
    """A quota of one level of control groups."""

    #: The folder of the control group.
    folder: str
    #: CPU time in every period, in µs.
    quota_us: Union[int, float]
    #: The length of a period, in µs of wall time.
    period_us: Union[int, float]

    @property
    def cpus(self) -> float:
        """The quota in CPUs."""
        return self.quota_us / self.period_us


class EffectiveCpus(NamedTuple):
    """What bounds this process, as far as it can be seen from inside."""

    #: P, at least 1: how many CPUs the process can keep busy at one moment. It is the size of the affinity mask, less
    #: the isolated CPUs.
    parallelism: int
    #: R, above 0: CPU seconds per second, the smaller of P and the tightest visible quota, never rounded.
    rate: float
    #: The ids of the CPUs that the process may use.
    cpus: Tuple[int, ...]
    #: The CPUs among them between which the scheduler moves nothing (``isolcpus``, isolated partitions). Processes that
    #: are not pinned do not spread over them, so they do not count for P. If all are isolated, P is 1.
    isolated: Tuple[int, ...] = ()
    #: The quotas, that of the process's own group first.
    limits: Tuple[Quota, ...] = ()
    #: The version of the hierarchy that limits CPU time.
    cgroup: Optional[int] = None
    #: Where the kernel's files disagree or say what cannot be, and what was taken; a sentence each.
    contradictions: Tuple[str, ...] = ()
    #: Whether every level of the machine's control groups is visible, so that no limit can be hidden.
    sees_all_groups: bool = False

    @property
    def throughput_workers(self) -> int:
        """⌈R⌉: with fewer busy workers, CPU time that is paid for stays unused."""
        return max(1, min([self.parallelism, *(int(-(-limit.quota_us // limit.period_us)) for limit in self.limits)]))

    @property
    def latency_workers(self) -> int:
        """⌊R⌋, at least 1: with more busy workers the quota is used up before the period ends, and all of them stand
        still until the next (the kernel's Documentation/scheduler/sched-bwc.rst)."""
        return max(1, min([self.parallelism, *(int(limit.quota_us // limit.period_us) for limit in self.limits)]))


def effective_cpus(root: Root = "/") -> EffectiveCpus:
    """What this process can use now; nothing in the kernel's files makes it fail.

    Limits can change while a process runs: ask again rather than keep the answer. ``root`` stands in for ``/`` in
    tests; below another root the affinity mask is read from ``proc/self/status``.
    """
    files = files_below(root)
    groups = look(files)
    contradictions = list(groups.odd)
    cpus = _usable(files, groups.cpuset, contradictions)
    isolated = _isolated(files, cpus, groups, contradictions)
    parallelism = max(1, len(cpus) - len(isolated))
    limits = tuple(Quota(level.folder, level.quota_us, level.period_us) for level in groups.levels)
    return EffectiveCpus(
        parallelism=parallelism,
        rate=rate_of(parallelism, [limit.cpus for limit in limits]),
        cpus=tuple(sorted(cpus)),
        isolated=tuple(sorted(isolated)),
        limits=limits,
        cgroup=groups.version,
        contradictions=tuple(contradictions),
        sees_all_groups=groups.whole,
    )


def _usable(files: KernelFiles, cpuset: str | None, contradictions: List[str]) -> Set[int]:
    """The ids in the affinity mask.

    The mask is the authority: the kernel keeps it within the CPU set and the CPUs on line (man 2 sched_getaffinity). A
    file that allows less describes something else, such as the view that lxcfs numbers from 0. Where there is no mask,
    the CPUs on line that are in the CPU set are taken for it.
    """
    online = _listed(files, "sys/devices/system/cpu/online", contradictions)
    allowed = members(cpuset)
    mask = affinity(files)
    if not mask:
        cpus = online or set(range((files.are_of_this_process and os.cpu_count()) or 1))
        cpus = cpus & (allowed or cpus) or cpus
        contradictions.append("this system does not tell the affinity mask: CPUs %s taken for it" % render(cpus))
        return cpus
    for name, listed in (("control group's CPU set", allowed), ("list of CPUs on line", online)):
        if listed and not mask <= listed:
            contradictions.append(
                "the affinity mask is %s, the %s is %s: the mask counts" % (render(mask), name, render(listed))
            )
    return mask


def _isolated(files: KernelFiles, cpus: Set[int], groups: Groups, contradictions: List[str]) -> Set[int]:
    """Those of the CPUs between which the scheduler does not balance."""
    isolated = cpus & (_listed(files, "sys/devices/system/cpu/isolated", contradictions) or set())
    isolated |= groups.unbalanced(cpus)
    return isolated if len(cpus) > 1 else set()  # with one CPU there is nothing to balance


def _listed(files: KernelFiles, name: str, contradictions: List[str]) -> Set[int] | None:
    path = files.path(name)
    text = files.text(path)
    cpus = members(text)
    if cpus is None and text != "(null)":  # which old kernels write for an empty mask
        contradictions.append("%s says %s, which is no list of CPUs" % (path, ascii((text or "")[:40])))
    return cpus
