"""Medians and intervals. Pure, and shipped into the cell: sampling stops there by the same rule that judges here."""

import random
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
    and Romano 1992; block length about the cube root of the count, Hall, Horowitz and Jing 1995).
    """
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
    return Estimate(centre, quantile(medians, 0.025), quantile(medians, 0.975), count)
