"""A participant of a class, or a machine of a fleet: what its sessions say, in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from lab.model.session import Verdict

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: A claim, or a number, and the limit of the cell in words: ``("pool.default-size", "2 CPUs")``.
Place = tuple[str, str]


class Trust(StrEnum):
    """What is known of a session's files."""

    INTACT = "intact"
    INCOMPLETE = "incomplete"  # it was cut short, or cells were lost
    UNVERIFIED = "unverified"  # it has no seal
    EDITED = "edited"  # a file is not as it was sealed
    UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured number."""

    #: The number.
    value: float
    #: The lower end of its 95 % interval; the number itself where it is exact.
    low: float
    #: The upper end of its 95 % interval.
    high: float


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A predicted number, and whether it was right."""

    #: The short name of the number.
    what: str
    #: What was predicted, as a text.
    predicted: str
    #: What was measured, as a text; empty: it was not measured.
    measured: str
    #: Whether it was right; ``None``: it was not measured.
    is_right: bool | None


@dataclass(frozen=True, kw_only=True)
class Participation:
    """One session of a participant."""

    #: Whose session it is.
    name: str
    #: The folder of the session.
    folder: str
    #: The name of the session.
    session: str
    #: When it began, in seconds since 1970 (UTC).
    began: float = 0.0
    #: What is known of its files.
    trust: Trust = Trust.INTACT
    #: What is wrong with its files; empty: nothing.
    fault: str = ""
    #: The sessions that it was joined of, by their names; empty: it is a session of its own.
    parts: tuple[str, ...] = ()
    #: What describes the machine, by the names of the properties.
    properties: Mapping[str, str] = field(default_factory=dict)
    #: The verdict on each claim at each limit.
    verdicts: Mapping[Place, Verdict] = field(default_factory=dict)
    #: Each measured number at each limit.
    numbers: Mapping[Place, Number] = field(default_factory=dict)
    #: Each prediction at each limit, by what it is about.
    guesses: Mapping[Place, Guess] = field(default_factory=dict)
    #: The statement of each claim, by its id.
    statements: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether its results count: those of an edited session do not."""
        return self.trust not in (Trust.EDITED, Trust.UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class Participant:
    """All sessions of one participant."""

    #: The name.
    name: str
    #: The sessions, the oldest first.
    sessions: tuple[Participation, ...]

    @property
    def properties(self) -> Mapping[str, str]:
        """What describes the machine of the newest session that counts."""
        return _newest(each.properties for each in self._counted)

    @property
    def verdicts(self) -> Mapping[Place, Verdict]:
        """The verdicts of all sessions that count; of several on one claim that of the newest."""
        return _newest(each.verdicts for each in self._counted)

    @property
    def numbers(self) -> Mapping[Place, Number]:
        """The numbers of all sessions that count; of several that of the newest."""
        return _newest(each.numbers for each in self._counted)

    @property
    def guesses(self) -> Mapping[Place, Guess]:
        """The predictions of all sessions that count; of several the first, which nobody knew the result of."""
        return _newest(each.guesses for each in reversed(self._counted))

    @property
    def _counted(self) -> list[Participation]:
        return [each for each in self.sessions if each.counts]


def _newest(values: Iterable[Mapping[_Key, _Value]]) -> Mapping[_Key, _Value]:
    """All entries; where several have the same key, the last one."""
    return {key: value for each in values for key, value in each.items()}
