"""Executors: threads, processes by each start method, and interpreters, on the same work."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, Sequence

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
    Tolerance,
    always,
    docs,
    seen,
)
from lab.cell.claims.measured import DELIVERED, Measured, claim, enough, judge, over, value_of
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring import starting as start_cost
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.memory import grown_by
from lab.cell.measuring.object_passing import REFUSED, SHARED, THINGS, hand
from lab.cell.measuring.rounds import ALONE, BLOCK_SECONDS, REPEAT, TEAM_SECONDS, Arm, Crew, probe, shuffler

METHODS = ("fork", "forkserver", "spawn")
HAS_INTERPRETERS = sys.version_info >= (3, 14)
NEEDS = "needs Python 3.14: concurrent.interpreters"

FEWEST_ROUNDS = 20
#: Rounds of starting, and of memory: an estimate needs five.
FEWEST_OTHERS = 5
#: When the machine is disturbed, so many are tried.
MOST_OTHERS = 10
#: Rounds of work for each of these.
BATCH = 3


def executors() -> tuple[str, ...]:
    """The kinds of workers that this Python has, in the order of a table."""
    return ("thread", *METHODS) + (("interpreter",) if HAS_INTERPRETERS else ())


def arms_for(cpus: int, gil: bool) -> tuple[Arm, ...]:
    """The arms of a round in a cell with that many CPUs; as many workers, at least two."""
    workers = max(2, cpus)
    free = workers <= cpus
    threads = Arm("work, thread", "count", threads=workers, clean=False, seconds=TEAM_SECONDS)
    if not gil:
        threads = threads._replace(clean=free, seconds=BLOCK_SECONDS, repeat=REPEAT)
    arms = [
        ALONE._replace(repeat=REPEAT),
        probe(cpus)._replace(repeat=REPEAT),
        threads,
    ]
    for method in METHODS:
        arms.append(
            Arm("work, " + method, "count", processes=workers, clean=free, repeat=REPEAT, method=method),
        )
    if HAS_INTERPRETERS:
        arms.append(
            Arm(
                "work, interpreter",
                "count",
                threads=workers,
                clean=free,
                seconds=2 * BLOCK_SECONDS,
                repeat=REPEAT,
                isolated=True,
            ),
        )
    return tuple(arms)


def run(recorder: Recorder) -> None:
    handed(recorder)
    arms = arms_for(len(recorder.cpus), gil_enabled())
    order = shuffler(recorder.seed)
    starts = {"start, " + name: block for name, block in start_cost.ways_to_start().items() if name in executors()}
    start_cost.ways_to_start()["forkserver"]()  # from here on its server is warm
    wanted = [*MEASURED.values()] + ([INTERPRETERS] if HAS_INTERPRETERS else [])
    rounds: list[Round] = []
    taken = 0
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus, methods=METHODS) as crew:
        crew.rounds(arms, 1, 2, order)  # warms up: interpreters are made, code is imported
        # Starting workers takes so long on a busy machine that the time can be up before there are enough rounds.
        while not rounds or (time.monotonic() < until and not enough(rounds, FEWEST_ROUNDS, wanted, until)):
            number = len(rounds)
            # What is started and what it takes is not held against the work: it has rounds of its own.
            if taken < FEWEST_OTHERS or (taken < MOST_OTHERS and not _known(rounds)):
                others: Round = dict(crew.gated(starts, number, order), **memory())
                taken += 1
                recorder.sample("round", others)
                rounds.append(others)
            for blocks in crew.rounds(arms, number, BATCH, order):
                recorder.sample("round", blocks)
                rounds.append(blocks)
    for name in executors():
        grown = value_of("memory, " + name, "bytes")(others)
        recorder.tell(
            "%s: started in %.2f ms, %.2f MiB each" % (name, 1e3 * others["start, " + name]["seconds"], grown / 2**20)
        )


def _known(rounds: Sequence[Round]) -> bool:
    """Whether enough starts were measured undisturbed."""
    return starting("thread").counts(rounds)[0] >= FEWEST_OTHERS


def handed(recorder: Recorder) -> None:
    """Hands each thing to a worker of each kind, and observes what came of it."""
    for executor in executors():
        outcomes = {name: hand(executor, name) for name in THINGS}
        for name, (outcome, error) in outcomes.items():
            recorder.observe("handed", {"executor": executor, "thing": name, "outcome": outcome, "error": error})
        told = ["%s %s%s" % (name, what, " (%s)" % error if error else "") for name, (what, error) in outcomes.items()]
        recorder.tell("handed to a worker by %s: %s" % (executor, ", ".join(told)))


def memory() -> dict[str, dict[str, Any]]:
    """By how much the memory of the whole family grows for each worker that waits to be used, in bytes."""
    found: dict[str, dict[str, Any]] = {}
    for name in executors():
        grown = grown_by(name)
        disturbed = "unreadable memory" if grown is None else None
        found["memory, " + name] = {"bytes": grown or 0, "disturbed": disturbed}
    return found


def starting(name: str) -> Measured:
    return Measured(("start, " + name,), value_of("start, " + name, "seconds"), unit="s", better="lower")


def taking(name: str) -> Measured:
    return Measured(
        ("memory, " + name,), lambda blocks: blocks["memory, " + name]["bytes"] / 2**20, unit="MiB", better="lower"
    )


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    names = [name for name in ("thread", *METHODS, "interpreter") if any("work, " + name in one for one in rounds)]
    speed_ups = [
        Measured(("work, " + name, ALONE.name), over("work, " + name, ALONE.name), better="higher").figure(
            "speed-up, " + name, rounds
        )
        for name in names
    ]
    return (
        speed_ups
        + [starting(name).figure("start, " + name, rounds) for name in names]
        + [taking(name).figure("memory each, " + name, rounds) for name in names]
    )


def alike(name: str, base: str) -> Measured:
    arm, other = "work, " + name, "work, " + base
    return Measured(
        (arm, other),
        over(arm, other),
        lambda times: f"{name} reached {times:.2f} times the speed of {base}",
        ceiling=DELIVERED,
        parallel=True,
    )


def ratio(key: str, what: str, describe: Callable[[float], str], slow: str, quick: str) -> Measured:
    return Measured(
        ("%s, %s" % (what, slow), "%s, %s" % (what, quick)),
        over("%s, %s" % (what, slow), "%s, %s" % (what, quick), key),
        describe,
    )


_EQUAL = Tolerance(0.85, 1.15, "the scheduler may keep two of them on one CPU for a moment")
_TWICE = Tolerance(2, None, "twice is more than the spread of either")

#: Name -> how it is measured, and the tolerance that confirms it.
MEASURED = {
    "spawn": (alike("spawn", "fork"), _EQUAL),
    "forkserver": (alike("forkserver", "fork"), _EQUAL),
    "threads start": (
        ratio(
            "seconds",
            "start",
            lambda times: f"starting a forked process took {times:.1f} times as long as a thread",
            "fork",
            "thread",
        ),
        _TWICE,
    ),
    "spawn takes more": (
        ratio(
            "bytes",
            "memory",
            lambda times: f"a spawned worker took {times:.1f} times the memory of a forked one",
            "spawn",
            "fork",
        ),
        _TWICE,
    ),
}
INTERPRETERS = (alike("interpreter", "fork"), _EQUAL)


def both_alike(evidence: Evidence, facts: Facts) -> Finding:
    """Forkserver and spawn against fork: the worse of the two findings."""
    found = [judge(*MEASURED[name])(evidence, facts) for name in ("forkserver", "spawn")]
    for verdict in (REFUTED, INCONCLUSIVE, CONFIRMED):
        for one in found:
            if one.verdict == verdict:
                return one._replace(reason="; ".join(finding.result for finding in found), clauses=())
    raise AssertionError("a measured claim is confirmed, refuted or inconclusive")


def from_3_14(verdict: str) -> Callable[[Facts], str | None]:
    return lambda facts: verdict if facts.version >= (3, 14) else UNTESTABLE


def with_interpreters(
    predicate: Callable[[Evidence, Facts], Finding],
) -> Callable[[Evidence, Facts], Finding]:
    """The same predicate, where there are interpreters."""

    def judged(evidence: Evidence, facts: Facts) -> Finding:
        return predicate(evidence, facts) if facts.version >= (3, 14) else Finding(UNTESTABLE, NEEDS)

    return judged


def judge_handing(executors: Sequence[str], things: Sequence[str], outcome: str) -> Callable[..., Finding]:
    """Whether these executors do that with each of these things; the reason names every exception to it."""

    def judged(evidence: Evidence, facts: Facts) -> Finding:
        seen = [one for one in evidence.all("handed") if one["executor"] in executors and one["thing"] in things]
        if not seen:
            return Finding(INCONCLUSIVE, "nothing was handed over")
        others = [one for one in seen if one["outcome"] != outcome]
        named = ", ".join("%s %s (%s)" % (one["thing"], one["outcome"], one["executor"]) for one in others)
        if not others:
            return Finding(CONFIRMED, "%s: %s" % (", ".join(things), outcome))
        return Finding(REFUTED, "but: " + named)

    return judged


def judge_nothing_shared(evidence: Evidence, facts: Facts) -> Finding:
    seen = [one for one in evidence.all("handed") if one["executor"] == "interpreter"]
    shared = [one["thing"] for one in seen if one["outcome"] == SHARED]
    refused = ["%s (%s)" % (one["thing"], one["error"]) for one in seen if one["outcome"] == REFUSED]
    if shared:
        return Finding(REFUTED, "shared: " + ", ".join(shared))
    return Finding(CONFIRMED if seen else INCONCLUSIVE, "refused: %s; the others copied" % ", ".join(refused))


EXPERIMENT = Experiment(
    name="executors",
    summary="Executors: threads, processes by fork, forkserver and spawn, and interpreters compared",
    method="The same pure Python code in as many workers of each kind as there are CPUs, in rounds of short blocks in"
    " random order beside the capacity probe; between them rounds in which a worker of each kind is started, and in"
    " which one is kept to see by how much the memory of the whole family grows (PSS). Six things are handed to a"
    " worker of each kind, which changes them: shared, copied or refused.",
    watch="What one worker costs to start and to keep, beside what it gains; and the list of what cannot be handed"
    " over. Interpreters scale like processes and start like none of the others.",
    run=run,
    typical_seconds=4.0,
    figures=figures,
    extra=True,
    claims=(
        Claim(
            "executors.processes-scale-alike",
            "once started, processes are as quick whichever way they were started",
            both_alike,
            always(CONFIRMED),
            2,
            _EQUAL,
            source=seen(),
        ),
        # PEP 684 and PEP 734: each interpreter has a GIL of its own.
        Claim(
            "executors.interpreters-scale",
            "interpreters in threads of one process scale as processes do",
            with_interpreters(judge(*INTERPRETERS)),
            from_3_14(CONFIRMED),
            2,
            _EQUAL,
            source=seen("PEP 684", "PEP 734"),
        ),
        claim(
            "executors.thread-starts-first",
            "a forked process takes more than twice as long to start as a thread",
            *MEASURED["threads start"],
            always(CONFIRMED),
            source=seen(),
        ),
        claim(
            "executors.spawn-takes-memory",
            "a spawned worker takes more than twice the memory of a forked one",
            *MEASURED["spawn takes more"],
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#contexts-and-start-methods")),
        ),
        Claim(
            "executors.threads-share-all",
            "a thread gets everything, and gets the thing itself",
            judge_handing(("thread",), tuple(THINGS), SHARED),
            always(CONFIRMED),
            source=seen(),
        ),
        # Documented: "Programming guidelines, The spawn and forkserver start methods", library/multiprocessing.
        Claim(
            "executors.pickling-refuses",
            "a lambda, a lock, an open file and a generator cannot be handed to a spawned process",
            judge_handing(("forkserver", "spawn"), ("lambda", "lock", "open file", "generator"), REFUSED),
            always(CONFIRMED),
            source=seen(docs("library/multiprocessing.html#programming-guidelines")),
        ),
        # Documented: "Object sharing between interpreters", library/concurrent.interpreters.
        Claim(
            "executors.interpreters-share-nothing",
            "an interpreter shares none of them with another",
            with_interpreters(judge_nothing_shared),
            from_3_14(CONFIRMED),
            source=seen(docs("library/concurrent.interpreters.html")),
        ),
    ),
)
