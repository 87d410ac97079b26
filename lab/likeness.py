"""Whether two sessions were measured on the same thing: what describes a machine and its software. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from lab import units
from lab.model import Machine, Session


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
        "processor": machine.layout.model,
        "microcode": ", ".join(host.get("microcode") or ()),
        "CPUs": _cpus(machine),
        "architecture": python.get("machine"),
        "kernel": python.get("kernel"),
        "kernel's build": host.get("kernel_version"),
        "cgroup version": details.get("cgroup_version") or probe.get("cgroup_version"),
    }
    return {name: str(value) for name, value in found.items() if value}


def build_facts(machine: Machine, code_sha256: str) -> dict[str, str]:
    """What ran on it: the Python, the image, how it was compiled, and the lab's own code; likewise."""
    build = machine.details.get("build")
    found = {
        "Python": python_of(machine.python),
        "image": machine.details.get("image_id") or machine.image,
        "compiled": _short(repr(sorted(build.items()))) if build else None,
        "code of the cells": _short_hash(code_sha256),
    }
    return {name: str(value) for name, value in found.items() if value}


def python_of(python: Mapping[str, object]) -> str:
    """A Python in a few words: ``CPython 3.13.5 with the GIL``; empty where nobody has said."""
    if not python:
        return ""
    gil = "with the GIL" if python["gil_enabled"] else "without the GIL"
    return f"{python['implementation']} {python['release']} {gil}"


def differences(base: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference, ...]:
    """The facts that both know, and differ in."""
    return tuple(
        Difference(what=what, base=base[what], new=new[what])
        for what in base
        if what in new and base[what] != new[what]
    )


def between(base: Session, new: Session) -> tuple[Difference, ...]:
    """In what the machines and the software of two sessions differ, those of each cell that both have among it."""
    found = differences(machine_facts(base.machine), machine_facts(new.machine))
    found += differences(build_facts(base.machine, base.code_sha256), build_facts(new.machine, new.code_sha256))
    if any(one.what == "Python" for one in found):
        return found
    theirs = {one.cell.id: python_of(one.python) for one in new.results if one.python}
    mine = {one.cell.id: python_of(one.python) for one in base.results if one.python}
    cells = differences(mine, theirs)
    return found + tuple(Difference(what=f"Python in {one.what}", base=one.base, new=one.new) for one in cells)


def _cpus(machine: Machine) -> str:
    """How many, of what host, and how they belong together."""
    layout = machine.layout
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
