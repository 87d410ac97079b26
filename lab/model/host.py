"""A host: a machine whose engine ran a part of a session, as the joined session keeps it. Frozen data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Host:
    """One of several hosts that a session was run on at the same time."""

    #: The name of the host in tables.
    name: str
    #: The id of the session that it ran; empty: it ran none.
    session: str = ""
    #: How many CPUs cells may use there; 0: not known.
    cpus: int = 0
    #: What describes the host and its Pythons, by name.
    facts: Mapping[str, str] = field(default_factory=dict)
    #: By how much its clock is ahead of that of the machine that the lab ran on, in seconds; ``None``: not known.
    clock_seconds: float | None = None
    #: Why it did not run all that it was asked to; empty: it did, or its cells say why not.
    reason: str = ""

    def to_stored(self) -> dict[str, Any]:
        """The host as the arguments of a session have it."""
        return {
            "name": self.name,
            "session": self.session,
            "cpus": self.cpus,
            "facts": dict(self.facts),
            "clock_seconds": self.clock_seconds,
            "reason": self.reason,
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Host:
        """The host that the arguments of a session have. Raises KeyError without a name."""
        return cls(
            name=stored["name"],
            session=stored.get("session") or "",
            cpus=stored.get("cpus") or 0,
            facts=stored.get("facts") or {},
            clock_seconds=stored.get("clock_seconds"),
            reason=stored.get("reason") or "",
        )


def name_of(host: str) -> str:
    """The name in tables of a host that the user has written like this: of an address, all but its protocol."""
    return host.partition("://")[2] or host
