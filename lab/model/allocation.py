"""What is asked of a batch system: which of its machines, and for how long. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What Slurm is asked for, in the words of its own options; an empty text leaves the choice to the site."""

    #: The partition: a queue of the site.
    partition: str = ""
    #: How many nodes.
    nodes: int = 1
    #: The names of the nodes, such as ``n[1-2]``.
    nodelist: str = ""
    #: The features that a node must have.
    constraint: str = ""
    #: The account that pays.
    account: str = ""
    #: The most time, in one of Slurm's forms, such as ``30`` (minutes) or ``2:00:00``.
    time: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The options of ``salloc`` and ``sbatch`` that are given: whole nodes are always asked for."""
        stored = {**self.to_stored(), "nodes": f"{self.nodes}-{self.nodes}"}
        return ("--exclusive", *(f"--{name}={value}" for name, value in stored.items()))

    def to_stored(self) -> dict[str, Any]:
        """What was asked for, as manifests have it."""
        return {name: value for name, value in asdict(self).items() if value not in ("", 1)}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Allocation:
        """What a manifest has."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})
