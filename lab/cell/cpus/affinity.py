"""The CPUs that a process may run on, by the scheduler's own account.

Sources: man 2 sched_getaffinity, of whose answer the kernel leaves out what is off line; man 5 proc, ``status``
(``Cpus_allowed_list``), where it does not.
"""

from __future__ import annotations

import os
import re
from typing import Optional, Set

from lab.cell.cpus.cpulist import members
from lab.cell.cpus.kernel_files import KernelFiles


def affinity(files: KernelFiles) -> Optional[Set[int]]:
    """The affinity mask of the process that ``files`` call ``self``, without CPUs that are off line.

    It is ``None`` where the system or the files do not tell it.
    """
    if files.are_of_this_process:
        try:
            return set(os.sched_getaffinity(0))
        except (AttributeError, OSError):  # not Linux; or a sandbox that forbids to ask
            return None
    mask = members(status(files, "Cpus_allowed_list"))
    return _on_line(files, mask) if mask else None


def status(files: KernelFiles, name: str) -> str:
    """The value of that name in ``proc/self/status``; empty where it is not there."""
    line = re.search(
        r"^%s:[ \t]*(.*)$" % re.escape(name), files.text(files.path("proc/self/status")) or "", re.MULTILINE
    )
    return line.group(1).strip() if line else ""


def _on_line(files: KernelFiles, mask: Set[int]) -> Set[int]:
    """The mask that a file has, without CPUs that are off line: the file also names CPUs that could be plugged in.

    The list of CPUs on line does not count here: in a container it may be a made-up view, such as that of lxcfs.
    """
    folder = "sys/devices/system/cpu"
    present = members(files.text(files.path(folder, "present"))) or mask
    switched_on = {cpu for cpu in mask if files.text(files.path(folder, "cpu%d" % cpu, "online")) != "0"}
    return mask & present & switched_on or mask
