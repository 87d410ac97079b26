"""Executors: threads, processes by each start method, and interpreters, on the same work."""

from __future__ import annotations

import functools
import sys
import time
from random import Random
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
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.memory import cost_of
from lab.cell.measuring.object_passing import REFUSED, SHARED, THINGS, hand
from lab.cell.measuring.rounds import ALONE, BLOCK_SECONDS, REPEAT, TEAM_SECONDS, Arm, Crew, probe, shuffler

METHODS = ("fork", "forkserver", "spawn")
HAS_INTERPRETERS = sys.version_info >= (3, 14)
NEEDS = "needs Python 3.14: concurrent.interpreters"

FEWEST_ROUNDS = 10
#: Rounds that measure starts and memory. An estimate needs five.
FEWEST_START_ROUNDS = 5
#: A disturbed machine gets up to so many of these rounds.
MOST_START_ROUNDS = 10


def executors() -> tuple[str, ...]:
    """The kinds of workers that this Python has, in the order of a table."""
    return ("thread", *METHODS) + (("interpreter",) if HAS_INTERPRETERS else ())


def arms_for(cpus: int, gil: bool) -> tuple[Arm, ...]:
    """The arms of a round in a cell with that many CPUs. Each arm has as many workers as CPUs, but at least two."""
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
            Arm("work, " + method, "count", processes=workers, clean=free, repeat=REPEAT, beside="work", method=method),
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
                beside="work",
                isolated=True,
            ),
        )
    return tuple(arms)


def run(recorder: Recorder) -> None:
    pass_things(recorder)
    arms = arms_for(len(recorder.cpus), gil_enabled())
    order = shuffler(recorder.seed)
    cost_of("forkserver")  # from here on its server is warm
    measurements = [*MEASURED.values()] + ([INTERPRETERS] if HAS_INTERPRETERS else [])
    if len(recorder.cpus) == 1:  # where workers in parallel decide nothing, and are only shown
        measurements = [(measured, tolerance) for measured, tolerance in measurements if not measured.parallel]
    rounds: list[Round] = []
    start_rounds = 0
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus, methods=METHODS) as crew:
        crew.warm_up(arms, order)
        # Starting workers takes long on a busy machine, so the time can be up before there are enough rounds.
        while not rounds or (time.monotonic() < until and not enough(rounds, FEWEST_ROUNDS, measurements, until)):
            number = len(rounds)
            # Starts have their own rounds, so that they do not disturb the rounds of work.
            if start_rounds < FEWEST_START_ROUNDS or (start_rounds < MOST_START_ROUNDS and not _known(rounds)):
                start_round = measured_starts(crew, number, order)
                start_rounds += 1
                recorder.sample("round", start_round)
                rounds.append(start_round)
            rounds.extend(crew.rounds(arms, number, 1, order))
            recorder.sample("round", rounds[-1])
    for name in executors():
        growth = value_of("memory, " + name, "bytes")(start_round)
        milliseconds = 1e3 * start_round["start, " + name]["seconds"]
        recorder.tell("%s: started in %.2f ms, %.2f MiB each" % (name, milliseconds, growth / 2**20))


def _known(rounds: Sequence[Round]) -> bool:
    """Whether there are enough undisturbed measurements of starts."""
    return starting("thread").counts(rounds)[0] >= FEWEST_START_ROUNDS


def pass_things(recorder: Recorder) -> None:
    """Pass each thing to a worker of each kind, and record the outcomes."""
    for executor in executors():
        outcomes = {name: hand(executor, name) for name in THINGS}
        for name, (outcome, error) in outcomes.items():
            recorder.observe("handed", {"executor": executor, "thing": name, "outcome": outcome, "error": error})
        phrases = [
            "%s %s%s" % (name, outcome, " (%s)" % error if error else "") for name, (outcome, error) in outcomes.items()
        ]
        recorder.tell("handed to a worker by %s: %s" % (executor, ", ".join(phrases)))


def measured_starts(crew: Crew, number: int, order: Random) -> Round:
    """A round of one worker of each kind: how long it takes to start, and how much memory it takes."""
    memory: Round = {}

    def start(name: str) -> dict[str, Any]:
        seconds, growth = cost_of(name)
        disturbance = "unreadable memory" if growth is None else None
        memory["memory, " + name] = {"bytes": growth or 0, "disturbed": disturbance}
        return {"seconds": round(seconds, 8)}

    starts = {"start, " + name: functools.partial(start, name) for name in executors()}
    return {**crew.gated(starts, number, order), **memory}


def starting(name: str) -> Measured:
    return Measured(("start, " + name,), value_of("start, " + name, "seconds"), unit="s", better="lower")


def taking(name: str) -> Measured:
    return Measured(
        ("memory, " + name,), lambda blocks: blocks["memory, " + name]["bytes"] / 2**20, unit="MiB", better="lower"
    )


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    names = [
        name for name in ("thread", *METHODS, "interpreter") if any("work, " + name in blocks for blocks in rounds)
    ]
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
    arm, base_arm = "work, " + name, "work, " + base
    return Measured(
        (arm, base_arm),
        over(arm, base_arm),
        lambda times: f"{name} reached {times:.2f} times the speed of {base}",
        ceiling=DELIVERED,
        parallel=True,
    )


def ratio(key: str, quantity: str, describe: Callable[[float], str], arm: str, base: str) -> Measured:
    arms = "%s, %s" % (quantity, arm), "%s, %s" % (quantity, base)
    return Measured(arms, over(*arms, key), describe)


_EQUAL = Tolerance(0.85, 1.15, "the scheduler may keep two of them on one CPU for a moment")
_TWICE = Tolerance(2, None, "twice is more than the spread of either")

#: Name -> the measurement, and the tolerance that confirms the claim.
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
    """Compare forkserver and spawn with fork, and return the worse of the two findings."""
    findings = [judge(*MEASURED[name])(evidence, facts) for name in ("forkserver", "spawn")]
    reason = "; ".join(finding.result for finding in findings)
    for verdict in (REFUTED, INCONCLUSIVE, CONFIRMED):
        for finding in findings:
            if finding.verdict == verdict:
                return finding._replace(reason=reason, clauses=())
    raise AssertionError("a measured claim is confirmed, refuted or inconclusive")


def from_3_14(verdict: str) -> Callable[[Facts], str | None]:
    return lambda facts: verdict if facts.version >= (3, 14) else UNTESTABLE


def with_interpreters(
    predicate: Callable[[Evidence, Facts], Finding],
) -> Callable[[Evidence, Facts], Finding]:
    """The same predicate, but untestable before Python 3.14, which has no interpreters."""

    def judge_by_version(evidence: Evidence, facts: Facts) -> Finding:
        return predicate(evidence, facts) if facts.version >= (3, 14) else Finding(UNTESTABLE, NEEDS)

    return judge_by_version


def judge_handing(executors: Sequence[str], things: Sequence[str], outcome: str) -> Callable[..., Finding]:
    """Judge whether each thing has this outcome with each of these executors. The reason names every exception."""

    def judge_outcomes(evidence: Evidence, facts: Facts) -> Finding:
        trials = [
            trial for trial in evidence.all("handed") if trial["executor"] in executors and trial["thing"] in things
        ]
        if not trials:
            return Finding(INCONCLUSIVE, "nothing was handed over")
        exceptions = [
            "%s %s (%s)" % (trial["thing"], trial["outcome"], trial["executor"])
            for trial in trials
            if trial["outcome"] != outcome
        ]
        if exceptions:
            return Finding(REFUTED, "but: " + ", ".join(exceptions))
        return Finding(CONFIRMED, "%s: %s" % (", ".join(things), outcome))

    return judge_outcomes


def judge_nothing_shared(evidence: Evidence, facts: Facts) -> Finding:
    trials = [trial for trial in evidence.all("handed") if trial["executor"] == "interpreter"]
    things = [trial["thing"] for trial in trials if trial["outcome"] == SHARED]
    refusals = ["%s (%s)" % (trial["thing"], trial["error"]) for trial in trials if trial["outcome"] == REFUSED]
    if things:
        return Finding(REFUTED, "shared: " + ", ".join(things))
    return Finding(CONFIRMED if trials else INCONCLUSIVE, "refused: %s; the others copied" % ", ".join(refusals))


EXPERIMENT = Experiment(
    name="executors",
    summary="Executors: threads, processes by fork, forkserver and spawn, and interpreters compared",
    method="As many workers of each kind as there are CPUs run the same pure Python code, in rounds of short blocks in"
    " random order beside the capacity probe. Between them come rounds that start a worker of each kind. They measure"
    " how long it takes until it has run something, and by how much it makes the memory (PSS) of the whole process"
    " family grow while it waits. Six things are handed to a"
    " worker of each kind, which changes them: shared, copied or refused.",
    watch="Compare what a worker costs in start time and in memory with its speed-up. Then look at the things that"
    " cannot be handed over. Interpreters scale like processes, but their start cost is like that of no other kind.",
    run=run,
    typical_seconds=3.0,
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
