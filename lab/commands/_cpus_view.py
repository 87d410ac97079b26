"""What ``lab cpus`` has found, and the numbers that follow from it.

Python 3.9 with the standard library alone, as the command itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from lab.cell.cpus.delivered import Delivered, Explanation
    from lab.cell.cpus.effective import EffectiveCpus
    from lab.cell.cpus.worker_rules import Rule


class Belief(NamedTuple):
    """The number of CPUs that one of Python's own functions or classes goes by."""

    #: The function or class, as it is called.
    name: str
    #: The number; ``None`` where the function is missing or fails.
    number: Optional[int]
    #: What was counted, or why there is no number.
    why: str = ""


class View(NamedTuple):
    """What was found."""

    #: P and R.
    cpus: EffectiveCpus
    #: D; ``None``: not measured.
    measured: Optional[Delivered] = None
    #: Why D is what it is, or why it was not measured; ``None``: nothing is to be said of it.
    explanation: Optional[Explanation] = None
    #: The numbers that Python's own functions go by; ``None``: nobody asked for them.
    beliefs: Optional[Sequence[Belief]] = None

    @property
    def why(self) -> str:
        """Why D is what it is, in a sentence; empty where there is nothing to explain."""
        return self.explanation.sentence if self.explanation else ""

    @property
    def hidden_limit(self) -> bool:
        """Whether a limit is proven that no file shows here."""
        return bool(self.explanation and self.explanation.hidden_limit)

    @property
    def advice(self) -> Tuple[str, int, int]:
        """What the advice rests on (R, or D where a hidden limit is proven), workers for throughput, for tail latency.

        D is measured, so a D within its tolerance of a whole number counts as that number: 1.02 is one CPU, not two.
        """
        cpus, measured = self.cpus, self.measured
        if measured is None or not self.hidden_limit:
            return "R", cpus.throughput_workers, cpus.latency_workers
        from lab.cell.cpus.delivered import TOLERANCE

        most = max(1, math.ceil(measured.cpus * (1 - TOLERANCE)))
        least = max(1, math.floor(measured.cpus * (1 + TOLERANCE)))
        return "D", min(cpus.parallelism, max(most, least)), min(cpus.parallelism, least)

    @property
    def rate(self) -> float:
        """R; or D where a hidden limit is proven. A D that is nearly whole is taken as whole."""
        if self.measured is None or self.advice[0] == "R":
            return self.cpus.rate
        from lab.cell.cpus.delivered import TOLERANCE

        nearest = max(1.0, float(round(self.measured.cpus)))
        return nearest if abs(self.measured.cpus - nearest) <= TOLERANCE * nearest else self.measured.cpus

    def number(self, rule: Rule) -> int:
        """How many workers follow from a rule."""
        from lab.cell.cpus.worker_rules import workers

        return workers(rule, self.cpus.parallelism, self.rate)


def mask(cpus: EffectiveCpus) -> str:
    """Which CPUs may be used, in words."""
    from lab.cell.cpus.cpulist import render

    words = f"{'CPU' if len(cpus.cpus) == 1 else 'CPUs'} {render(cpus.cpus)} may be used"
    if cpus.isolated:
        words += f"; {render(cpus.isolated)} are isolated: unpinned work does not spread over them"
    return words


def decimal(value: float) -> str:
    """A number without a needless point, never rounded to another whole number."""
    text = f"{value:.6g}"
    return repr(value) if float(text).is_integer() and not value.is_integer() else text
