"""Whether two sessions were measured on the same thing: what describes a machine and its builds. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.judging.programs import programs_of
from lab.model.machine import BuildFacts, Machine, builds_of
from lab.model.session import Session
from lab.text import names, units


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact in which two sessions differ."""

    #: The name of the fact.
    what: str
    #: The fact in the base session.
    base: str
    #: The fact in the new session.
    new: str

    def __str__(self) -> str:
        return f"{self.what}: {self.base}, not {self.new}"


def machine_facts(machine: Machine) -> dict[str, str]:
    """The facts of a machine that matter to a measurement, by name; facts that are not known are left out."""
    engine, python = machine.engine_facts, machine.python
    facts = {
        "engine": machine.engine_label,
        "processor": machine.cpu_topology.model,
        "microcode": ", ".join(engine.microcode),
        "CPUs": _cpus(machine),
        "architecture": python.get("machine"),
        "kernel": python.get("kernel"),
        "kernel's build": engine.kernel_version,
        "cgroup version": engine.cgroup_version,
    }
    return {name: str(value) for name, value in facts.items() if value}


def paired(base: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """Which build of the new session to compare with each build of the base: the one of the same label.

    Where each session has only one build, the two are compared, whatever their labels.
    """
    base_labels, new_labels = dict.fromkeys(base), dict.fromkeys(new)
    if len(base_labels) == len(new_labels) == 1:
        return dict(zip(base_labels, new_labels, strict=True))
    return {label: label for label in base_labels if label in new_labels}


def _build_facts(build: BuildFacts) -> dict[str, str]:
    """The facts of a build, by name; facts that are not known are left out."""
    facts = {
        "Python": names.python_words(build.python),
        "image": build.image_id or build.image,
        "compiled": _short(repr(sorted(build.compiled.items()))) if build.compiled else None,
    }
    return {name: str(value) for name, value in facts.items() if value}


def differences(base: Mapping[str, str], new: Mapping[str, str]) -> tuple[Difference, ...]:
    """The differences between facts; a fact that only one side knows is no difference."""
    return tuple(
        Difference(what=what, base=base[what], new=new[what])
        for what in base
        if what in new and base[what] != new[what]
    )


def of_machines(base: Machine, new: Machine) -> tuple[Difference, ...]:
    """The differences between two machines, and between the builds on them that are compared with each other."""
    return differences(machine_facts(base), machine_facts(new)) + _of_builds(builds_of(base), builds_of(new))


def of_code(base_sha256: str, new_sha256: str) -> tuple[Difference, ...]:
    """The difference between the code that ran in the cells; an empty hash is not known, and no difference."""
    if not (base_sha256 and new_sha256) or base_sha256 == new_sha256:
        return ()
    return (Difference(what="code of the cells", base=_short_hash(base_sha256), new=_short_hash(new_sha256)),)


def of_cases(base: Session, new: Session) -> tuple[Difference, ...]:
    """The functions of the user's that have the same name in both sessions, but are called in another way."""
    base_cases, new_cases = (
        {case["label"]: _call_of(case) for case in session.arguments.get("cases") or ()} for session in (base, new)
    )
    return differences(base_cases, new_cases)


def _call_of(case: Mapping[str, Any]) -> str:
    """Everything that decides what is called, as text; how long a call takes and where the project is do not."""
    passed_over = ("label", "call_seconds", "times", "project")
    parts = ((name, value) for name, value in case.items() if value and name not in passed_over)
    return ", ".join(f"{name} {value}" for name, value in parts)


#: What decides how a program is run. How often, for how long and in which folder does not.
_OF_A_RUN = ("command", "by_shell", "environment", "setup", "prepare", "conclude", "cleanup", "warmup")


def of_programs(base: Session, new: Session) -> tuple[Difference, ...]:
    """The programs of the user's that have the same name in both sessions, but are run in another way."""
    base_runs, new_runs = (
        {
            f"{program.label} ({name})": str(getattr(program, name) or "none")
            for program in programs_of(session)
            for name in _OF_A_RUN
        }
        for session in (base, new)
    )
    return differences(base_runs, new_runs)


def _of_builds(base: Mapping[str, BuildFacts], new: Mapping[str, BuildFacts]) -> tuple[Difference, ...]:
    if "" in base or "" in new:
        return ()
    pairs = paired(base, new)
    if not pairs:
        return (Difference(what="builds", base=", ".join(base), new=", ".join(new)),)
    is_several = len(base) > 1 or len(new) > 1
    return tuple(
        replace(difference, what=f"{difference.what} of {base_label}") if is_several else difference
        for base_label, new_label in pairs.items()
        for difference in differences(_build_facts(base[base_label]), _build_facts(new[new_label]))
    )


def session_differences(base: Session, new: Session) -> tuple[Difference, ...]:
    """The differences between the machines and the software of two sessions, also in each cell that both have."""
    found = of_machines(base.machine, new.machine) + of_code(base.code_sha256, new.code_sha256) + of_cases(base, new)
    if any(difference.what.startswith("Python") for difference in found):
        return found
    base_pythons, new_pythons = (
        {result.cell.id: names.python_words(result.python) for result in session.results if result.python}
        for session in (base, new)
    )
    in_cells = differences(base_pythons, new_pythons)
    return found + tuple(replace(difference, what=f"Python in {difference.what}") for difference in in_cells)


def _cpus(machine: Machine) -> str:
    """The number of CPUs, of how many on the host, and how they belong together."""
    topology = machine.cpu_topology
    parts = [f"{units.cpus(len(machine.cpus))} of {len(machine.host_cpus)}"]
    if machine.topology:
        parts.append(f"{len(topology.cores)} cores")
        parts.append(f"{len(topology.packages)} packages")
        parts.append(f"{len(topology.nodes)} nodes")
    return ", ".join(parts)


def _short(text: str) -> str:
    return _short_hash(hashlib.sha256(text.encode()).hexdigest())


def _short_hash(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
