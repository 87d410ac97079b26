"""Medians and intervals. Pure, and shipped into the cell: sampling stops there by the same rule that judges here."""

import functools
import random
import statistics
from typing import List, NamedTuple, Optional, Sequence


class Estimate(NamedTuple):
    """A median with its 95 % interval, in the unit of the values, and how many values it rests on."""

    value: float
    low: float
    high: float
    size: int

    def inside(self, low: Optional[float], high: Optional[float]) -> bool:
        """Whether the whole interval lies within the bounds; ``None`` is no bound."""
        return (low is None or self.low >= low) and (high is None or self.high <= high)

    def outside(self, low: Optional[float], high: Optional[float]) -> bool:
        """Whether the whole interval lies beyond one of the bounds."""
        return (low is not None and self.high < low) or (high is not None and self.low > high)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError for an empty sequence."""
    if not values:
        raise ValueError("no values: there is no median")
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie, by linear interpolation (Hyndman and Fan, type 7)."""
    if not values:
        raise ValueError("no values: there is no quantile")
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])


def estimate(values: Sequence[float], resamples: int = 1000, seed: int = 1) -> Estimate:
    """The median of values in the order measured, with a 95 % interval from a bootstrap over blocks of neighbours.

    Neighbouring rounds share their disturbances, so whole blocks of them are drawn (circular block bootstrap, Politis
    and Romano 1992; block length about the cube root of the count, Hall, Horowitz and Jing 1995). Few blocks make the
    plain percentiles too narrow; they are taken further out, as a t-interval would be (expanded percentile interval,
    Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.2).
    """
    return _bootstrapped(tuple(values), resamples, seed)


@functools.lru_cache(maxsize=256)  # claims, tables and documents rest on the same values
def _bootstrapped(values: Sequence[float], resamples: int, seed: int) -> Estimate:
    count = len(values)
    centre = median(values)
    if count == 1:
        return Estimate(centre, float("-inf"), float("inf"), 1)
    length = max(1, round(count ** (1 / 3)))
    generator = random.Random(seed)
    around = list(values) + list(values[: length - 1])
    medians: List[float] = []
    for _ in range(resamples):
        drawn: List[float] = []
        while len(drawn) < count:
            start = generator.randrange(count)
            drawn.extend(around[start : start + length])
        medians.append(median(drawn[:count]))
    tail = expanded_tail(count / length)
    return Estimate(centre, quantile(medians, tail), quantile(medians, 1 - tail), count)


def expanded_tail(blocks: float) -> float:
    """The share to cut off at each end, in the place of 0.025, when ``blocks`` independent values were resampled.

    Student's quantile by its expansion in the normal one (Abramowitz and Stegun 1964, 26.7.5).
    """
    freedom = max(blocks - 1, 2)
    z = statistics.NormalDist().inv_cdf(0.975)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return statistics.NormalDist().cdf(-t * (blocks / freedom) ** 0.5)
