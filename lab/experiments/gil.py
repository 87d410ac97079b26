"""The GIL: how many cores threads and processes really use, and when threads run in parallel after all."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, NamedTuple, Sequence

from lab.experiments._claims import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Finding,
    Round,
    always,
    decide,
    disturbances,
    estimate_or_none,
    holds,
    undisturbed,
)
from lab.experiments._rounds import TEAM_SECONDS, Arm, Crew, shuffler
from lab.experiments._voice import Voice, here
from lab.experiments.process import most_at_once
from lab.stats import Estimate

#: Cores used are read over blocks of at least 0.3 s: shorter ones hold too few hand-overs.
CROWD = Arm("100 threads", "count", threads=100, clean=False, seconds=0.3, every=6)

#: Blocks of the short arms in a round: where the host takes CPUs away for milliseconds, one of them gets through.
REPEAT = 3

#: A second CPU that is really used shows as a speed-up near 2; scheduling noise as one near 1. In between lies 1.25,
#: which a second CPU that gives a quarter of itself would reach.
MOST_WITHOUT_SPEED_UP = 1.25
#: Nearer to one core than to none or to two. It is a little over one where another core is free: every waiting thread
#: wakes once in a switch interval to ask for the GIL, and with a hundred of them that adds up.
ONE_CORE = (0.5, 1.5)
#: Processes are said to scale when they reach this share of what pinned, independent processes reach.
LEAST_SCALING = 0.85
#: With less than this delivered, one cannot tell one core from several: the machine itself had only one to give.
LEAST_CAPACITY = 1.4

#: Seven batches, each with one block of the crowd: an interval of it needs five, and some are disturbed.
FEWEST_ROUNDS = 7 * CROWD.every
FEWEST_ROUNDS_ALONE = 5 * CROWD.every  # on one CPU there is nothing to decide, only to show


def arms_for(cpus: int) -> tuple[Arm, ...]:
    """The arms of a round in a cell with that many CPUs; with one CPU two workers still share it, to show it."""
    workers = max(2, cpus)
    return (
        Arm("one process", "count", repeat=REPEAT),
        Arm("probe", "count", processes=cpus, pinned=True, repeat=REPEAT),
        Arm("processes", "count", processes=workers, clean=workers <= cpus, repeat=REPEAT),
        Arm("threads", "count", threads=workers, clean=False, seconds=TEAM_SECONDS),
        Arm("C code", "digest", seconds=TEAM_SECONDS),
        Arm("C code threads", "digest", threads=workers, pinned=True, clean=False, seconds=TEAM_SECONDS),
    )


def run(voice: Voice) -> None:
    waiting(voice)
    arms = arms_for(len(voice.cpus))
    order = shuffler()
    rounds: list[Round] = []
    fewest = FEWEST_ROUNDS if len(voice.cpus) > 1 else FEWEST_ROUNDS_ALONE
    until = time.monotonic() + voice.seconds
    voice.tell("measuring, in rounds: " + ", ".join(arm.name for arm in (*arms, CROWD)))
    with Crew(voice.cpus) as crew:
        crew.rounds(arms, 1, 2, order)  # warms up: the first blocks fault in pages and start threads
        while time.monotonic() < until and not (len(rounds) >= fewest and settled(rounds, voice)):
            batch = crew.rounds((*arms, CROWD), len(rounds), CROWD.every, order)
            for blocks in batch:
                voice.sample("round", blocks)
            rounds.extend(batch)
    voice.tell("%d rounds taken" % len(rounds))


def settled(rounds: Sequence[Round], voice: Voice) -> bool:
    """Whether every estimate is as narrow as asked for, and no claim would be decided otherwise by more rounds."""
    if len(voice.cpus) == 1:
        return True
    found = [(one.estimator(rounds), one) for one in MEASURED.values()]
    widths = [estimate for estimate, _ in found] + [speed_up(rounds, "probe")]
    if not all(one and one.high - one.low <= 2 * voice.width * one.value for one in widths):
        return False
    return all(estimate and decide(estimate, one.low, one.high) != INCONCLUSIVE for estimate, one in found)


def waiting(voice: Voice) -> None:
    """Ten threads wait at the same time, GIL or not."""
    spans: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def wait() -> None:
        began = here()
        time.sleep(0.1)
        spans.append((began, here()))

    for _ in range(3):
        spans.clear()
        team = [threading.Thread(target=wait) for _ in range(10)]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        most = most_at_once([(began["at"], ended["at"]) for began, ended in spans])
        if most == 10:
            break
    for began, ended in spans:
        voice.tell("begins to wait", began)
        voice.tell("has waited", ended)
    voice.observe("waited at once", True if most == 10 else (False if most == 1 else None))


def speed_up(rounds: Sequence[Round], arm: str, base: str = "one process") -> Estimate | None:
    """The estimate of a speed-up, from ratios paired within each round that counts; or ``None``."""
    return estimate_or_none([blocks[arm]["rate"] / blocks[base]["rate"] for blocks in undisturbed(rounds, arm, base)])


def cores_used(rounds: Sequence[Round], arm: str) -> Estimate | None:
    """The estimate of the cores used by an arm, in CPU seconds per second of wall time; or ``None``."""
    return estimate_or_none([blocks[arm]["cores"] for blocks in undisturbed(rounds, arm)])


class Measured(NamedTuple):
    """How a claim is measured: its estimator, the tolerance that confirms it, the sentence that states the result."""

    estimator: Callable[[Sequence[Round]], Estimate | None]
    low: float | None
    high: float | None
    sentence: str


MEASURED = {
    "gil.one-core": Measured(
        lambda rounds: cores_used(rounds, CROWD.name), *ONE_CORE, "%d threads used %%.2f cores" % CROWD.threads
    ),
    "gil.no-speedup": Measured(
        lambda rounds: speed_up(rounds, "threads"),
        None,
        MOST_WITHOUT_SPEED_UP,
        "threads reached a speed-up of %.2f",
    ),
    "gil.processes-scale": Measured(
        lambda rounds: speed_up(rounds, "processes", "probe"),
        LEAST_SCALING,
        None,
        "processes reached %.2f of the probe",
    ),
    "gil.always-one-core": Measured(
        lambda rounds: speed_up(rounds, "C code threads", "C code"),
        None,
        MOST_WITHOUT_SPEED_UP,
        "threads in C code that drops the GIL reached a speed-up of %.2f",
    ),
}


def judge(claim: str) -> Callable[[Evidence, Facts], Finding]:
    """The predicate of a measured claim; it decides nothing when the machine gave too little to tell."""
    estimator, low, high, sentence = MEASURED[claim]

    def predicate(evidence: Evidence, facts: Facts) -> Finding:
        rounds = evidence.rounds("round")
        found, capacity = estimator(rounds), speed_up(rounds, "probe")
        good = len(undisturbed(rounds, "one process", "probe"))
        bad = len(rounds) - good
        if found is None or capacity is None:
            causes = ", ".join(disturbances(rounds, *rounds[0])) if rounds else "none was taken"
            because = "too few undisturbed rounds of %d (%s)" % (len(rounds), causes)
            return Finding(INCONCLUSIVE, because, accepted=good, rejected=bad)
        verdict = decide(found, low, high)
        reason = sentence % found.value + "; the machine delivered %.2f CPUs" % capacity.value
        if capacity.low < LEAST_CAPACITY:
            verdict = INCONCLUSIVE
            reason = "the machine delivered only %.2f of %d CPUs" % (capacity.value, facts.cpus)
        elif verdict == INCONCLUSIVE:
            reason += "; the interval reaches over the tolerance"
        return Finding(verdict, reason, found.value, found.low, found.high, "", good, bad)

    return predicate


EXPERIMENT = Experiment(
    name="gil",
    summary="The GIL: speed-up and cores used of threads, 100 threads and processes",
    method="Rounds of blocks of 5 to 25 ms in random order: one process; as many threads and processes as CPUs (at"
    " least two); threads in C code that drops the GIL (SHA-256 of 1 MiB); and the capacity probe, one process pinned"
    " to each CPU, which shows what the machine delivered in that round. 100 threads run for 300 ms in every sixth."
    " Blocks in which a worker waited for a CPU or lost time do not count. Speed-ups are medians of ratios within a"
    " round.",
    watch="Threads beside processes beside the probe. Where the probe itself gives little, nothing can be told.",
    run=run,
    claims=(
        Claim(
            "gil.one-core",
            "%d threads of Python code use one core" % CROWD.threads,
            judge("gil.one-core"),
            lambda facts: CONFIRMED if facts.gil else REFUTED,
            least_cpus=2,
        ),
        Claim(
            "gil.no-speedup",
            "threads do not speed up CPU-bound Python code",
            judge("gil.no-speedup"),
            lambda facts: CONFIRMED if facts.gil else REFUTED,
            least_cpus=2,
        ),
        Claim(
            "gil.processes-scale",
            "processes do, up to what the machine delivers",
            judge("gil.processes-scale"),
            always(CONFIRMED),
            least_cpus=2,
        ),
        Claim(
            "gil.always-one-core",
            "threads can never use more than one core",
            judge("gil.always-one-core"),
            always(REFUTED),
            least_cpus=2,
        ),
        Claim(
            "gil.waiting-overlaps",
            "threads overlap waiting",
            holds(
                "waited at once",
                "ten threads waited at the same time",
                "no two threads waited at the same time",
            ),
            always(CONFIRMED),
        ),
    ),
)
