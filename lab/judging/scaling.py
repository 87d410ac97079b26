"""Speed-up models: the serial share and the contention of a work, from its speed-ups on several CPUs. Pure.

Amdahl 1967, "Validity of the single processor approach": S(p) = 1 / (s + (1 - s) / p) with the serial share s.
Gunther 2007, "Guerrilla Capacity Planning", chapter 4, the Universal Scalability Law: S(p) = p / (1 + a (p - 1) +
b p (p - 1)) with contention a (which is Amdahl's s) and coherency b.

The reciprocal p / S of each law is linear in its parameters, and is fitted by bounded linear least squares. Each row is
divided by its p / S, so that relative errors count the same. A few points cannot separate contention from coherency:
then Amdahl's law is fitted, and the result says so. Speed-ups with more workers than CPUs are left out, because they
show the load and not the hardware.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.cell.claims.estimates import Estimate, estimate, median, quantile

#: The Universal Scalability Law needs this many points.
FEWEST_POINTS = 6
#: It also needs a point with this many CPUs, or points that are all narrower than :data:`WIDEST`.
FEWEST_CPUS = 16
#: The half-width of a narrow point's interval, as a share of its value.
WIDEST = 0.01

_RESAMPLES = 500


@dataclass(frozen=True, kw_only=True)
class ScalingPoint:
    """Speed-ups that were measured with one worker on each CPU."""

    #: The number of CPUs, at least two.
    cpus: int
    #: One value for each round.
    speed_ups: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted model. The intervals are those of a bootstrap over the rounds of every point, at 95 %."""

    #: The name of the law.
    model: str
    #: The number of points.
    points: int
    #: The serial share (Amdahl), which is the contention of the Universal Scalability Law.
    serial: Estimate
    #: The coherency; ``None``: Amdahl's law has none.
    coherency: Estimate | None = None

    @property
    def contention_identifiable(self) -> bool:
        """Whether the points could separate contention from coherency."""
        return self.coherency is not None

    def speed_up(self, cpus: int) -> float:
        """The speed-up that the model predicts on this number of CPUs."""
        coherency = self.coherency.value if self.coherency else 0.0
        return cpus / (1 + self.serial.value * (cpus - 1) + coherency * cpus * (cpus - 1))


@functools.lru_cache(maxsize=64)  # tables and documents show the same fits
def fit(points: tuple[ScalingPoint, ...]) -> Fit:
    """The model that the number of points allows, fitted.

    Raises ValueError without a point, for a point with one CPU, and for a speed-up that is not above 0.
    """
    if not points:
        raise ValueError("no points: there is no model")
    if any(point.cpus < 2 or min(point.speed_ups, default=0.0) <= 0 for point in points):
        raise ValueError("a point needs at least two CPUs, and speed-ups above 0")
    universal = _is_enough(points)
    generator = random.Random(1)
    solution = _solve([(point.cpus, median(point.speed_ups)) for point in points], universal)

    ways = [(point.cpus, resampled(point.speed_ups, generator)) for point in points]
    drawn = [_solve([(cpus, draw()) for cpus, draw in ways], universal) for _ in range(_RESAMPLES)]
    size = sum(len(point.speed_ups) for point in points)
    estimates = [
        Estimate(value, quantile(column, 0.025), quantile(column, 0.975), size)
        for value, column in zip(solution, zip(*drawn, strict=True), strict=True)
    ]
    return Fit(
        model="Universal Scalability Law" if universal else "Amdahl",
        points=len(points),
        serial=estimates[0],
        coherency=estimates[1] if universal else None,
    )


def resampled(values: Sequence[float], generator: random.Random) -> Callable[[], float]:
    """A function that returns the median of a bootstrap sample: as many of these values, drawn with replacement.

    It draws only the values in the middle, because the distribution of their places is known. Of n uniform numbers in
    ascending order, the k-th is distributed as Beta(k, n + 1 - k). The number below it is distributed as that number
    times the largest of k - 1 uniform numbers (David and Nagaraja 2003, "Order Statistics", sections 2.1 and 2.5).
    """
    count = len(values)
    ranked, middle = sorted(values), count // 2 + 1

    def at(place: float) -> float:
        return ranked[min(int(place * count), count - 1)]

    def draw() -> float:
        above = generator.betavariate(middle, count + 1 - middle)
        if count % 2:
            return at(above)
        return (at(above) + at(above * generator.random() ** (1 / (middle - 1)))) / 2

    return draw


def _is_enough(points: Sequence[ScalingPoint]) -> bool:
    if len(points) < FEWEST_POINTS:
        return False
    return max(point.cpus for point in points) >= FEWEST_CPUS or all(map(_is_narrow, points))


def _is_narrow(point: ScalingPoint) -> bool:
    speed_up = estimate(point.speed_ups)
    return speed_up.high - speed_up.low < 2 * WIDEST * speed_up.value


def _solve(pairs: Sequence[tuple[int, float]], universal: bool) -> tuple[float, ...]:
    """The parameters, each from 0 to 1, by bounded least squares on p / S."""
    rows, wanted = [], []
    for cpus, speed_up in pairs:
        weight = speed_up / cpus
        terms = [cpus - 1.0, cpus * (cpus - 1.0)] if universal else [cpus - 1.0]
        rows.append([weight * term for term in terms])
        wanted.append(weight * (cpus / speed_up - 1))
    if not universal:
        # With one unknown no solver is needed, and scipy takes longer to load than all fits together.
        slope = sum(term * to for (term,), to in zip(rows, wanted, strict=True)) / sum(term * term for (term,) in rows)
        return (min(max(slope, 0.0), 1.0),)
    from scipy.optimize import lsq_linear

    return tuple(float(value) for value in lsq_linear(rows, wanted, bounds=(0, 1)).x)
