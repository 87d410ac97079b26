"""Speed-up models: what speed-ups at several numbers of CPUs say of the work's serial share and of contention. Pure.

Amdahl 1967, "Validity of the single processor approach": S(p) = 1 / (s + (1 - s) / p) with the serial share s.
Gunther 2007, "Guerrilla Capacity Planning", chapter 4, the Universal Scalability Law: S(p) = p / (1 + a (p - 1) +
b p (p - 1)) with contention a (which is Amdahl's s) and coherency b.

Both are linear in their parameters once turned over (p / S), and so are fitted by bounded linear least squares; each
row is divided by its p / S, so that relative errors count alike. A few points cannot tell contention from coherency:
then Amdahl's law is fitted and the result says so. Speed-ups with more workers than CPUs are load, not hardware, and
have no place here.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.cell.claims.estimates import Estimate, estimate, median, quantile

#: The Universal Scalability Law takes so many points, and these either reach so many CPUs or are so narrow (the
#: half-width of each one's interval, as a share of its value).
FEWEST_POINTS = 6
FEWEST_CPUS = 16
WIDEST = 0.01

_RESAMPLES = 500


@dataclass(frozen=True, kw_only=True)
class ScalingPoint:
    """Speed-ups measured with one worker on each of so many CPUs, at least two: one value for each round."""

    cpus: int
    speed_ups: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted model: ``serial`` and, of the Universal Scalability Law only, ``coherency``, each with the 95 % interval
    of a bootstrap over the rounds of every point."""

    model: str
    points: int
    serial: Estimate
    coherency: Estimate | None = None

    @property
    def contention_identifiable(self) -> bool:
        """Whether the points could tell what part of the loss is contention, and what coherency."""
        return self.coherency is not None

    def speed_up(self, cpus: int) -> float:
        """The speed-up that it predicts on so many CPUs."""
        coherency = self.coherency.value if self.coherency else 0.0
        return cpus / (1 + self.serial.value * (cpus - 1) + coherency * cpus * (cpus - 1))


@functools.lru_cache(maxsize=64)  # tables and documents show the same fits
def fit(points: tuple[ScalingPoint, ...]) -> Fit:
    """Fit the model that so many points allow. Raises ValueError without a point, for one CPU, or for a speed-up that
    is not above 0."""
    if not points:
        raise ValueError("no points: there is no model")
    if any(point.cpus < 2 or min(point.speed_ups, default=0.0) <= 0 for point in points):
        raise ValueError("a point needs at least two CPUs, and speed-ups above 0")
    universal = _is_enough(points)
    generator = random.Random(1)
    found = _solve([(point.cpus, median(point.speed_ups)) for point in points], universal)

    ways = [(point.cpus, resampled(point.speed_ups, generator)) for point in points]
    drawn = [_solve([(cpus, draw()) for cpus, draw in ways], universal) for _ in range(_RESAMPLES)]
    size = sum(len(point.speed_ups) for point in points)
    estimates = [
        Estimate(value, quantile(column, 0.025), quantile(column, 0.975), size)
        for value, column in zip(found, zip(*drawn, strict=True), strict=True)
    ]
    return Fit(
        model="Universal Scalability Law" if universal else "Amdahl",
        points=len(points),
        serial=estimates[0],
        coherency=estimates[1] if universal else None,
    )


def resampled(values: Sequence[float], generator: random.Random) -> Callable[[], float]:
    """What draws as many of these values, with replacement, and gives their median.

    It draws only the middle ones, of whose places the distribution is known: those of n uniform numbers in their order,
    the k-th of which is distributed as Beta(k, n + 1 - k), and the one below it as that number times the greatest of
    k - 1 uniform ones (David and Nagaraja 2003, "Order Statistics", sections 2.1 and 2.5).
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
    found = estimate(point.speed_ups)
    return found.high - found.low < 2 * WIDEST * found.value


def _solve(pairs: Sequence[tuple[int, float]], universal: bool) -> tuple[float, ...]:
    """The parameters, each from 0 to 1, by bounded least squares on p / S."""
    rows, wanted = [], []
    for cpus, speed_up in pairs:
        weight = speed_up / cpus
        terms = [cpus - 1.0, cpus * (cpus - 1.0)] if universal else [cpus - 1.0]
        rows.append([weight * term for term in terms])
        wanted.append(weight * (cpus / speed_up - 1))
    if not universal:
        # One unknown: what the solver would come to, without it; scipy takes longer to load than all fits together.
        slope = sum(one * to for (one,), to in zip(rows, wanted, strict=True)) / sum(one * one for (one,) in rows)
        return (min(max(slope, 0.0), 1.0),)
    from scipy.optimize import lsq_linear

    return tuple(float(one) for one in lsq_linear(rows, wanted, bounds=(0, 1)).x)
