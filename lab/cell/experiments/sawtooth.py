"""Sawtooth: a quota's stop-and-go, seen in the progress that 1, R and P workers make in each millisecond."""

from __future__ import annotations

import math
import multiprocessing
import time
from typing import Any, Callable, NamedTuple, Sequence

from lab.cell.claims.claim import (
    CONFIRMED,
    UNTESTABLE,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Figure,
    Finding,
    Round,
    Tolerance,
)
from lab.cell.claims.measured import Measured, enough, judge, value_of
from lab.cell.claims.recorder import Recorder
from lab.cell.cpus.cgroups import throttled_periods
from lab.cell.measuring.cell_limit import CellLimit, limit_of
from lab.cell.measuring.payloads import Tools, count
from lab.cell.measuring.processes import Workers
from lab.cell.measuring.rounds import shuffler

FEWEST_ROUNDS = 5
#: The periods that a block shows. One more period comes before them, in which the workers get into step with the quota:
#: they may begin at any time of a period, with any part of its quota left.
PERIODS = 4
#: A bin of the curve is a millisecond, or for longer periods a hundredth of a period, so that a curve fits in a record.
BIN_SECONDS = 0.001
MOST_BINS_A_PERIOD = 100

#: If no worker makes any progress for so long, a quota has stopped the CPUs. The scheduler's turns do not stop all
#: workers at once, and a lone worker waits less than this if nothing else runs.
STOP_SECONDS = 0.004
#: Stops shorter than this look like turns of the scheduler. The kernel also hands a quota out in slices of 5 ms
#: (sched-bwc.rst, sched_cfs_bandwidth_slice_us), each of which may end on another CPU.
LEAST_STOP_SECONDS = 0.01

#: Neighbours must leave the workers enough of the CPUs while they run. To show a stop at all, the workers need R over
#: this many CPUs. To show stops as long as the rule says, each worker needs this share of a CPU.
LEAST_OF_CPUS = 0.9

NEEDS = "needs a quota below the CPUs: lab run sawtooth --quota 0.5,1.5"


def name_of(workers: int) -> str:
    return "%d worker%s" % (workers, "" if workers == 1 else "s")


def apart_name(workers: int) -> str:
    return name_of(workers) + ", a CPU each"


class CurveSpan(NamedTuple):
    """The times that the workers of a block keep to."""

    #: When the curve begins, on the monotonic clock.
    start: float
    #: The length of a bin, in seconds.
    bin_seconds: float
    #: How many bins the curve has.
    bins: int
    #: How long the workers work before the curve begins, in seconds.
    warm_seconds: float


def progress(span: CurveSpan) -> tuple[list[int], float]:
    """Compute without a pause over the span. Returns (units of work in each bin, CPU seconds)."""
    tools = Tools(b"", None)
    units = [0] * span.bins
    time.sleep(max(0.0, span.start - span.warm_seconds - time.monotonic()))
    while time.monotonic() < span.start:
        count(tools)
    cpu = time.thread_time()
    while True:
        place = int((time.monotonic() - span.start) / span.bin_seconds)
        if place >= span.bins:
            break
        units[place] += 1  # a unit counts when it begins, so that a unit in which a stop comes counts before the stop
        count(tools)
    return units, time.thread_time() - cpu


def _begin() -> Callable[[CurveSpan], tuple[list[int], float]]:
    return progress


class Team(Workers):
    """Persistent worker processes; use as a context manager. They are not pinned, as a user's workers are not."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        context = multiprocessing.get_context("fork")
        with self.all_or_none(workers):
            for _ in range(workers):
                self.start(context, _begin)

    def block(self, workers: int, limit: CellLimit) -> tuple[dict[str, Any], list[int]]:
        """Let so many workers compute at once. Returns the record by :func:`block_of`, and the curve.

        The curve has the units of work that all workers did in each bin.
        """
        span = span_of(limit.period_seconds)
        before = throttled_periods()
        for pipe in self.pipes[:workers]:
            pipe.send(span)
        answers = [pipe.recv() for pipe in self.pipes[:workers]]
        stopped_periods = throttled_periods() - before
        curve = [sum(bins) for bins in zip(*(units for units, _ in answers))]
        cores = sum(cpu for _, cpu in answers) / (span.bins * span.bin_seconds)
        return block_of(workers, curve, span.bin_seconds, limit, cores, stopped_periods), curve


def span_of(period_seconds: float) -> CurveSpan:
    """The span of a block that begins now. It shows :data:`PERIODS` periods.

    It shows more of the periods that are shorter than usual, because the number of bins stays the same.
    """
    bin_seconds = max(BIN_SECONDS, period_seconds / MOST_BINS_A_PERIOD)
    bins = PERIODS * MOST_BINS_A_PERIOD
    warm_seconds = max(period_seconds, 0.02)
    return CurveSpan(time.monotonic() + 0.005 + warm_seconds, bin_seconds, bins, warm_seconds)


def stops(curve: Sequence[int], bin_seconds: float) -> list[tuple[int, int]]:
    """The stretches of at least :data:`STOP_SECONDS` without progress: (first bin, bin after the last) of each."""
    stretches: list[tuple[int, int]] = []
    first: int | None = None
    for place, units in enumerate([*curve, 1]):
        if units and first is not None:
            if (place - first) * bin_seconds >= STOP_SECONDS - 1e-9:
                stretches.append((first, place))
            first = None
        elif not units and first is None:
            first = place
    return stretches


def stopping_periods(curve: Sequence[int], bin_seconds: float, period_seconds: float) -> tuple[int, int]:
    """Count periods: (whole periods with a stop, whole periods).

    The first period begins at the end of the first stop, because the kernel filled the quota up then. Nothing else
    shows a cell when its periods begin.
    """
    stretches = stops(curve, bin_seconds)
    length = round(period_seconds / bin_seconds)
    anchor = stretches[0][1] if stretches else 0
    starts = range(anchor, len(curve) - length + 1, length)
    # A stop ends where its period ends, so a stop that begins within a period belongs to that period.
    with_stop = sum(any(start <= first < start + length for first, _ in stretches) for start in starts)
    return with_stop, len(starts)


def block_of(
    workers: int, curve: Sequence[int], bin_seconds: float, limit: CellLimit, cores: float, stopped_periods: int
) -> dict[str, Any]:
    """The record of one block.

    - ``stopped``: the share of the time in which no worker made progress;
    - ``longest``: the longest stop, in seconds;
    - ``periods`` and ``with_stop``: how many periods there were, and how many of them had a stop;
    - ``every``: the share of the periods that had a stop;
    - ``cores``: CPU seconds per second;
    - ``stopped_periods``: the kernel's own count, including the period before the curve;
    - ``disturbed``: why the block must not count, or ``None``.
    """
    lengths = [end - first for first, end in stops(curve, bin_seconds)]
    with_stop, periods = stopping_periods(curve, bin_seconds, limit.period_seconds)
    block = {
        "stopped": round(sum(lengths) / len(curve), 5),
        "longest": round(max(lengths or [0]) * bin_seconds, 6),
        "periods": periods,
        "with_stop": with_stop,
        "every": round(with_stop / periods, 5) if periods else 0.0,
        "cores": round(cores, 5),
        "stopped_periods": stopped_periods,
    }
    least = min(limit.rate / LEAST_OF_CPUS, LEAST_OF_CPUS * workers)
    return dict(block, disturbed=disturbance(least, block))


def disturbance(least: float, block: dict[str, Any]) -> str | None:
    """Why a block does not show what the quota does; ``None`` where it shows it.

    Either its workers stood still although the kernel counted no stop by a quota, or they had less than ``least`` CPUs
    while they ran. Workers that a quota does not stop count only if they used at least that.
    """
    if block["stopped"] and not block["stopped_periods"]:
        return "lost time"
    if not block["periods"] or block["cores"] < least * (1 - block["stopped"]):
        return "run delay"
    return None


def apart(workers: int, block: dict[str, Any]) -> dict[str, Any]:
    """The same block as evidence of how long a stop is. For this each worker must have had nearly a whole CPU."""
    cause = block["disturbed"] or disturbance(LEAST_OF_CPUS * workers, block)
    return {"stopped": block["stopped"], "disturbed": cause}


def run(recorder: Recorder) -> None:
    limit = limit_of(recorder)
    if not limit.quota:
        recorder.tell("no quota holds this cell to less than its CPUs: nothing is measured")
        return
    teams = team_sizes(limit.cpus, limit.rate)
    recorder.observe("limit", {"rate": limit.rate, "period_seconds": limit.period_seconds, "workers": teams})
    order = shuffler(recorder.seed)
    rounds: list[Round] = []
    curves: dict[int, list[int]] = {}
    needs = [need(limit.cpus, limit.rate, limit.period_seconds) for need in NEEDED]
    criteria = [(measured, tolerance) for measured, tolerance, obstacle in needs if obstacle is None]
    until = time.monotonic() + recorder.seconds
    with Team(limit.cpus) as team:
        while not enough(rounds, FEWEST_ROUNDS, criteria, until):
            blocks = {}
            for workers in order.sample(teams, len(teams)):
                block, curves[workers] = team.block(workers, limit)
                blocks.update({name_of(workers): block, apart_name(workers): apart(workers, block)})
                recorder.sample("curve", {name_of(workers): {"round": len(rounds), "done": curves[workers]}})
            rounds.append(blocks)
            recorder.sample("round", blocks)
    for workers in teams:
        draw(recorder, workers, curves[workers])


def team_sizes(cpus: int, rate: float) -> list[int]:
    """The numbers of workers: 1, R (rounded up) and P, without repetitions."""
    return sorted({1, math.ceil(rate), cpus})


#: The letters for a part of a period: no progress, and up to a third, two thirds and all of the best progress.
_MARKS = " .:#"
_COLUMNS = 25


def draw(recorder: Recorder, workers: int, curve: Sequence[int]) -> None:
    """Show a curve, with a line for each period."""
    length = len(curve) // PERIODS
    for period in range(PERIODS):
        part = curve[period * length : (period + 1) * length]
        # The scale ends at the ninth decile, because the best bin may have a unit more by chance.
        recorder.tell("%s |%s|" % (name_of(workers), drawn(part, sorted(curve)[len(curve) * 9 // 10])))


def drawn(curve: Sequence[int], most: int) -> str:
    """A curve in one line. Each letter stands for several bins, and for their progress relative to ``most`` a bin."""
    size = max(1, len(curve) // _COLUMNS)
    parts = [curve[place : place + size] for place in range(0, len(curve), size)]
    shares = [sum(part) / (len(part) * most) if most else 0.0 for part in parts]
    return "".join(_MARKS[min(math.ceil(share * (len(_MARKS) - 1)), len(_MARKS) - 1)] for share in shares)


def rule(workers: int, rate: float) -> float:
    """The share of time for which a quota of ``rate`` CPUs stops that many workers, each of which has a CPU.

    In a period T the workers use R·T of CPU time up within R·T/N. Then they stand still: 1 - R/N (sched-bwc.rst).
    """
    return max(0.0, 1 - rate / workers)


#: What decides a claim in a cell of so many CPUs (P), rate (R) and period: the number, its tolerance, and why it cannot
#: be measured there, or ``None``.
Need = Callable[[int, float, float], "tuple[Measured, Tolerance, str | None]"]

_EVERY = Tolerance(0.9, None, "nine periods of ten: the median of rounds that show three or four each")
_SMOOTH = Tolerance(None, 0.02, "two percent: less than one slice of 5 ms in a period of 100 ms")
_RULE = Tolerance(
    -0.1, 0.1, "two slices of 5 ms, which may end on one CPU after the other CPUs stand, in a period of 100 ms"
)


def _too_short(cpus: int, rate: float, period_seconds: float) -> str | None:
    """Why no stop can show, or ``None``."""
    if rate >= cpus:
        return NEEDS
    stop_seconds = rule(cpus, rate) * period_seconds
    if stop_seconds < LEAST_STOP_SECONDS:
        return "stops of %.1f ms are as short as the scheduler's turns; take a smaller quota" % (1e3 * stop_seconds)
    return None


def stop_and_go(cpus: int, rate: float, period_seconds: float) -> tuple[Measured, Tolerance, str | None]:
    name = name_of(cpus)
    measured = Measured(
        (name,),
        value_of(name, "every"),
        lambda share: f"with {name} on {cpus} CPUs all of them stood in {share:.2f} of the periods",
    )
    return measured, _EVERY, _too_short(cpus, rate, period_seconds)


def smooth(cpus: int, rate: float, period_seconds: float) -> tuple[Measured, Tolerance, str | None]:
    name = name_of(1)
    obstacle = NEEDS if rate >= cpus else "one worker needs more than a quota of %g CPUs" % rate if rate < 1 else None
    measured = Measured(
        (name,),
        value_of(name, "stopped"),
        lambda share: f"one worker with a quota of {rate:g} CPUs stood for {share:.3f} of the time",
    )
    return measured, _SMOOTH, obstacle


def by_the_rule(cpus: int, rate: float, period_seconds: float) -> tuple[Measured, Tolerance, str | None]:
    name, expected = apart_name(cpus), rule(cpus, rate)
    measured = Measured(
        (name,),
        lambda blocks: float(blocks[name]["stopped"]) - expected,
        lambda share: (
            f"with {name_of(cpus)} the share of time that all of them stood is {share:+.3f} off"
            f" 1 - R/N = {expected:.3f}"
        ),
    )
    return measured, _RULE, _too_short(cpus, rate, period_seconds)


NEEDED: tuple[Need, ...] = (stop_and_go, smooth, by_the_rule)


def _claim(name: str, statement: str, need: Need, tolerance: Tolerance, source: str) -> Claim:
    def predicate(evidence: Evidence, facts: Facts) -> Finding:
        periods = [limit["period_seconds"] for limit in evidence.all("limit")]
        measured, _, obstacle = need(facts.cpus, facts.rate, periods[-1] if periods else 0.1)
        return Finding(UNTESTABLE, obstacle) if obstacle else judge(measured, tolerance)(evidence, facts)

    def expected(facts: Facts) -> str | None:
        if facts.rate >= facts.cpus:
            return UNTESTABLE
        _, _, obstacle = need(facts.cpus, facts.rate, 0.1)
        if obstacle:
            return None if need is not smooth else UNTESTABLE  # other periods than the usual have other stops
        # The lab's own processes also use a little of a quota of one CPU.
        return CONFIRMED if need is not smooth or facts.rate > 1.02 else None

    return Claim(name, statement, predicate, expected, tolerance=tolerance, source=source)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds, limit = evidence.rounds("round"), evidence.last("limit")
    rows = []
    for workers in limit["workers"]:
        name, alone = name_of(workers), apart_name(workers)
        words = "stopped, %s (rule: %.0f %%)" % (name, 100 * rule(workers, limit["rate"]))
        rows.append(Measured((alone,), value_of(alone, "stopped"), unit="share", better="lower").figure(words, rounds))
        rows.append(
            Measured((name,), value_of(name, "longest"), unit="s", better="lower").figure(
                "longest stop, %s" % name, rounds
            )
        )
        rows.append(Measured((name,), value_of(name, "cores"), unit="CPUs").figure("cores used, %s" % name, rounds))
    return rows


EXPERIMENT = Experiment(
    name="sawtooth",
    summary="Sawtooth: a quota's stop-and-go, in each millisecond, with 1, R and P workers",
    method="Under a quota of R CPUs, 1, R and as many workers as the cell has CPUs (P) compute without a pause for five"
    " periods of the quota, in random order. Each worker notes its progress in every millisecond. The first period only"
    " gets them into step with the quota. The CPUs stood where no worker made progress for 4 ms or longer. A block does"
    " not count when its workers stood although the kernel counted no stop by a quota. Nor does it count when they had"
    " too little of the CPUs while they ran: less than R / 0.9, or for the share of time 0.9 CPUs each.",
    watch="A quota does not make a CPU slower. N workers use a period's quota up within R/N of the period, and then all"
    " of them stand until the next period begins. So more workers than R make no more progress, and pause longer.",
    run=run,
    figures=figures,
    extra=True,
    claims=(
        _claim(
            "sawtooth.stop-and-go",
            "once more workers than R have used a quota up, all of them stand until its next period",
            stop_and_go,
            _EVERY,
            source="https://docs.kernel.org/scheduler/sched-bwc.html",
        ),
        _claim(
            "sawtooth.one-runs-on",
            "one worker is never stopped by a quota of a CPU or more",
            smooth,
            _SMOOTH,
            source="https://docs.kernel.org/scheduler/sched-bwc.html",
        ),
        _claim(
            "sawtooth.by-the-rule",
            "N workers, each with a CPU, stand for 1 - R/N of the time",
            by_the_rule,
            _RULE,
            source="https://docs.kernel.org/scheduler/sched-bwc.html",
        ),
    ),
)
