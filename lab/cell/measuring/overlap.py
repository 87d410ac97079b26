"""How many of several spans of time overlap."""

from __future__ import annotations

from typing import Sequence


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """The largest number of (start, end) spans that hold a common moment."""
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)
