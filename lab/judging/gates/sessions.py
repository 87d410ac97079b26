"""What was measured for one target of a configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.model.gates import Gate, Kind
from lab.model.session import Session


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """All that was measured for one target."""

    #: The session of the target alone; ``None``: no gate needs one.
    plain: Session | None = None
    #: What a regression is measured against -> the session that measured both in turn.
    compared: Mapping[str, Session] = field(default_factory=dict)
    #: What a regression is measured against -> why the target cannot be called there, so that nothing was measured.
    uncallable: Mapping[str, str] = field(default_factory=dict)
    #: The folder of a base -> its session.
    bases: Mapping[str, Session] = field(default_factory=dict)

    def session_for(self, gate: Gate) -> Session | None:
        """The session that a gate is judged by; ``None``: it was not measured, or there is nothing to compare with."""
        if gate.against:
            return self.compared.get(gate.against)
        if gate.kind is Kind.REGRESSION and gate.base not in self.bases:
            return None
        # Where versions of a command are compared, the command has been measured beside the other one.
        return self.plain or next(iter(self.compared.values()), None)

    @property
    def all(self) -> tuple[Session, ...]:
        """Every session that was measured now."""
        return tuple(filter(None, (self.plain, *self.compared.values())))
