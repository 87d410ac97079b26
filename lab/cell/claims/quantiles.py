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
        max(0, math.floor(math.log(max(one, _FIRST_SECONDS) / _FIRST_SECONDS, _FACTOR))) for one in times
    )
    return [[place, bins[place]] for place in sorted(bins)]


def seconds_of(place: int) -> float:
    """The middle of a bin, in seconds."""
    return float(_FIRST_SECONDS * _FACTOR ** (place + 0.5))


def quantile_in(histograms: Sequence[Sequence[Sequence[int]]], share: float) -> float:
    """The time, in seconds, below which this share of all that these histograms hold lies: the smallest that at least
    so many do not exceed (Hyndman and Fan, type 1). Raises ValueError when they hold nothing."""
    bins: collections.Counter[int] = collections.Counter()
    for one in histograms:
        for place, number in one:
            bins[place] += number
    left = math.ceil(share * sum(bins.values()))
    for place in sorted(bins):
        left -= bins[place]
        if left <= 0:
            return seconds_of(place)
    raise ValueError("no times: there is no quantile")


def quantile_times(arm: str, share: float) -> Measured:
    """A quantile of the times that the tasks of one arm took in all rounds, in seconds: a hundredth of the tasks of one
    round is less than one task."""
    return _pooled(
        (arm,), lambda rounds: quantile_in([blocks[arm]["times"] for blocks in rounds], share), unit="s"
    )._replace(better="lower")


def quantile_ratio(slow: str, quick: str, share: float, describe: Callable[[float], str] = unsaid) -> Measured:
    """The ratio of that quantile of two arms."""

    def ratio(rounds: Sequence[Round]) -> float:
        first, last = ([blocks[arm]["times"] for blocks in rounds] for arm in (slow, quick))
        return quantile_in(first, share) / quantile_in(last, share)

    return _pooled((slow, quick), ratio, describe)


def _pooled(
    arms: tuple[str, ...],
    of: Callable[[Sequence[Round]], float],
    describe: Callable[[float], str] = unsaid,
    unit: str = "",
) -> Measured:
    return Measured(arms, lambda blocks: of([blocks]), describe, unit, pooled=of)
