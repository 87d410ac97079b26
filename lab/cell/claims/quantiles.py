"""Quantiles of times that many tasks took in many rounds: kept as histograms, so that a round fits in a record."""

from __future__ import annotations

import collections
import math
from typing import Callable, Sequence

from lab.cell.claims.claim import Round
from lab.cell.claims.measured import Measured, unsaid

#: Each bin of a histogram is longer than the last by this factor: a quantile is known to half of it.
_FACTOR = 1.05
_FIRST_SECONDS = 1e-6


def histogram(times: Sequence[float]) -> list[list[int]]:
    """Times in seconds as pairs of a bin's number and how many lie in it, in order."""
    bins = collections.Counter(
        max(0, math.floor(math.log(max(seconds, _FIRST_SECONDS) / _FIRST_SECONDS, _FACTOR))) for seconds in times
    )
    return [[place, bins[place]] for place in sorted(bins)]


def seconds_of(place: int) -> float:
    """The middle of a bin, in seconds."""
    return float(_FIRST_SECONDS * _FACTOR ** (place + 0.5))


def quantile_in(histograms: Sequence[Sequence[Sequence[int]]], share: float) -> float:
    """A quantile of all times in these histograms, in seconds.

    It is the smallest time that at least this share of the times do not exceed (Hyndman and Fan, type 1). Raises
    ValueError when the histograms are empty.
    """
    bins: collections.Counter[int] = collections.Counter()
    for pairs in histograms:
        for place, number in pairs:
            bins[place] += number
    left = math.ceil(share * sum(bins.values()))
    for place in sorted(bins):
        left -= bins[place]
        if left <= 0:
            return seconds_of(place)
    raise ValueError("no times: there is no quantile")


def quantile_times(arm: str, share: float) -> Measured:
    """A quantile of the times that the tasks of one arm took, in seconds.

    The rounds are taken together, because one round has too few tasks for a quantile near 1.
    """
    return _pooled(
        (arm,), lambda rounds: quantile_in([blocks[arm]["times"] for blocks in rounds], share), unit="s"
    )._replace(better="lower")


def quantile_ratio(slow: str, quick: str, share: float, describe: Callable[[float], str] = unsaid) -> Measured:
    """The ratio of the same quantile of two arms."""

    def ratio(rounds: Sequence[Round]) -> float:
        first, last = ([blocks[arm]["times"] for blocks in rounds] for arm in (slow, quick))
        return quantile_in(first, share) / quantile_in(last, share)

    return _pooled((slow, quick), ratio, describe)


def _pooled(
    arms: tuple[str, ...],
    statistic: Callable[[Sequence[Round]], float],
    describe: Callable[[float], str] = unsaid,
    unit: str = "",
) -> Measured:
    return Measured(arms, lambda blocks: statistic([blocks]), describe, unit, pooled=statistic)
