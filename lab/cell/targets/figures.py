"""The numbers of a case: calls per second, speed-up, share of what was delivered, cores, times of a call. Pure."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Sequence

from lab.cell.claims.claim import Evidence, Figure, Round
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import CAPACITY, Measured, narrow, over, value_of
from lab.cell.claims.recorder import Recorder
from lab.cell.targets.case import PATIENCE

#: A target that neither computes nor waits for a CPU for more than this share of its time waits for something else.
WAITING_SHARE = 0.5

#: One worker alone: what every other arm is compared with.
BASE = "1 worker"
#: One process of a start method alone, by what its workers' names end with. Where code and data happen to lie in memory
#: makes a process faster or slower by some percent. So processes are compared with themselves, one at a time.
OWN_BASES: Mapping[str, str] = {"(fork)": "1 worker (fork)", "(forkserver)": "1 worker (forkserver)"}
#: In place of an executor: workers of some kind that worked at first, and were lost in a later round.
LATER = "later"


class Workers(NamedTuple):
    """Workers of one kind that were measured together."""

    #: Their name in tables: ``2 threads``.
    name: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn`` or ``interpreter``.
    executor: str
    #: How many there were.
    workers: int
    #: Whether each had an argument of its own.
    own: bool
    #: How many items travelled at a time; 0 where no items travelled.
    chunk: int = 0


def measured_arms(evidence: Evidence, alone: bool = False) -> list[Workers]:
    """The arms that took part in the rounds, in the order of a table; with ``alone`` one worker alone comes first."""
    listed = evidence.all("arms")
    first = [Workers(BASE, "", 1, False)] if alone else []
    return first + [Workers(*entry) for entry in (listed[-1] if listed else [])]


#: An estimate rests on at least so many rounds.
FEWEST_ROUNDS = 6
#: Rounds after which intervals are looked at again.
BATCH = 3


def enough(
    rounds: Sequence[Round],
    arms: Sequence[str],
    seconds: float,
    recorder: Recorder,
    is_decided: Callable[[], bool],
    is_surprising: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether to stop: every speed-up is known as narrowly as asked for, or the time is up and all is decided.

    ``seconds`` have passed. The time is longer than asked for where the fewest rounds need longer. A surprising answer
    is measured until the time is up.
    """
    if len(rounds) < FEWEST_ROUNDS:
        return False
    given = max(recorder.seconds, seconds * FEWEST_ROUNDS / len(rounds))
    if seconds > PATIENCE * given:
        return True
    if seconds >= given:
        return is_decided()
    if len(rounds) % BATCH:
        return False
    estimates = [speed_up(arm, rounds).estimate(rounds) for arm in arms] or [rate(BASE).estimate(rounds)]
    return all(narrow(estimate, recorder.width) for estimate in estimates) and not is_surprising()


def rate(arm: str) -> Measured:
    """Calls per second."""
    return Measured((arm,), value_of(arm, "rate"), unit="calls/s", better="higher")


def base_of(arm: str, rounds: Sequence[Round]) -> str:
    """The one worker that these workers are compared with; sessions of earlier versions have the same one for all."""
    own = OWN_BASES.get(arm.rpartition(" ")[2], BASE)
    return own if any(own in blocks for blocks in rounds) else BASE


def speed_up(arm: str, rounds: Sequence[Round]) -> Measured:
    """Calls per second over those of one worker of its kind alone, in the same round."""
    base = base_of(arm, rounds)
    return Measured((arm, base), over(arm, base), better="higher")


def times_as_much(arm: str, other: str, rounds: Sequence[Round]) -> Measured:
    """The speed-up of an arm over that of another arm, in the same round."""
    gains = speed_up(arm, rounds), speed_up(other, rounds)

    def value(blocks: Round) -> float:
        return gains[0].value(blocks) / max(gains[1].value(blocks), 1e-9)

    return Measured((*gains[0].arms, *gains[1].arms), value)


def share(arm: str, workers: int, rounds: Sequence[Round]) -> Measured:
    """The speed-up over what the machine delivered to so many workers in the same round."""
    gain = speed_up(arm, rounds)

    def value(blocks: Round) -> float:
        return gain.value(blocks) / max(min(CAPACITY.value(blocks), workers), 0.01)

    return Measured((*gain.arms, *CAPACITY.arms), value, better="higher")


def delivered(workers: int) -> Measured:
    """Calls per second of so many workers with what the machine delivered, each as fast as one worker alone."""

    def value(blocks: Round) -> float:
        return float(blocks[BASE]["rate"]) * min(CAPACITY.value(blocks), workers)

    return Measured((BASE, *CAPACITY.arms), value, unit="calls/s", better="higher")


def cores(arm: str) -> Measured:
    """CPU seconds per second, of all workers and of what they started."""
    return Measured((arm,), value_of(arm, "cores"), unit="cores")


def call_time(arm: str, name: str) -> Measured:
    """Seconds of a call, by the name of the quantile."""

    def value(blocks: Round) -> float:
        times: Mapping[str, Any] = blocks[arm]["calls"]
        return float(times[name])

    return Measured((arm,), value, unit="s", better="lower")


def figures(evidence: Evidence) -> Sequence[Figure]:
    """The rows of the table: one for each arm, with the one worker alone first."""
    rounds = evidence.rounds("round")
    waits = evidence.last("trial")["idle"] > WAITING_SHARE
    memory = (evidence.all("memory") or [{}])[-1]
    rows: list[Figure] = []
    compared = pairs(evidence)
    for arm in [] if compared else measured_arms(evidence, alone=True):
        rows.append(rate(arm.name).figure("calls/s", rounds, arm.name))
        if arm.name != BASE:
            rows.append(speed_up(arm.name, rounds).figure("speed-up", rounds, arm.name))
            if not waits:  # what waits needs no CPU, so what the machine delivered says nothing
                rows.append(share(arm.name, arm.workers, rounds).figure("of delivered", rounds, arm.name))
        rows.append(cores(arm.name).figure("cores used", rounds, arm.name))
        timed = [blocks for blocks in rounds if "calls" in blocks.get(arm.name, {})]
        for name in ("p50", "p95", "p99"):
            rows.append(call_time(arm.name, name).figure("call, %s" % name, timed, arm.name))
        size = memory.get(arm.executor)
        if size:
            exact = Estimate(size / 2**20, size / 2**20, size / 2**20, 1)
            rows.append(Figure("memory each", exact, "MiB", 1, 0, arm.name, "lower"))
    for name, own, other in compared:
        rows.append(rate(own).figure("calls/s", rounds, name))
        rows.append(rate(other).figure("calls/s, other", rounds, name))
        rows.append(times(own, other).figure("other / this", rounds, name))
    return rows


def pairs(evidence: Evidence) -> list[tuple[str, str, str]]:
    """(workers, their arm in this environment, their arm in the other environment), where two were compared."""
    listed = evidence.all("pairs")
    return [(name, own, other) for name, own, other in (listed[-1] if listed else [])]


def times(own: str, other: str) -> Measured:
    """The calls per second of the other environment over those of this one, in the same round."""
    return Measured((own, other), over(other, own), better="higher")
