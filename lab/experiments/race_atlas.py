"""An atlas of races: which statements lose what, at which switch interval, and where in them others get their turn."""

from __future__ import annotations

import sys
import textwrap
import time
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from lab.experiments._claims import (
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
from lab.experiments._measured import Measured
from lab.experiments._rounds import shuffler
from lab.experiments._statements import STATEMENTS, Statement, marked
from lab.experiments._turns import gil_enabled
from lab.experiments._voice import Voice
from lab.experiments.race import expect_plain, take_turns
from lab.stats import Estimate

#: Switch intervals, in seconds, and how long a run at each is; the first is the default.
INTERVALS = ((0.005, 0.02), (0.0001, 0.01), (0.000001, 0.01))

#: Runs of each statement at each interval.
FEWEST_RUNS = 5
MOST_RUNS = 12
MOST_SECONDS = 6.0

#: Below this many for each statement that lost nothing, nothing is concluded: four of them bound the rate at 1.5 %.
FEWEST_HAND_OVERS_EACH = 50

AUGMENTED = ("n += 1, global", "n += 1, attribute", "n += 1, dict item", "n += 1, list item")
ONE_CALL = ("list.append", "list.insert, del", "deque.append", "set.add", "dict.setdefault")

#: Statement and switch interval -> what was seen there; see :func:`total`.
Seen = Dict[Tuple[str, float], Mapping[str, Any]]


def arm(name: str, interval: float) -> str:
    return "%s @ %g ms" % (name, 1e3 * interval)


def race(statement: Statement, interval: float, seconds: float) -> dict[str, Any]:
    """One run: how often the statement was made, how often it went wrong, and the hand-overs noticed."""
    names = statement.make()
    update = statement.compiled(names)
    made, hand_overs = take_turns(update, seconds, interval)
    return {"made": made, "lost": statement.lost(names, made), "hand_overs": hand_overs, "disturbed": None}


def run(voice: Voice) -> None:
    gil = gil_enabled()
    points = [(name, interval, seconds) for name in STATEMENTS for interval, seconds in INTERVALS]
    order = shuffler(voice.seed)
    rounds: list[Round] = []
    until = time.monotonic() + min(voice.seconds, MOST_SECONDS)
    while len(rounds) < FEWEST_RUNS or not (
        settled(rounds, gil) or len(rounds) == MOST_RUNS or time.monotonic() > until
    ):
        found: Round = {}
        for name, interval, seconds in order.sample(points, len(points)):
            found[arm(name, interval)] = race(STATEMENTS[name], interval, seconds)
        voice.sample("round", found)
        rounds.append(found)
    for name, statement in STATEMENTS.items():
        bytecode = [(one, marked(one, sys.version_info[:2], gil)) for one in statement.bytecodes()]
        for interval, _ in INTERVALS:
            seen = total([blocks[arm(name, interval)] for blocks in rounds])
            told = {"statement": name, "interval_seconds": interval, **seen, "bytecode": bytecode}
            voice.observe("atlas", dict(told, text=textwrap.dedent(statement.text)))
        voice.tell(
            "%s: of %d at the shortest switch interval %d went wrong, in %d hand-overs; others may come in after: %s"
            % (name, seen["tries"], seen["lost"], seen["handovers"], " ".join(one for one, here in bytecode if here))
        )


def settled(rounds: Sequence[Round], gil: bool) -> bool:
    """Whether nothing that is judged lacks hand-overs, and the rarest loss was seen; without a GIL it always is so."""

    def summed(names: Sequence[str], key: str) -> int:
        return sum(int(one[arm(name, at)][key]) for one in rounds for name in names for at, _ in INTERVALS)

    enough = summed(AUGMENTED, "hand_overs") >= FEWEST_HAND_OVERS_EACH * len(AUGMENTED)
    return not gil or (enough and summed(("check, call, act",), "lost") > 0)


def total(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All runs of a statement at one interval: how often it was tried, how often it went wrong, the share of that with
    its 95 % interval over runs, and the hand-overs noticed. None lost among k: up to 3/k of them may do harm."""
    made, lost, hand_overs = (sum(one[key] for one in runs) for key in ("made", "lost", "hand_overs"))
    found = estimate_or_none([one["lost"] / max(one["made"], 1) for one in runs])
    share = {"share": lost / max(made, 1), "low": None, "high": None}
    if not lost:
        share = {"share": 0.0, "low": 0.0, "high": min(1.0, 3 / max(hand_overs, 1))}
    elif found:
        share = {"share": found.value, "low": found.low, "high": found.high}
    rounded = {key: None if value is None else round(value, 7) for key, value in share.items()}
    return {"tries": made, "lost": lost, "handovers": hand_overs, **rounded}


def seen_in(evidence: Evidence) -> Seen:
    return {(one["statement"], one["interval_seconds"]): one for one in evidence.all("atlas")}


def counted(seen: Seen, names: Sequence[str]) -> tuple[int, int]:
    """(lost, hand-overs) of these statements, at all intervals."""
    wanted = [one for (name, _), one in seen.items() if name in names]
    return sum(one["lost"] for one in wanted), sum(one["handovers"] for one in wanted)


def described(seen: Seen, names: Sequence[str]) -> str:
    """Where something was lost, the worst first; or in how many hand-overs nothing was."""
    worst = sorted((one for (name, _), one in seen.items() if name in names and one["lost"]), key=_badness)
    if worst:
        said = "'%s' lost %.2g %% at %g ms" % (
            worst[0]["statement"],
            100 * worst[0]["lost"] / worst[0]["tries"],
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
    return float(-one["lost"] / max(one["tries"], 1))


def judge_losing(
    names: Sequence[str], lossy: str, lossless: str, each: int = FEWEST_HAND_OVERS_EACH
) -> Callable[[Evidence, Facts], Finding]:
    """``lossy`` when any of these statements lost anything, ``lossless`` when none did in so many hand-overs for each
    of them; else nothing is decided."""

    def judged(evidence: Evidence, facts: Facts) -> Finding:
        seen = seen_in(evidence)
        lost, hand_overs = counted(seen, names)
        verdict = lossy if lost else lossless if hand_overs >= each * len(names) else INCONCLUSIVE
        return Finding(verdict, described(seen, names))

    return judged


def judge_marks(evidence: Evidence, facts: Facts) -> Finding:
    """Whether the statements lost nothing in which nobody else can come in before their last bytecode."""
    seen = seen_in(evidence)
    before_end = {one["statement"]: one["bytecode"][:-1] for one in evidence.all("atlas")}
    whole = [name for name, bytecode in before_end.items() if not any(here for _, here in bytecode)]
    if not whole:
        return Finding(UNTESTABLE, "on this Python others can come in within each of the statements")
    return judge_losing(whole, REFUTED, CONFIRMED, 10)(evidence, facts)._replace(
        reason="%s: %s" % (", ".join(whole), described(seen, whole))
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


def _turns(blocks: Round, number: int) -> float:
    """Hand-overs a second, of all statements at that interval."""
    interval, seconds = INTERVALS[number]
    noticed: int = sum(blocks[arm(name, interval)]["hand_overs"] for name in STATEMENTS)
    return noticed / (seconds * len(STATEMENTS))


MORE = Measured((), lambda blocks: _turns(blocks, 1) / max(_turns(blocks, 0), 1.0), "")


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
    " and 1 µs, in random order, five times or more; what went wrong is counted afterwards, and the hand-overs that had"
    " the chance. Beside each statement stand its bytecodes, and after which of them this Python can hand over.",
    watch="What is lost where: a statement whose bytecode has no such place before its end loses nothing, on this"
    " Python. The language promises none of it; the next version may put a place there.",
    run=run,
    typical_seconds=3.5,
    figures=figures,
    extra=True,
    claims=(
        Claim(
            "race-atlas.augmented-loses",
            "n += 1 loses updates: of a global, an attribute, an item of a dict or of a list",
            judge_losing(AUGMENTED, CONFIRMED, REFUTED),
            expect_plain,
            source=seen(docs("library/threadsafety.html")),
        ),
        Claim(
            "race-atlas.call-loses",
            "with a call between reading and writing it does so everywhere",
            judge_losing(("read, call, write",), CONFIRMED, INCONCLUSIVE),
            lambda facts: CONFIRMED if facts.gil or facts.cpus > 1 else None,
            source=seen(docs("library/threadsafety.html")),
        ),
        Claim(
            "race-atlas.check-call-act-loses",
            "two threads that check, call and then act both act",
            judge_losing(("check, call, act",), CONFIRMED, INCONCLUSIVE),
            lambda facts: CONFIRMED if facts.cpus > 1 else None,
            source=seen(docs("library/threadsafety.html")),
        ),
        # Documented for the free-threaded build: library/threadsafety ("Thread Safety Guarantees"); with the GIL each
        # is a single call into C ("What kinds of global value mutation are thread-safe?", faq/library).
        Claim(
            "race-atlas.one-call-keeps",
            "append, insert and del, add and setdefault lose nothing",
            judge_losing(ONE_CALL, REFUTED, CONFIRMED, 20),
            always(CONFIRMED),
            source=seen(docs("library/threadsafety.html"), docs("faq/library.html")),
        ),
        Claim(
            "race-atlas.iteration-breaks",
            "a dict that another thread changes cannot be iterated over",
            judge_losing(("dict iteration",), CONFIRMED, INCONCLUSIVE),
            lambda facts: CONFIRMED if facts.gil or facts.cpus > 1 else None,
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
