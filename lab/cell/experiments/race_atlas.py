"""An atlas of races: what each statement loses at each switch interval, and where another thread can come in."""

from __future__ import annotations

import sys
import textwrap
import time
from random import Random
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence, Tuple

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    UNTESTABLE,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Figure,
    Finding,
    Round,
    always,
    docs,
    estimate_or_none,
    seen,
)
from lab.cell.claims.cpython import expect_plain_update_loses
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import Measured
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.contention import contend_for, longest_race, nobody_asks
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.racing_statements import STATEMENTS, Statement, marked
from lab.cell.measuring.rounds import shuffler

#: Switch intervals, and how long a run at each interval lasts, in seconds. The first interval is the default.
INTERVALS = ((0.005, 0.012), (0.0001, 0.005), (0.000001, 0.005))

#: Where no thread asks for a hand-over, the interval means nothing. There each statement has longer runs, at the first
#: interval only.
RUN_SECONDS_UNASKED = 0.075

#: The fewest runs of each statement at each interval, and how long further runs may go on.
FEWEST_RUNS = 5
MOST_SECONDS = 8.0

AUGMENTED = ("n += 1, global", "n += 1, attribute", "n += 1, dict item", "n += 1, list item")
ONE_CALL = ("list.append", "list.insert, del", "deque.append", "set.add", "dict.setdefault")

#: Each of these statements loses on every build, sooner or later.
LOSING = ("read, call, write", "check, call, act", "dict iteration")

#: The fewest hand-overs for each statement from which a verdict follows if no statement of its claim lost anything.
#: Four augmented assignments with 50 hand-overs each bound the rate at 1.5 %.
ENOUGH, ENOUGH_ONE_CALL, ENOUGH_AUGMENTED = 10, 20, 50

#: Statement and switch interval -> the observation of its runs; see :func:`total`.
Atlas = Dict[Tuple[str, float], Mapping[str, Any]]

#: Statement, switch interval and length of a run, both in seconds.
Point = Tuple[str, float, float]

#: The names that older versions gave to the numbers of an observation -> the names of this version.
NEW_NAMES = {"tries": "made", "handovers": "hand_overs"}


def arm(name: str, interval: float) -> str:
    return "%s @ %g ms" % (name, 1e3 * interval)


def race(statement: Statement, interval: float, seconds: float) -> dict[str, Any]:
    """One run: how often the statement ran, how often it went wrong, and the hand-overs noticed."""
    names = statement.make()
    updates, hand_overs = contend_for(statement.compiled(names), seconds, interval)
    losses = statement.lost(names, updates)
    # The names and the function form a cycle of maybe millions of objects. They need not wait for the collector.
    names.clear()
    return {"made": updates, "lost": losses, "hand_overs": hand_overs, "disturbed": None}


def run(recorder: Recorder) -> None:
    gil, unasked = gil_enabled(), nobody_asks(len(recorder.cpus))
    seconds = longest_race(recorder.seconds, unasked)
    points = points_in(seconds, unasked)
    rounds: list[Round] = []
    for blocks in rounds_of(points, shuffler(recorder.seed), seconds if unasked else min(seconds, MOST_SECONDS)):
        recorder.sample("round", blocks)
        rounds.append(blocks)
    for name, statement in STATEMENTS.items():
        bytecode = [(opname, marked(opname, sys.version_info[:2], gil)) for opname in statement.bytecodes()]
        for interval in (interval for point_name, interval, _ in points if point_name == name):
            result = total(runs_of(rounds, name, interval))
            observation = {"statement": name, "interval_seconds": interval, **result, "bytecode": bytecode}
            recorder.observe("atlas", dict(observation, text=textwrap.dedent(statement.text)))
        recorder.tell(
            "%s: at a switch interval of %g ms, %d of %d updates went wrong in %d hand-overs;"
            " another thread can come in after: %s"
            % (
                *(name, 1e3 * interval, result["lost"], result["made"], result["hand_overs"]),
                " ".join(opname for opname, can_hand_over in bytecode if can_hand_over),
            )
        )


def points_in(seconds: float, unasked: bool) -> list[Point]:
    """The points to run.

    Where no thread asks for a hand-over, runs are longer. But the fewest runs of all statements fit into the time.
    """
    if not unasked:
        return [(name, interval, run_seconds) for name in STATEMENTS for interval, run_seconds in INTERVALS]
    run_seconds = min(RUN_SECONDS_UNASKED, seconds / FEWEST_RUNS / len(STATEMENTS))
    return [(name, INTERVALS[0][0], run_seconds) for name in STATEMENTS]


def rounds_of(points: Sequence[Point], order: Random, seconds: float) -> Iterator[Round]:
    """Run rounds of these points, and yield each round.

    The first rounds, as many as are needed at least, have all points. While there is time, further rounds follow with
    the points of statements that lack runs.
    """
    until = time.monotonic() + seconds
    rounds: list[Round] = []
    intervals = {interval for _, interval, _ in points}
    open_points = list(points)
    while open_points and (len(rounds) < FEWEST_RUNS or time.monotonic() < until):
        blocks: Round = {}
        for name, interval, run_seconds in order.sample(open_points, len(open_points)):
            blocks[arm(name, interval)] = race(STATEMENTS[name], interval, run_seconds)
        yield blocks
        rounds.append(blocks)
        if len(rounds) >= FEWEST_RUNS:
            open_points = [point for point in points if lacks(point[0], runs_of(rounds, point[0], *intervals))]


def lacks(name: str, runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a statement needs more runs for a verdict: it has lost nothing so far, but it could."""
    if any(result["lost"] for result in runs):
        return False
    least = ENOUGH_AUGMENTED if name in AUGMENTED else ENOUGH_ONE_CALL if name in ONE_CALL else ENOUGH
    return name in LOSING or sum(result["hand_overs"] for result in runs) < least


def runs_of(rounds: Sequence[Round], name: str, *intervals: float) -> list[dict[str, Any]]:
    """Every run of a statement at these intervals."""
    arms = [arm(name, interval) for interval in intervals]
    return [blocks[name] for blocks in rounds for name in arms if name in blocks]


def total(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of all runs of a statement at an interval.

    It has how often the statement ran, how often it went wrong, and the hand-overs noticed. It also has the share that
    went wrong, with its 95 % interval over runs. If nothing was lost in k hand-overs, up to 3/k of them may do harm.
    """
    updates, losses, hand_overs = (sum(result[key] for result in runs) for key in ("made", "lost", "hand_overs"))
    estimate = estimate_or_none([result["lost"] / max(result["made"], 1) for result in runs])
    share = {"share": losses / max(updates, 1), "low": None, "high": None}
    if not losses:
        share = {"share": 0.0, "low": 0.0, "high": min(1.0, 3 / max(hand_overs, 1))}
    elif estimate:
        share = {"share": estimate.value, "low": estimate.low, "high": estimate.high}
    digits = {key: None if value is None else round(value, 7) for key, value in share.items()}
    return {"made": updates, "lost": losses, "hand_overs": hand_overs, **digits}


def atlas_of(evidence: Evidence) -> Atlas:
    observations = map(renamed, evidence.all("atlas"))
    return {(entry["statement"], entry["interval_seconds"]): entry for entry in observations}


def renamed(observation: Mapping[str, Any]) -> dict[str, Any]:
    """The observation of any version, with the names of this version."""
    return {NEW_NAMES.get(name, name): value for name, value in observation.items()}


def sums(atlas: Atlas, names: Sequence[str]) -> tuple[int, int]:
    """(losses, hand-overs) of these statements, at all intervals."""
    entries = [entry for (name, _), entry in atlas.items() if name in names]
    return sum(entry["lost"] for entry in entries), sum(entry["hand_overs"] for entry in entries)


def describe(atlas: Atlas, names: Sequence[str]) -> str:
    """The result of these statements in words: the worst loss, or the hand-overs in which nothing was lost."""
    lossy = [entry for (name, _), entry in atlas.items() if name in names and entry["lost"]]
    if lossy:
        worst = max(lossy, key=_loss_rate)
        reason = "'%s' lost %.2g %% at %g ms" % (
            worst["statement"],
            100 * worst["lost"] / worst["made"],
            1e3 * worst["interval_seconds"],
        )
        more = len({entry["statement"] for entry in lossy}) - 1
        return reason + ("; so did %d more" % more if more else "")
    hand_overs = sums(atlas, names)[1]
    return "none of %d lost anything in %d hand-overs (below %.2g each)" % (
        len(names),
        hand_overs,
        min(1, 3 / max(hand_overs, 1)),
    )


def _loss_rate(entry: Mapping[str, Any]) -> float:
    return float(entry["lost"] / max(entry["made"], 1))


def judge_losing(
    names: Sequence[str], lossy: str, lossless: str, least: int = ENOUGH
) -> Callable[[Evidence, Facts], Finding]:
    """A predicate for these statements.

    Its verdict is ``lossy`` if any statement lost anything. It is ``lossless`` if there was no loss in ``least``
    hand-overs for each statement. With fewer hand-overs the predicate decides nothing. Without a GIL another thread
    can come in anywhere, so a run without a loss does not refute that losses happen.
    """

    def predicate(evidence: Evidence, facts: Facts) -> Finding:
        atlas = atlas_of(evidence)
        losses, hand_overs = sums(atlas, names)
        sufficient = hand_overs >= least * len(names) and (facts.gil or lossless == CONFIRMED)
        return Finding(lossy if losses else lossless if sufficient else INCONCLUSIVE, describe(atlas, names))

    return predicate


def judge_marks(evidence: Evidence, facts: Facts) -> Finding:
    """Judge the statements in which no other thread can come in before the last bytecode: they must lose nothing."""
    before_end = {entry["statement"]: entry["bytecode"][:-1] for entry in evidence.all("atlas")}
    names = [name for name, bytecode in before_end.items() if not any(can_hand_over for _, can_hand_over in bytecode)]
    if not names:
        return Finding(UNTESTABLE, "on this Python another thread can come in within each of the statements")
    finding = judge_losing(names, REFUTED, CONFIRMED)(evidence, facts)
    return finding._replace(reason="%s: %s" % (", ".join(names), finding.reason))


def judge_interval(evidence: Evidence, facts: Facts) -> Finding:
    if not facts.gil:
        return Finding(UNTESTABLE, "without a GIL nothing is handed over")
    ratio = MORE_TURNS.estimate(evidence.rounds("round"))
    if ratio is None:
        return Finding(INCONCLUSIVE, "too few runs")
    verdict = CONFIRMED if ratio.low > 1.5 else REFUTED if ratio.high < 1.5 else INCONCLUSIVE
    reason = "at 0.1 ms threads took turns %.1f times as often as at 5 ms" % ratio.value
    return Finding(verdict, reason, ratio.value, ratio.low, ratio.high, "")


def _hand_overs_per_second(blocks: Round, number: int) -> float:
    """The hand-overs a second of all statements, at the interval of that number."""
    interval, seconds = INTERVALS[number]
    hand_overs: int = sum(blocks[arm(name, interval)]["hand_overs"] for name in STATEMENTS)
    return hand_overs / (seconds * len(STATEMENTS))


#: How many times as often threads take turns at the second interval as at the first. Only complete rounds count.
MORE_TURNS = Measured(
    tuple(arm(name, interval) for name in STATEMENTS for interval, _ in INTERVALS),
    lambda blocks: _hand_overs_per_second(blocks, 1) / max(_hand_overs_per_second(blocks, 0), 1.0),
)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rows = []
    rounds = len(evidence.rounds("round"))
    for (name, interval), entry in atlas_of(evidence).items():
        has_interval = entry["low"] is not None
        estimate = Estimate(entry["share"], entry["low"], entry["high"], rounds) if has_interval else None
        rows.append(Figure(arm(name, interval), estimate, "share", rounds, 0))
    return rows


def expect_marks(facts: Facts) -> str | None:
    """Before 3.10 the interpreter can hand over almost anywhere."""
    return CONFIRMED if facts.gil and facts.version >= (3, 10) else UNTESTABLE


EXPERIMENT = Experiment(
    name="race-atlas",
    summary="An atlas of races: statement by statement, at three switch intervals, with the bytecode",
    method="Two threads run the same statement on the same object, at switch intervals of 5 ms, 0.1 ms and 1 µs in"
    " random order. Each statement has five or more runs of 5 to 12 ms at each interval. On one CPU without a GIL no"
    " thread asks for a hand-over; there a run takes 75 ms, at one interval. Lost updates and hand-overs are counted."
    " The bytecodes of each statement show where this Python can hand over.",
    watch="Compare the losses with the bytecode: on this Python a statement loses nothing if no other thread can come"
    " in before its end. The language does not promise this, and the next version may hand over elsewhere.",
    run=run,
    typical_seconds=4.0,
    figures=figures,
    extra=True,
    claims=(
        Claim(
            "race-atlas.augmented-loses",
            "n += 1 loses updates: of a global, an attribute, an item of a dict or of a list",
            judge_losing(AUGMENTED, CONFIRMED, REFUTED, ENOUGH_AUGMENTED),
            expect_plain_update_loses,
            source=seen(docs("library/threadsafety.html")),
        ),
        Claim(
            "race-atlas.call-loses",
            "with a call between reading and writing it does so everywhere",
            judge_losing(("read, call, write",), CONFIRMED, INCONCLUSIVE),
            always(CONFIRMED),
            source=seen(docs("library/threadsafety.html")),
        ),
        Claim(
            "race-atlas.check-call-act-loses",
            "two threads that check, call and then act both act",
            judge_losing(("check, call, act",), CONFIRMED, INCONCLUSIVE),
            always(CONFIRMED),
            source=seen(docs("library/threadsafety.html")),
        ),
        # Documented for the free-threaded build: library/threadsafety ("Thread Safety Guarantees"); with the GIL each
        # is a single call into C ("What kinds of global value mutation are thread-safe?", faq/library).
        Claim(
            "race-atlas.one-call-keeps",
            "append, insert and del, add and setdefault lose nothing",
            judge_losing(ONE_CALL, REFUTED, CONFIRMED, ENOUGH_ONE_CALL),
            always(CONFIRMED),
            source=seen(docs("library/threadsafety.html"), docs("faq/library.html")),
        ),
        Claim(
            "race-atlas.iteration-breaks",
            "a dict that another thread changes cannot be iterated over",
            judge_losing(("dict iteration",), CONFIRMED, INCONCLUSIVE),
            always(CONFIRMED),
            source=seen(docs("library/threadsafety.html")),
        ),
        Claim(
            "race-atlas.bytecode-tells",
            "a statement loses nothing if nobody can come in before its last bytecode",
            judge_marks,
            expect_marks,
            source=seen("Python/ceval.c"),
        ),
        Claim(
            "race-atlas.shorter-is-more",
            "a shorter switch interval means more hand-overs",
            judge_interval,
            lambda facts: CONFIRMED if facts.gil else UNTESTABLE,
            least_cpus=2,
            source=seen(docs("library/sys.html#sys.setswitchinterval"), "PEP 703"),
        ),
    ),
)
