"""What the container of a program of the user's has, besides its limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Mount(NamedTuple):
    """A folder of the user's that a container sees under the same path."""

    #: The folder.
    folder: str
    #: Whether the container may only read it.
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the container of a program of the user's has, besides its limit."""

    #: The folders of the user's.
    mounts: tuple[Mount, ...] = ()
    #: The name of the network; empty: none.
    network: str = ""
    #: The program that comes before the command; empty: none; ``None``: the entry point of the image.
    entrypoint: str | None = None
    #: The most memory that it may hold, in bytes; ``None``: as much as there is.
    memory_bytes: int | None = None

    def to_stored(self) -> dict[str, Any]:
        """The room as a manifest has it."""
        return {
            "mounts": [list(mount) for mount in self.mounts],
            "network": self.network,
            "entrypoint": self.entrypoint,
            "memory_bytes": self.memory_bytes,
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Room:
        """The room that :meth:`to_stored` has written."""
        mounts = tuple(Mount(*mount) for mount in stored["mounts"])
        return cls(
            mounts=mounts,
            network=stored["network"],
            entrypoint=stored["entrypoint"],
            memory_bytes=stored.get("memory_bytes"),
        )
