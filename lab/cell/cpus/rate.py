"""R, the rate: how much CPU time a process may use per second of wall time."""

from __future__ import annotations

from typing import Iterable


def rate_of(parallelism: int, quotas: Iterable[float]) -> float:
    """R, in CPUs: the smallest of P and every quota (in CPUs); never rounded."""
    return float(min([parallelism, *quotas]))
