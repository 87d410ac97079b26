"""The machine that an engine runs on, the builds of Python on it, and what the engine said of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lab.model import build
from lab.model.topology import Topology, flat


@dataclass(frozen=True, kw_only=True)
class BuildFacts:
    """One build of Python, as its probe described it."""

    #: The label that the user named it by, else the label that its Python gives it; empty: not known.
    label: str
    #: The name of its image; ``None``: it does not run from an image.
    image: str | None = None
    #: The digest of its image.
    image_id: str | None = None
    #: What the image asks for, and what the lab does instead.
    settings: Mapping[str, Any] | None = None
    #: What the Python said of itself; empty: it did not run.
    python: Mapping[str, Any] = field(default_factory=dict)
    #: How the Python was compiled; ``None``: not known.
    compiled: Mapping[str, Any] | None = None

    @property
    def is_debug(self) -> bool:
        """Whether it was compiled to find faults (``Py_DEBUG``), which makes it slow."""
        return bool((self.compiled or {}).get("debug"))

    def to_stored(self) -> dict[str, Any]:
        """The build as manifests and JSON documents have it."""
        return {
            "build": self.label,
            "image": self.image,
            "image_id": self.image_id,
            "image_settings": self.settings,
            "python": dict(self.python),
            "proof": self.compiled,
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> BuildFacts:
        """The build that a manifest of this or an earlier version has. Raises KeyError without a label."""
        return cls(
            label=stored["build"],
            image=stored.get("image"),
            image_id=stored.get("image_id"),
            settings=stored.get("image_settings"),
            python=stored.get("python") or {},
            compiled=stored.get("proof"),
        )


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What an engine and its host said of themselves; ``None`` or empty: not known."""

    #: The engine behind the interface, ``docker`` or ``podman``.
    product: str | None = None
    #: The version of the engine.
    version: str | None = None
    #: The version of the cgroup file system, ``1`` or ``2``.
    cgroup_version: str | None = None
    #: The version of the build of the host's kernel.
    kernel_version: str | None = None
    #: The microcode of the host's processors.
    microcode: tuple[str, ...] = ()

    @classmethod
    def from_stored(cls, details: Mapping[str, Any]) -> EngineFacts:
        """What the details of a machine say; any entry may be missing."""
        host, probe = details.get("host") or {}, details.get("probe") or {}
        return cls(
            product=details.get("engine_product"),
            version=details.get("engine_version"),
            cgroup_version=details.get("cgroup_version") or probe.get("cgroup_version"),
            kernel_version=host.get("kernel_version"),
            microcode=tuple(host.get("microcode") or ()),
        )


@dataclass(frozen=True, kw_only=True)
class PythonChoice:
    """Which Python was taken where the user named none, and which others are there."""

    #: Why this Python was taken; empty: the user named it, or it is not known.
    why: str = ""
    #: The names of the other builds.
    others: tuple[str, ...] = ()

    def to_stored(self) -> dict[str, Any]:
        """The choice as manifests and JSON documents have it."""
        return {"why": self.why, "others": list(self.others)}

    @classmethod
    def from_stored(cls, details: Mapping[str, Any]) -> PythonChoice:
        """The choice that the details of a machine have; an earlier version stored none."""
        stored = details.get("python_choice") or {}
        return cls(why=str(stored.get("why") or ""), others=tuple(map(str, stored.get("others") or ())))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine that an engine runs on, as an unlimited cell saw it."""

    #: The name of the engine.
    engine: str
    #: The CPU ids that cells may use.
    cpus: tuple[int, ...]
    #: The CPU ids that the host has on line.
    host_cpus: tuple[int, ...]
    #: What the engine's Python said of itself; empty: not known.
    python: Mapping[str, Any]
    #: The name of the image; ``None``: cells do not run from an image.
    image: str | None = None
    #: All that the engine and the probe said, as it is stored. Read it by ``builds`` and ``engine_facts``.
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Why the engine cannot set a quota; ``None``: it can.
    no_quota: str | None = None
    #: How the CPUs belong together; ``None``: not known.
    topology: Topology | None = None

    @property
    def cpu_topology(self) -> Topology:
        """The topology; where it is not known, one in which each CPU is a core of its own."""
        return self.topology or flat(self.cpus)

    @property
    def engine_facts(self) -> EngineFacts:
        """What the engine and its host said of themselves."""
        return EngineFacts.from_stored(self.details)

    @property
    def python_choice(self) -> PythonChoice:
        """Which Python was taken where the user named none."""
        return PythonChoice.from_stored(self.details)

    def with_choice(self, choice: PythonChoice) -> Machine:
        """The same machine with this choice of Python."""
        return replace(self, details={**self.details, "python_choice": choice.to_stored()})

    @property
    def engine_label(self) -> str:
        """The engine with its version: ``docker 27.0``, ``podman 4.3.1``."""
        facts = self.engine_facts
        return f"{facts.product or self.engine} {facts.version or ''}".strip()

    @property
    def named_builds(self) -> tuple[BuildFacts, ...]:
        """The builds that the user named; empty where the session has only one, which nobody named."""
        return stored_builds({"details": self.details})

    @property
    def builds(self) -> tuple[BuildFacts, ...]:
        """All builds: those that the user named, else the only one."""
        return self.named_builds or (self.own_build(label_of(self.python)),)

    def own_build(self, label: str) -> BuildFacts:
        """The Python that the machine was probed with, as a build of this label."""
        return BuildFacts(
            label=label,
            image=self.image,
            image_id=self.details.get("image_id"),
            settings=self.details.get("image_settings"),
            python=self.python,
            compiled=self.details.get("build"),
        )

    def with_builds(self, named: Iterable[BuildFacts]) -> Machine:
        """The same machine with these named builds."""
        return replace(self, details={**self.details, "builds": [facts.to_stored() for facts in named]})


def stored_builds(machine: Mapping[str, Any]) -> tuple[BuildFacts, ...]:
    """The named builds of a machine that is still in its stored form."""
    return tuple(map(BuildFacts.from_stored, (machine.get("details") or {}).get("builds") or ()))


def builds_of(machine: Machine) -> dict[str, BuildFacts]:
    """Each build of a machine by its label."""
    return {facts.label: facts for facts in machine.builds}


def choice_of(machine: Machine, why: str, builds: Iterable[str]) -> PythonChoice:
    """The choice of a machine's Python, for this reason, among these builds."""
    own = label_of(machine.python)
    return PythonChoice(why=why, others=tuple(dict.fromkeys(build for build in builds if build != own)))


def label_of(python: Mapping[str, Any]) -> str:
    """A Python as the user would name it: ``3.13t+gil``; empty where nothing is known of it."""
    return build.build_from_python(python).label if python else ""
