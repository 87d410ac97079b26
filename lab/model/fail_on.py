"""What makes a run a failure. It imports nothing of the lab, because many commands load it."""

from __future__ import annotations

from enum import StrEnum


class FailOn(StrEnum):
    """Which verdicts make a run a failure (exit code 1). A surprise does unless the value is ``never``."""

    SURPRISE = "surprise"
    REFUTED = "refuted"  # also where it was expected
    INCONCLUSIVE = "inconclusive"
    NEVER = "never"
