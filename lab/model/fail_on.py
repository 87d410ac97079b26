"""What makes a run a failure. Light: every command that has a gate loads it."""

from __future__ import annotations

from enum import StrEnum


class FailOn(StrEnum):
    """Which verdicts make a run a failure (exit code 1); a surprise does in all of them but ``never``."""

    SURPRISE = "surprise"
    REFUTED = "refuted"  # also as expected
    INCONCLUSIVE = "inconclusive"
    NEVER = "never"
