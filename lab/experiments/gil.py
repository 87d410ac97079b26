"""The GIL: how many cores threads and processes really use, and when threads run in parallel after all."""

import threading
import time

from lab.experiments._claims import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Experiment,
    Finding,
    always,
    decide,
    disturbances,
    estimate_or_none,
    holds,
    undisturbed,
)
from lab.experiments._rounds import Arm, Crew, shuffler
from lab.experiments._voice import here
from lab.experiments.process import most_at_once

#: Cores used are read over blocks of at least 0.3 s: shorter ones hold too few hand-overs.
CROWD = Arm("100 threads", "count", threads=100, clean=False, seconds=0.3)

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

FEWEST_ROUNDS = 10
FEWEST_ROUNDS_ALONE = 6  # on one CPU there is nothing to decide, only to show


def arms_for(cpus):
    """The arms of a round in a cell with that many CPUs; with one CPU two workers still share it, to show it."""
    workers = max(2, cpus)
    return (
        Arm("one process", "count"),
        Arm("probe", "count", processes=cpus, pinned=True),
        Arm("processes", "count", processes=workers, clean=workers <= cpus),
        Arm("threads", "count", threads=workers, clean=False),
        Arm("C code", "digest"),
        Arm("C code threads", "digest", threads=workers, clean=False),
    )


def run(voice):
    waiting(voice)
    arms = arms_for(len(voice.cpus))
    order = shuffler()
    rounds = []
    until = time.monotonic() + voice.seconds
    voice.tell("measuring, in rounds: " + ", ".join(arm.name for arm in (*arms, CROWD)))
    with Crew(voice.cpus) as crew:
        crew.round(arms, order)  # warms up: first blocks fault in pages and start threads
        fewest = FEWEST_ROUNDS if len(voice.cpus) > 1 else FEWEST_ROUNDS_ALONE
        while len(rounds) < fewest or (time.monotonic() < until and not settled(rounds, voice)):
            rounds.append(crew.round((*arms, CROWD) if len(rounds) % 2 else arms, order))
            voice.sample("round", rounds[-1])
    voice.tell("%d rounds taken" % len(rounds))


def settled(rounds, voice):
    """Whether every estimate is as narrow as asked for, and no claim would be decided otherwise by more rounds."""
    if len(voice.cpus) == 1:
        return True
    found = [estimator(rounds) for estimator, _, _, _ in MEASURED.values()]
    if not all(
        one and one.high - one.low <= 2 * voice.width * one.value for one in [*found, speed_up(rounds, "probe")]
    ):
        return False
    return all(decide(one, low, high) != INCONCLUSIVE for one, (_, low, high, _) in zip(found, MEASURED.values()))


def waiting(voice):
    """Ten threads wait at the same time, GIL or not."""
    spans = []

    def wait():
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


def speed_up(rounds, arm, base="one process"):
    """The estimate of a speed-up, from ratios paired within each round that counts; or ``None``."""
    return estimate_or_none([blocks[arm]["rate"] / blocks[base]["rate"] for blocks in undisturbed(rounds, arm, base)])


def cores_used(rounds, arm):
    """The estimate of the cores used by an arm, in CPU seconds per second of wall time; or ``None``."""
    return estimate_or_none([blocks[arm]["cores"] for blocks in undisturbed(rounds, arm)])


#: Claim -> its estimator, the tolerance that confirms it, and the sentence that states the result.
MEASURED = {
    "gil.one-core": (
        lambda rounds: cores_used(rounds, CROWD.name),
        *ONE_CORE,
        "%d threads used %%.2f cores" % CROWD.threads,
    ),
    "gil.no-speedup": (
        lambda rounds: speed_up(rounds, "threads"),
        None,
        MOST_WITHOUT_SPEED_UP,
        "threads reached a speed-up of %.2f",
    ),
    "gil.processes-scale": (
        lambda rounds: speed_up(rounds, "processes", "probe"),
        LEAST_SCALING,
        None,
        "processes reached %.2f of the probe",
    ),
    "gil.always-one-core": (
        lambda rounds: speed_up(rounds, "C code threads", "C code"),
        None,
        MOST_WITHOUT_SPEED_UP,
        "threads in C code that drops the GIL reached a speed-up of %.2f",
    ),
}


def judge(claim):
    """The predicate of a measured claim; it decides nothing when the machine gave too little to tell."""
    estimator, low, high, sentence = MEASURED[claim]

    def predicate(evidence, facts):
        rounds = evidence.rounds("round")
        found, capacity = estimator(rounds), speed_up(rounds, "probe")
        good = len(undisturbed(rounds, "one process", "probe"))
        counts = {"accepted": good, "rejected": len(rounds) - good}
        if found is None or capacity is None:
            causes = ", ".join(disturbances(rounds, *rounds[0])) if rounds else "none was taken"
            return Finding(INCONCLUSIVE, "too few undisturbed rounds of %d (%s)" % (len(rounds), causes), **counts)
        verdict = decide(found, low, high)
        reason = sentence % found.value + "; the machine delivered %.2f CPUs" % capacity.value
        if capacity.low < LEAST_CAPACITY:
            verdict = INCONCLUSIVE
            reason = "the machine delivered only %.2f of %d CPUs" % (capacity.value, facts.cpus)
        elif verdict == INCONCLUSIVE:
            reason += "; the interval reaches over the tolerance"
        return Finding(verdict, reason, found.value, found.low, found.high, "", **counts)

    return predicate


EXPERIMENT = Experiment(
    name="gil",
    summary="The GIL: speed-up and cores used of threads, 100 threads and processes",
    method="Rounds of 50 ms blocks in random order: one process, as many threads and processes as CPUs (at least two),"
    " threads in C code that drops the GIL (SHA-256 of 64 KiB), and the capacity probe: one process pinned to each CPU,"
    " which shows what the machine delivered in that round. 100 threads run for 300 ms in every second round. Blocks in"
    " which a worker waited for a CPU or lost time do not count; speed-ups are medians of ratios within a round.",
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
