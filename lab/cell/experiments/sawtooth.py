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
#: Periods that one block shows, after one more in which the workers come to use the quota up as they always do: they
#: may begin with anything from an untouched quota to none, at any time of a period.
PERIODS = 4
#: Bins of the curve: a millisecond each, and for longer periods a hundredth of one, so that a curve fits in a record.
BIN_SECONDS = 0.001
MOST_BINS_A_PERIOD = 100

#: No worker made any progress for so long: the CPUs stood. A worker that only waits for its turn does not make all
#: others stop as well, and a lone one waits shorter where nobody else runs.
STOP_SECONDS = 0.004
#: A quota that would make a shorter stop than this cannot be told from turns of the scheduler, and the kernel hands
#: it out in slices of 5 ms (sched-bwc.rst, sched_cfs_bandwidth_slice_us), each of which may end on another CPU.
LEAST_STOP_SECONDS = 0.01

#: Of the CPUs that workers could use, the least that a neighbour must leave them while they run: for a stop that the
#: quota makes to be long enough to be seen, R over this; for it to be as long as the rule says, this of a CPU each.
LEAST_OF_CPUS = 0.9

NEEDS = "needs a quota below the CPUs: lab run sawtooth --quota 0.5,1.5"


def name_of(workers: int) -> str:
    return "%d worker%s" % (workers, "" if workers == 1 else "s")


def apart_name(workers: int) -> str:
    return name_of(workers) + ", a CPU each"


class CurveSpan(NamedTuple):
    """What the workers of a block keep to."""

    #: When the curve begins, on the monotonic clock.
    start: float
    #: The length of a bin, in seconds.
    bin_seconds: float
    #: How many bins the curve has.
    bins: int
    #: How long the workers work before the curve begins, in seconds.
    warm_seconds: float


def progress(span: CurveSpan) -> tuple[list[int], float]:
    """Compute without a pause over the span; how much was done in each of its bins, and the CPU seconds it took."""
    tools = Tools(b"", None)
    done = [0] * span.bins
    time.sleep(max(0.0, span.start - span.warm_seconds - time.monotonic()))
    while time.monotonic() < span.start:
        count(tools)
    cpu = time.thread_time()
    while True:
        place = int((time.monotonic() - span.start) / span.bin_seconds)
        if place >= span.bins:
            break
        done[place] += 1  # before it is done: one that a quota stops half-way was begun before the stop
        count(tools)
    return done, time.thread_time() - cpu


def _begin() -> Callable[[CurveSpan], tuple[list[int], float]]:
    return progress


class Team(Workers):
    """Persistent worker processes; use as a context manager. They are not pinned: a user's are not."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        context = multiprocessing.get_context("fork")
        for _ in range(workers):
            self.start(context, _begin)

    def block(self, workers: int, limit: CellLimit) -> tuple[dict[str, Any], list[int]]:
        """So many of them compute at once. Returns what :func:`block_of` makes of it, and the curve: the units that all
        of them did in each bin."""
        span = span_of(limit.period_seconds)
        before = throttled_periods()
        for pipe in self.pipes[:workers]:
            pipe.send(span)
        told = [pipe.recv() for pipe in self.pipes[:workers]]
        stopped = throttled_periods() - before
        curve = [sum(bins) for bins in zip(*(done for done, _ in told))]
        cores = sum(cpu for _, cpu in told) / (span.bins * span.bin_seconds)
        return block_of(workers, curve, span.bin_seconds, limit, cores, stopped), curve


def span_of(period_seconds: float) -> CurveSpan:
    """The span of a block that begins now: :data:`PERIODS` periods, or as many short ones as fit into as long a time
    as that many of the usual length."""
    bin_seconds = max(BIN_SECONDS, period_seconds / MOST_BINS_A_PERIOD)
    bins = PERIODS * MOST_BINS_A_PERIOD
    warm_seconds = max(period_seconds, 0.02)
    return CurveSpan(time.monotonic() + 0.005 + warm_seconds, bin_seconds, bins, warm_seconds)


def stops(curve: Sequence[int], bin_seconds: float) -> list[tuple[int, int]]:
    """Where nothing was done for at least :data:`STOP_SECONDS`: (first bin, bin after the last) of each stretch."""
    found: list[tuple[int, int]] = []
    first: int | None = None
    for place, done in enumerate([*curve, 1]):
        if done and first is not None:
            if (place - first) * bin_seconds >= STOP_SECONDS - 1e-9:
                found.append((first, place))
            first = None
        elif not done and first is None:
            first = place
    return found


def stopping_periods(curve: Sequence[int], bin_seconds: float, period_seconds: float) -> tuple[int, int]:
    """(whole periods with a stop, whole periods). They are counted from the end of the first stop: there the quota was
    filled up, which nothing else shows from inside."""
    found = stops(curve, bin_seconds)
    length = round(period_seconds / bin_seconds)
    anchor = found[0][1] if found else 0
    begins = range(anchor, len(curve) - length + 1, length)
    # A stop ends where its period does, so one that begins within it is its own.
    return sum(any(one <= first < one + length for first, _ in found) for one in begins), len(begins)


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
    found = stops(curve, bin_seconds)
    stopped = sum(end - first for first, end in found) / len(curve)
    with_stop, periods = stopping_periods(curve, bin_seconds, limit.period_seconds)
    block = {
        "stopped": round(stopped, 5),
        "longest": round(max([end - first for first, end in found] or [0]) * bin_seconds, 6),
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

    Either its workers stood still where the kernel counted no stop by a quota, or they had less than ``least`` CPUs
    while they ran. A quota that did not stop them also held them to less than that. Then nothing can be told, unless
    they used more.
    """
    if block["stopped"] and not block["stopped_periods"]:
        return "lost time"
    if not block["periods"] or block["cores"] < least * (1 - block["stopped"]):
        return "run delay"
    return None


def apart(workers: int, block: dict[str, Any]) -> dict[str, Any]:
    """The same block as evidence of how long a stop is: there each worker must have had a CPU nearly to itself."""
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
    needed = [
        (measured, tolerance)
        for measured, tolerance, lacking in (one(limit.cpus, limit.rate, limit.period_seconds) for one in NEEDED)
        if lacking is None
    ]
    until = time.monotonic() + recorder.seconds
    with Team(limit.cpus) as team:
        while not enough(rounds, FEWEST_ROUNDS, needed, until):
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
    """1, R and P workers, each once."""
    return sorted({1, math.ceil(rate), cpus})


#: How a part of a period shows: nothing done, and up to a third, two thirds, all of what the best parts did.
_MARKS = " .:#"
_COLUMNS = 25


def draw(recorder: Recorder, workers: int, curve: Sequence[int]) -> None:
    """Tell a curve: a line for each period."""
    length = len(curve) // PERIODS
    for period in range(PERIODS):
        mine = curve[period * length : (period + 1) * length]
        # Beside the best bins, not the best one: a unit that ends just within a bin makes it stand out.
        recorder.tell("%s |%s|" % (name_of(workers), drawn(mine, sorted(curve)[len(curve) * 9 // 10])))


def drawn(curve: Sequence[int], most: int) -> str:
    """A curve in one line: each letter stands for as many bins, by how much was done in them beside ``most`` a bin."""
    size = max(1, len(curve) // _COLUMNS)
    parts = [curve[place : place + size] for place in range(0, len(curve), size)]
    shares = [sum(part) / (len(part) * most) if most else 0.0 for part in parts]
    return "".join(_MARKS[min(math.ceil(share * (len(_MARKS) - 1)), len(_MARKS) - 1)] for share in shares)


def rule(workers: int, rate: float) -> float:
    """The share of time for which a quota of ``rate`` CPUs stops that many workers, each of which has a CPU.

    In a period T they use up R·T of CPU time within R·T/N, and stand still for the rest: 1 - R/N (sched-bwc.rst).
    """
    return max(0.0, 1 - rate / workers)


#: What decides a claim in a cell of so many CPUs (P), rate (R) and period: the number, where it has to lie, and why it
#: cannot be told there, if so.
Need = Callable[[int, float, float], "tuple[Measured, Tolerance, str | None]"]

_EVERY = Tolerance(0.9, None, "nine periods of ten: the median of rounds that show three or four each")
_SMOOTH = Tolerance(None, 0.02, "two percent: less than one slice of 5 ms in a period of 100 ms")
_RULE = Tolerance(
    -0.1, 0.1, "two slices of 5 ms, that may end on one CPU while the others stand already, in a period of 100 ms"
)


def _too_short(cpus: int, rate: float, period_seconds: float) -> str | None:
    """Why no stop can be seen, or ``None``."""
    if rate >= cpus:
        return NEEDS
    lasting = rule(cpus, rate) * period_seconds
    if lasting < LEAST_STOP_SECONDS:
        return "stops of %.1f ms are as short as the scheduler's turns; take a smaller quota" % (1e3 * lasting)
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
    lacking = NEEDS if rate >= cpus else "one worker needs more than a quota of %g CPUs" % rate if rate < 1 else None
    measured = Measured(
        (name,),
        value_of(name, "stopped"),
        lambda share: f"one worker with a quota of {rate:g} CPUs stood for {share:.3f} of the time",
    )
    return measured, _SMOOTH, lacking


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
        periods = [one["period_seconds"] for one in evidence.all("limit")]
        measured, _, lacking = need(facts.cpus, facts.rate, periods[-1] if periods else 0.1)
        return Finding(UNTESTABLE, lacking) if lacking else judge(measured, tolerance)(evidence, facts)

    def expected(facts: Facts) -> str | None:
        if facts.rate >= facts.cpus:
            return UNTESTABLE
        _, _, lacking = need(facts.cpus, facts.rate, 0.1)
        if lacking:
            return None if need is not smooth else UNTESTABLE  # periods other than the usual make other stops
        # The lab's own processes take a little of a quota of one CPU too.
        return CONFIRMED if need is not smooth or facts.rate > 1.02 else None

    return Claim(name, statement, predicate, expected, tolerance=tolerance, source=source)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds, limit = evidence.rounds("round"), evidence.last("limit")
    found = []
    for workers in limit["workers"]:
        name, alone = name_of(workers), apart_name(workers)
        words = "stopped, %s (rule: %.0f %%)" % (name, 100 * rule(workers, limit["rate"]))
        found.append(Measured((alone,), value_of(alone, "stopped"), unit="share", better="lower").figure(words, rounds))
        found.append(
            Measured((name,), value_of(name, "longest"), unit="s", better="lower").figure(
                "longest stop, %s" % name, rounds
            )
        )
        found.append(Measured((name,), value_of(name, "cores"), unit="CPUs").figure("cores used, %s" % name, rounds))
    return found


EXPERIMENT = Experiment(
    name="sawtooth",
    summary="Sawtooth: a quota's stop-and-go, in each millisecond, with 1, R and P workers",
    method="Under a quota of R CPUs, 1, R and as many workers as the cell has CPUs (P) compute without a pause for five"
    " periods of the quota, in random order; each notes what it has done in every millisecond. The first period only"
    " brings them into step with the quota. Where nobody got on for 4 ms or longer the CPUs stood. A block does not"
    " count when its workers stood and the kernel counted no stop by a quota, or had too little of the CPUs while they"
    " ran: less than R / 0.9, and for the share of time nine tenths of a CPU each.",
    watch="A quota is no slower CPU: N workers use up R periods' worth of time in R/N of a period, and then all of them"
    " stand until the next one begins. So more workers than R make no more progress, and pause longer.",
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
