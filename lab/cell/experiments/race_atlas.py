"""An atlas of races: which statements lose what, at which switch interval, and where in them others get their turn."""

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

#: Switch intervals, in seconds, and how long a run at each is; the first is the default.
INTERVALS = ((0.005, 0.02), (0.0001, 0.01), (0.000001, 0.01))

#: Where nobody asks for a hand-over the interval means nothing: there each statement is run at the first, but longer.
RUN_SECONDS_UNASKED = 0.15

#: Runs of each statement at each interval, and how long it may take to make more of them.
FEWEST_RUNS = 5
MOST_SECONDS = 8.0

AUGMENTED = ("n += 1, global", "n += 1, attribute", "n += 1, dict item", "n += 1, list item")
ONE_CALL = ("list.append", "list.insert, del", "deque.append", "set.add", "dict.setdefault")

#: Each of these loses on every build, sooner or later.
LOSING = ("read, call, write", "check, call, act", "dict iteration")

#: With fewer hand-overs for each statement that lost nothing, nothing is concluded of so many of them together: four
#: times 50 bound the rate at 1.5 %.
ENOUGH, ENOUGH_ONE_CALL, ENOUGH_AUGMENTED = 10, 20, 50

#: Statement and switch interval -> what was seen there; see :func:`total`.
Seen = Dict[Tuple[str, float], Mapping[str, Any]]

#: Statement, switch interval and length of a run, both in seconds.
Point = Tuple[str, float, float]

#: What older versions called the numbers of an observation.
FORMER = {"tries": "made", "handovers": "hand_overs"}


def arm(name: str, interval: float) -> str:
    return "%s @ %g ms" % (name, 1e3 * interval)


def race(statement: Statement, interval: float, seconds: float) -> dict[str, Any]:
    """One run: how often the statement was made, how often it went wrong, and the hand-overs noticed."""
    names = statement.make()
    made, hand_overs = contend_for(statement.compiled(names), seconds, interval)
    lost = statement.lost(names, made)
    names.clear()  # in a cycle with the function, and maybe millions of things: not to wait for a collector
    return {"made": made, "lost": lost, "hand_overs": hand_overs, "disturbed": None}


def run(recorder: Recorder) -> None:
    gil, unasked = gil_enabled(), nobody_asks(len(recorder.cpus))
    seconds = longest_race(recorder.seconds, unasked)
    points = points_in(seconds, unasked)
    rounds: list[Round] = []
    for one in rounds_of(points, shuffler(recorder.seed), seconds if unasked else min(seconds, MOST_SECONDS)):
        recorder.sample("round", one)
        rounds.append(one)
    for name, statement in STATEMENTS.items():
        bytecode = [(one, marked(one, sys.version_info[:2], gil)) for one in statement.bytecodes()]
        for interval in (at for mine, at, _ in points if mine == name):
            found = total(runs_of(rounds, name, interval))
            told = {"statement": name, "interval_seconds": interval, **found, "bytecode": bytecode}
            recorder.observe("atlas", dict(told, text=textwrap.dedent(statement.text)))
        recorder.tell(
            "%s: of %d at a switch interval of %g ms %d went wrong, in %d hand-overs; others may come in after: %s"
            % (
                *(name, found["made"], 1e3 * interval, found["lost"], found["hand_overs"]),
                " ".join(one for one, here in bytecode if here),
            )
        )


def points_in(seconds: float, unasked: bool) -> list[Point]:
    """What to run. Where nobody asks for a hand-over runs are longer, as far as the fewest of them fit in that time."""
    if not unasked:
        return [(name, interval, each) for name in STATEMENTS for interval, each in INTERVALS]
    each = min(RUN_SECONDS_UNASKED, seconds / FEWEST_RUNS / len(STATEMENTS))
    return [(name, INTERVALS[0][0], each) for name in STATEMENTS]


def rounds_of(points: Sequence[Point], order: Random, seconds: float) -> Iterator[Round]:
    """Rounds: the fewest of all these points; as long as there is time, more of those that have not told enough."""
    until = time.monotonic() + seconds
    rounds: list[Round] = []
    wanted = list(points)
    while wanted and (len(rounds) < FEWEST_RUNS or time.monotonic() < until):
        found: Round = {}
        for name, interval, each in order.sample(wanted, len(wanted)):
            found[arm(name, interval)] = race(STATEMENTS[name], interval, each)
        yield found
        rounds.append(found)
        if len(rounds) >= FEWEST_RUNS:
            intervals = {interval for _, interval, _ in points}
            wanted = [one for one in points if lacks(one[0], runs_of(rounds, one[0], *intervals))]


def lacks(name: str, runs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it takes more runs of a statement to tell something: it has not lost, and could do so yet."""
    if any(one["lost"] for one in runs):
        return False
    needed = ENOUGH_AUGMENTED if name in AUGMENTED else ENOUGH_ONE_CALL if name in ONE_CALL else ENOUGH
    return name in LOSING or sum(one["hand_overs"] for one in runs) < needed


def runs_of(rounds: Sequence[Round], name: str, *intervals: float) -> list[dict[str, Any]]:
    """Every run of a statement at these intervals."""
    arms = [arm(name, interval) for interval in intervals]
    return [one[where] for one in rounds for where in arms if where in one]


def total(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All runs of a statement at one interval, together.

    The result has how often the statement was made, how often it went wrong, and the hand-overs noticed. It also has
    the share that went wrong, with its 95 % interval over runs. If nothing was lost in k hand-overs, up to 3/k of them
    may do harm.
    """
    made, lost, hand_overs = (sum(one[key] for one in runs) for key in ("made", "lost", "hand_overs"))
    found = estimate_or_none([one["lost"] / max(one["made"], 1) for one in runs])
    share = {"share": lost / max(made, 1), "low": None, "high": None}
    if not lost:
        share = {"share": 0.0, "low": 0.0, "high": min(1.0, 3 / max(hand_overs, 1))}
    elif found:
        share = {"share": found.value, "low": found.low, "high": found.high}
    rounded = {key: None if value is None else round(value, 7) for key, value in share.items()}
    return {"made": made, "lost": lost, "hand_overs": hand_overs, **rounded}


def seen_in(evidence: Evidence) -> Seen:
    found = map(renamed, evidence.all("atlas"))
    return {(one["statement"], one["interval_seconds"]): one for one in found}


def renamed(observed: Mapping[str, Any]) -> dict[str, Any]:
    """An observation of whichever version, by the names of this one."""
    return {FORMER.get(name, name): value for name, value in observed.items()}


def counted(seen: Seen, names: Sequence[str]) -> tuple[int, int]:
    """(lost, hand-overs) of these statements, at all intervals."""
    wanted = [one for (name, _), one in seen.items() if name in names]
    return sum(one["lost"] for one in wanted), sum(one["hand_overs"] for one in wanted)


def described(seen: Seen, names: Sequence[str]) -> str:
    """Where something was lost, the worst first; or in how many hand-overs nothing was."""
    worst = sorted((one for (name, _), one in seen.items() if name in names and one["lost"]), key=_badness)
    if worst:
        said = "'%s' lost %.2g %% at %g ms" % (
            worst[0]["statement"],
            100 * worst[0]["lost"] / worst[0]["made"],
            1e3 * worst[0]["interval_seconds"],
        )
        others = len({one["statement"] for one in worst}) - 1
        return said + ("; so did %d more" % others if others else "")
    hand_overs = counted(seen, names)[1]
    return "none of %d lost anything in %d hand-overs (below %.2g each)" % (
        len(names),
        hand_overs,
        min(1, 3 / max(hand_overs, 1)),
    )


def _badness(one: Mapping[str, Any]) -> float:
    return float(-one["lost"] / max(one["made"], 1))


def judge_losing(
    names: Sequence[str], lossy: str, lossless: str, each: int = ENOUGH
) -> Callable[[Evidence, Facts], Finding]:
    """``lossy`` when any of these statements lost anything, ``lossless`` when none did in so many hand-overs for each
    of them; else nothing is decided. Without a GIL others may come in anywhere, so that having seen no loss does not
    refute that there are any."""

    def judged(evidence: Evidence, facts: Facts) -> Finding:
        there = seen_in(evidence)
        lost, hand_overs = counted(there, names)
        known = hand_overs >= each * len(names) and (facts.gil or lossless == CONFIRMED)
        return Finding(lossy if lost else lossless if known else INCONCLUSIVE, described(there, names))

    return judged


def judge_marks(evidence: Evidence, facts: Facts) -> Finding:
    """Whether the statements lost nothing in which nobody else can come in before their last bytecode."""
    there = seen_in(evidence)
    before_end = {one["statement"]: one["bytecode"][:-1] for one in evidence.all("atlas")}
    whole = [name for name, bytecode in before_end.items() if not any(here for _, here in bytecode)]
    if not whole:
        return Finding(UNTESTABLE, "on this Python others can come in within each of the statements")
    return judge_losing(whole, REFUTED, CONFIRMED)(evidence, facts)._replace(
        reason="%s: %s" % (", ".join(whole), described(there, whole))
    )


def judge_interval(evidence: Evidence, facts: Facts) -> Finding:
    if not facts.gil:
        return Finding(UNTESTABLE, "without a GIL nothing is handed over")
    ratio = MORE.estimate(evidence.rounds("round"))
    if ratio is None:
        return Finding(INCONCLUSIVE, "too few runs")
    verdict = CONFIRMED if ratio.low > 1.5 else REFUTED if ratio.high < 1.5 else INCONCLUSIVE
    reason = "at 0.1 ms threads took turns %.1f times as often as at 5 ms" % ratio.value
    return Finding(verdict, reason, ratio.value, ratio.low, ratio.high, "")


def _hand_overs_per_second(blocks: Round, number: int) -> float:
    """Hand-overs a second, of all statements at that interval."""
    interval, seconds = INTERVALS[number]
    noticed: int = sum(blocks[arm(name, interval)]["hand_overs"] for name in STATEMENTS)
    return noticed / (seconds * len(STATEMENTS))


#: Of the rounds in which all took part.
MORE = Measured(
    tuple(arm(name, interval) for name in STATEMENTS for interval, _ in INTERVALS),
    lambda blocks: _hand_overs_per_second(blocks, 1) / max(_hand_overs_per_second(blocks, 0), 1.0),
)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rows = []
    rounds = len(evidence.rounds("round"))
    for (name, interval), one in seen_in(evidence).items():
        known = one["low"] is not None
        found = Estimate(one["share"], one["low"], one["high"], rounds) if known else None
        rows.append(Figure(arm(name, interval), found, "share", rounds, 0))
    return rows


def expect_marks(facts: Facts) -> str | None:
    """Before 3.10 the interpreter can hand over almost anywhere."""
    return CONFIRMED if facts.gil and facts.version >= (3, 10) else UNTESTABLE


EXPERIMENT = Experiment(
    name="race-atlas",
    summary="An atlas of races: statement by statement, at three switch intervals, with the bytecode",
    method="Two threads run the same statement on the same object for 10 to 20 ms, at switch intervals of 5 ms, 0.1 ms"
    " and 1 µs, in random order, five times or more (on one CPU without a GIL, where nobody asks for a hand-over, for"
    " 150 ms at one of them); what went wrong is counted afterwards, and the hand-overs that had the chance."
    " Beside each statement stand its bytecodes, and after which of them this Python can hand over.",
    watch="What is lost where: a statement whose bytecode has no such place before its end loses nothing, on this"
    " Python. The language promises none of it; the next version may put a place there.",
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
