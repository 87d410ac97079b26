"""Which machine this is, beside its CPUs: what two measurements have to have in common. Python 3.9 syntax.

Sources: man 2 uname; /proc/cpuinfo (man 5 proc), whose ``microcode`` x86 alone has.
"""

from __future__ import annotations

import os
from typing import Any

from lab.cell.cpus.sysfs import Tree


def describe(root: str = "/") -> dict[str, Any]:
    """Kernel (release and version) and the revisions of the processors' microcode, as a JSON-able dict; there are
    none where the kernel does not tell."""
    system = _system()
    revisions = {fields["microcode"] for fields in Tree(root).cpuinfo.values() if fields.get("microcode")}
    return {"kernel": system.release, "kernel_version": system.version, "microcode": sorted(revisions)}


def _system() -> Any:
    """What the system says of itself. Windows lacks the quick function."""
    if hasattr(os, "uname"):
        return os.uname()
    import platform

    return platform.uname()
