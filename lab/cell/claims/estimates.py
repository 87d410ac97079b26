"""Medians and intervals. Pure, and shipped into the cell: sampling stops there by the same rule that judges here."""

import collections
import functools
import itertools
import math
import random
import statistics
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

_Round = TypeVar("_Round")

#: Of more values than this the interval is computed as it is in the limit.
MANY = 100


class Estimate(NamedTuple):
    """A median with its 95 % interval, in the unit of the values."""

    #: The median.
    value: float
    #: The lower end of the 95 % interval.
    low: float
    #: The upper end of the 95 % interval.
    high: float
    #: How many values it rests on.
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
    value = ranked[below] + (place - below) * (ranked[above] - ranked[below])
    return min(value, ranked[above])  # which rounding may miss


def estimate(values: Sequence[float]) -> Estimate:
    """The median of values in the order measured, with a 95 % interval from a bootstrap over blocks of neighbours.

    Neighbouring rounds share their disturbances, so whole blocks of rounds are drawn (circular block bootstrap, Politis
    and Romano 1992). The length of a block is about the cube root of the count (Hall, Horowitz and Jing 1995). A few
    blocks make the plain percentiles too narrow, so percentiles further out are taken, as for a t-interval. This is the
    expanded percentile interval (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.2). The
    medians of all samples are counted, not drawn: see :func:`_resampled`.
    """
    return _bootstrapped(tuple(values))


def ratio(new: Sequence[float], base: Sequence[float], confidence: float = 0.99, resamples: int = 1000) -> Estimate:
    """The median of one run over that of another, independent one, with an interval of that confidence.

    Both are resampled in blocks as in :func:`estimate`. Two runs differ when the interval leaves 1 out: at 99 % that
    happens to one pair of like runs in a hundred. Raises ValueError when one is empty.
    """
    value = median(new) / median(base)
    if min(len(new), len(base)) == 1:
        return Estimate(value, float("-inf"), float("inf"), 1)
    above, below = _medians(tuple(new), resamples, 1), _medians(tuple(base), resamples, 2)
    ratios = [numerator / denominator for numerator, denominator in zip(above, below)]
    size = min(len(new), len(base))
    tail = expanded_tail(size / block_length(size), confidence)
    return Estimate(value, quantile(ratios, tail), quantile(ratios, 1 - tail), size)


def over_rounds(
    rounds: Sequence[_Round], statistic: Callable[[Sequence[_Round]], float], resamples: int = 200, seed: int = 1
) -> Estimate:
    """A statistic of all rounds together, such as a quantile, with its 95 % interval.

    The bootstrap is that of :func:`estimate`: whole rounds are drawn, and the statistic is taken of what they hold.

    Raises ValueError for no rounds.
    """
    if not rounds:
        raise ValueError("no rounds: there is nothing to take a statistic of")
    value, count = statistic(rounds), len(rounds)
    if count == 1:
        return Estimate(value, float("-inf"), float("inf"), 1)
    results = sorted(statistic(drawn) for drawn in _drawn(rounds, resamples, seed))
    tail = expanded_tail(count / block_length(count))
    return Estimate(value, min(value, quantile(results, tail)), max(value, quantile(results, 1 - tail)), count)


@functools.lru_cache(maxsize=256)  # claims, tables and documents rest on the same values
def _bootstrapped(values: Sequence[float]) -> Estimate:
    count = len(values)
    ranked = sorted(values)  # once: there may be very many, and to sort them again costs little
    centre = median(ranked)
    if count == 1:
        return Estimate(centre, float("-inf"), float("inf"), 1)
    tail = expanded_tail(count / block_length(count))
    low, high = median_interval(ranked)
    if count > MANY:
        away = -statistics.NormalDist().inv_cdf(tail) * _spread([value <= centre for value in values])
        least, most = quantile(ranked, max(0.5 - away, 0)), quantile(ranked, min(0.5 + away, 1))
    else:
        least, most = _resampled(values, ranked, tail)
    return Estimate(centre, min(low, least), max(high, most), count)


def _resampled(values: Sequence[float], ranked: Sequence[float], tail: float) -> Tuple[float, float]:
    """The medians below and above which a share ``tail`` of the medians of all samples lies, without drawing any.

    A median is at most x when half of the values of the sample are. Their number is a sum over blocks that are drawn
    alike, so its probabilities can be added up. Maritz and Jarrett 1978 ("A Note on Estimating the Variance of the
    Sample Median") do so for values drawn singly. For an even number of values, both middle values are taken, and then
    their mean. Far out, where this function is used, the result is nearly the same.
    """
    count = len(values)

    @functools.lru_cache(maxsize=None)
    def at_most(place: int) -> List[float]:
        return _chances([value <= ranked[place] for value in values])

    def where(number: int, share: float) -> float:
        """The value that the sample's ``number``-th one, in their order, does not exceed with that chance."""
        low, high = 0, count - 1
        while low < high:
            middle = (low + high) // 2
            if sum(at_most(middle)[number:]) >= share:
                high = middle
            else:
                low = middle + 1
        return ranked[low]

    middles = {(count + 1) // 2, count // 2 + 1}
    least, most = (sum(where(middle, share) for middle in middles) / len(middles) for share in (tail, 1 - tail))
    return least, most


def _chances(below: Sequence[bool]) -> List[float]:
    """The chances that a sample holds none, one, two ... of the values marked."""
    count = len(below)
    blocks, rest = divmod(count, block_length(count))
    sums = _sums(below)

    def of_a_block(size: int) -> List[Tuple[int, float]]:
        held = collections.Counter(sums[place + size] - sums[place] for place in range(count))
        return [(number, times / count) for number, times in held.items()]

    chances = [1.0]
    for block in [of_a_block(block_length(count))] * blocks + [of_a_block(rest)]:  # the last one is cut to fit
        more = [0.0] * (len(chances) + max(block)[0])
        for number, share in block:
            for place, chance in enumerate(chances, number):
                more[place] += share * chance
        chances = more
    return chances


def _sums(below: Sequence[bool]) -> List[int]:
    """How many are marked before each place; round the end, where the first follow the last."""
    return list(itertools.accumulate([*below, *below[: block_length(len(below))]], initial=0))


def _spread(below: Sequence[bool]) -> float:
    """The standard deviation, from sample to sample, of the share of values below the median; no sample is drawn.

    A median lies below x when half of the values drawn do. Their number is a sum over blocks drawn alike. It is
    therefore normal in the limit, with the variance of the number in a block (Sun and Lahiri 2006, "Bootstrapping the
    sample quantile of a weakly dependent sequence"). Seconds of resampling become milliseconds.
    """
    count = len(below)
    length = block_length(count)
    sums = _sums(below)
    windows = [sums[place + length] - sums[place] for place in range(count)]
    total, squares = sum(windows), sum(window * window for window in windows)
    variance = (count * squares - total * total) / count**2
    return math.sqrt(variance * count / length) / count


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Tuple[float, float]:
    """The narrowest pair of values, counted in from both ends, between which the median lies with that confidence.

    Where there is no such pair, the result is both ends. Each value is as likely below the median as above it: this is
    the interval of the sign test (Conover 1999, section 3.2). Bootstrapped medians of ten values or fewer vary too
    little.
    """
    ranked = sorted(values)
    count = len(ranked)
    place = max(0, int(count / 2 - 4 * math.sqrt(count)))  # what lies further out has a chance of 1e-15
    below = _chance(place, count)
    while 1 - 2 * (below + _chance(place + 1, count)) >= confidence:
        place += 1
        below += _chance(place, count)
    return ranked[place], ranked[count - 1 - place]


def _chance(heads: int, tosses: int) -> float:
    """The probability of so many heads in so many tosses of a fair coin."""
    ways = math.lgamma(tosses + 1) - math.lgamma(heads + 1) - math.lgamma(tosses - heads + 1)
    return math.exp(ways - tosses * math.log(2))


def block_length(count: int) -> int:
    """How many neighbours are drawn together, of so many values."""
    return max(1, int(count ** (1 / 3) + 0.5))


def _medians(values: Sequence[float], resamples: int, seed: int) -> List[float]:
    return [median(drawn) for drawn in _drawn(values, resamples, seed)]


def _drawn(values: Sequence[_Round], resamples: int, seed: int) -> Iterator[List[_Round]]:
    """Samples of as many values, drawn in blocks of neighbours, the last one's being the first."""
    count = len(values)
    length = block_length(count)
    bits, draw = count.bit_length(), random.Random(seed).getrandbits
    around = list(values) + list(values[: length - 1])
    for _ in range(resamples):
        drawn: List[_Round] = []
        while len(drawn) < count:
            start = draw(bits)  # what randrange(count) does and gives, in a third of its time
            if start < count:
                drawn += around[start : start + length]
        yield drawn[:count]


def expanded_tail(blocks: float, confidence: float = 0.95) -> float:
    """The share to cut off at each end, in the place of half of what ``confidence`` leaves, when ``blocks`` independent
    values were resampled."""
    freedom = max(blocks - 1, 2)
    return statistics.NormalDist().cdf(-student(confidence, freedom) * (blocks / freedom) ** 0.5)


def student(confidence: float, freedom: float) -> float:
    """Student's two-sided quantile, by its expansion in the normal one (Abramowitz and Stegun 1964, 26.7.5): at 95 %
    within 1 % from two degrees of freedom on. Where more confidence is asked for, it is too small for few of them."""
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
