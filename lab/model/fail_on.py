"""What makes a run a failure. It imports nothing of the lab, because many commands load it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FailOn(StrEnum):
    """Which verdicts make a run a failure (exit code 1). A surprise does unless the value is ``never``."""

    SURPRISE = "surprise"
    REFUTED = "refuted"  # also where it was expected
    INCONCLUSIVE = "inconclusive"
    NEVER = "never"


@dataclass(frozen=True)
class FailurePolicy:
    """Everything that decides whether verdicts make a run a failure."""

    #: Which verdicts do.
    fail_on: FailOn = FailOn.SURPRISE
    #: Whether an inconclusive verdict does too.
    strict: bool = False
    #: The id of a claim, or ``CLAIM@CELL`` -> the verdict that the user expects of it. Only another decisive verdict is
    #: a failure of such a claim, and with ``strict`` an inconclusive one.
    expected: Mapping[str, str] = field(default_factory=dict)

    def expectation(self, claim: str, cell: str) -> str | None:
        """The verdict that the user expects of a claim in a cell; ``None``: the user has not named it."""
        return self.expected.get(f"{claim}@{cell}") or self.expected.get(claim)
