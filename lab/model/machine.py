"""The machine that an engine runs on, and the builds of Python on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.model import build
from lab.model.topology import Topology, flat


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine that an engine runs on: its usable CPU ids and its Python, as an unlimited cell saw them.

    ``topology`` is ``None`` where nobody has looked at how the CPUs belong together.
    """

    engine: str
    cpus: tuple[int, ...]
    host_cpus: tuple[int, ...]
    python: Mapping[str, Any]
    image: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    no_quota: str | None = None  # why the engine cannot set one
    topology: Topology | None = None

    @property
    def cpu_topology(self) -> Topology:
        """The topology; where it is not known, one in which each CPU is a core of its own."""
        return self.topology or flat(self.cpus)


def builds_of(machine: Machine) -> dict[str, Mapping[str, Any]]:
    """Each build of a machine by its label, as the probes described it: ``image``, ``image_id``, ``python`` and
    ``proof`` (how it was compiled), ``None`` where not known. One that nobody has named has the label that its Python
    gives it; empty where that is not known either."""
    alone: dict[str, Any] = {
        "build": label_of(machine.python),
        "image": machine.image,
        "image_id": machine.details.get("image_id"),
        "python": machine.python,
        "proof": machine.details.get("build"),
    }
    return {one["build"]: one for one in machine.details.get("builds") or (alone,)}


def label_of(python: Mapping[str, Any]) -> str:
    """A Python as the user would name it: ``3.13t+gil``; empty where nobody has said."""
    return build.build_from_python(python).label if python else ""
