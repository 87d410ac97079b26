"""Whether two sessions were measured on the same thing: what describes a machine and its builds. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.model.machine import Machine, builds_of
from lab.model.session import Session
from lab.text import names, units


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact in which two sessions differ: what it is, and how each has it."""

    what: str
    base: str
    new: str

    def __str__(self) -> str:
        return f"{self.what}: {self.base}, not {self.new}"


def machine_facts(machine: Machine) -> dict[str, str]:
    """What a machine is, by name; what is not known is not there."""
    details, python = machine.details, machine.python
    host, probe = details.get("host") or {}, details.get("probe") or {}
    found = {
        "engine": f"{machine.engine} {details.get('engine_version') or ''}".strip(),
        "processor": machine.cpu_topology.model,
        "microcode": ", ".join(host.get("microcode") or ()),
        "CPUs": _cpus(machine),
        "architecture": python.get("machine"),
        "kernel": python.get("kernel"),
        "kernel's build": host.get("kernel_version"),
        "cgroup version": details.get("cgroup_version") or probe.get("cgroup_version"),
    }
    return {name: str(value) for name, value in found.items() if value}


def paired(base: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """Which build to hold against which: those of the same label; where there are none, the only one of each side."""
    mine, theirs = dict.fromkeys(base), dict.fromkeys(new)
    if len(mine) == len(theirs) == 1:
        return dict(zip(mine, theirs, strict=True))
    return {label: label for label in mine if label in theirs}


def _facts(build: Mapping[str, Any]) -> dict[str, str]:
    """What a build is, by name; likewise."""
    found = {
        "Python": names.python_words(build["python"]),
        "image": build.get("image_id") or build["image"],
        "compiled": _short(repr(sorted(build["proof"].items()))) if build["proof"] else None,
    }
    return {name: str(value) for name, value in found.items() if value}


def differences(base: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference, ...]:
    """The facts that both know, and differ in."""
    return tuple(
        Difference(what=what, base=base[what], new=new[what])
        for what in base
        if what in new and base[what] != new[what]
    )


def of_machines(base: Machine, new: Machine) -> tuple[Difference, ...]:
    """In what two machines differ, and the builds on them that are to be held against each other."""
    return differences(machine_facts(base), machine_facts(new)) + _of_builds(builds_of(base), builds_of(new))


def of_code(base_sha256: str, new_sha256: str) -> tuple[Difference, ...]:
    """Whether the cells ran other code of the lab's; unknown, an empty hash, is no difference."""
    if not (base_sha256 and new_sha256) or base_sha256 == new_sha256:
        return ()
    return (Difference(what="code of the cells", base=_short_hash(base_sha256), new=_short_hash(new_sha256)),)


def _of_builds(
    mine: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]
) -> tuple[Difference, ...]:
    if "" in mine or "" in theirs:
        return ()
    found = paired(mine, theirs)
    if not found:
        return (Difference(what="builds", base=", ".join(mine), new=", ".join(theirs)),)
    several = len(mine) > 1 or len(theirs) > 1
    return tuple(
        replace(one, what=f"{one.what} of {label}") if several else one
        for label, other in found.items()
        for one in differences(_facts(mine[label]), _facts(theirs[other]))
    )


def session_differences(base: Session, new: Session) -> tuple[Difference, ...]:
    """In what the machines and the software of two sessions differ, those of each cell that both have among it."""
    found = of_machines(base.machine, new.machine) + of_code(base.code_sha256, new.code_sha256)
    if any(one.what.startswith("Python") for one in found):
        return found
    theirs = {one.cell.id: names.python_words(one.python) for one in new.results if one.python}
    mine = {one.cell.id: names.python_words(one.python) for one in base.results if one.python}
    cells = differences(mine, theirs)
    return found + tuple(Difference(what=f"Python in {one.what}", base=one.base, new=one.new) for one in cells)


def _cpus(machine: Machine) -> str:
    """How many, of what host, and how they belong together."""
    layout = machine.cpu_topology
    parts = [f"{units.cpus(len(machine.cpus))} of {len(machine.host_cpus)}"]
    if machine.topology:
        parts.append(f"{len(layout.cores)} cores")
        parts.append(f"{len({cpu.package for cpu in layout.cpus})} packages")
        parts.append(f"{len({cpu.node for cpu in layout.cpus})} nodes")
    return ", ".join(parts)


def _short(text: str) -> str:
    return _short_hash(hashlib.sha256(text.encode()).hexdigest())


def _short_hash(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
