"""The GIL: how many cores threads and processes use, and when threads run in parallel."""

from __future__ import annotations

import threading
import time
from typing import Any, Sequence

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Finding,
    Round,
    Tolerance,
    always,
    docs,
    holds,
    seen,
)
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import (
    CAPACITY,
    DELIVERED,
    Measured,
    claim,
    decided,
    enough,
    judge,
    narrow,
    over,
    value_of,
)
from lab.cell.claims.recorder import Recorder, here
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.overlap import most_at_once
from lab.cell.measuring.payloads import DIGEST_SIZES
from lab.cell.measuring.rounds import ALONE, BLOCK_SECONDS, REPEAT, TEAM_SECONDS, Arm, Crew, probe, shuffler

#: The cores used are measured over blocks of at least 0.3 s, because shorter blocks hold too few hand-overs.
CROWD = Arm("100 threads", "count", threads=100, clean=False, seconds=0.3, every=2)

#: Threads that contend for the GIL wake up inside their block. In a longer block waking up takes a smaller share.
THREADS_SECONDS = 0.05

#: C code that releases the GIL for long enough: a call takes about half a millisecond. Several short blocks take as
#: long as one. Where the host takes a CPU away for a moment, that spoils one of them, and not the round.
LARGE = "digest %d" % max(DIGEST_SIZES)
C_CODE_SECONDS, C_CODE_REPEAT = TEAM_SECONDS / REPEAT, REPEAT

#: The arms whose speeds are compared have their blocks beside each other.
BESIDE = "speed"

#: An interval needs so many blocks of the crowd, and disturbed blocks do not count.
FEWEST_BLOCKS = 5
#: On one CPU the rounds decide no claim, and are only shown; under a time limit below this one, in seconds, a quick
#: answer is wanted. There each round has a block of the crowd, which is a shorter one.
SHORT_LIMIT = 5.0
CROWD_SHORT = CROWD._replace(seconds=0.1, every=1)

#: Until this share of the time limit is over, intervals have to be narrow. Then it is enough that all is decided.
NARROWING_SHARE = 0.25


def arms_for(cpus: int, gil: bool = True) -> tuple[Arm, ...]:
    """The arms of a round in a cell with that many CPUs. On a single CPU two workers share it.

    Without a GIL, threads that have a CPU each do not wait, and a block need not be long enough for hand-overs.
    """
    workers = max(2, cpus)
    threads = Arm("threads", "count", threads=workers, clean=False, seconds=THREADS_SECONDS)
    if not gil:
        threads = threads._replace(clean=workers <= cpus, seconds=BLOCK_SECONDS, repeat=REPEAT)
    arms = (
        ALONE._replace(repeat=REPEAT, beside=BESIDE),
        probe(cpus)._replace(repeat=REPEAT, beside=BESIDE),
        Arm("processes", "count", processes=workers, clean=workers <= cpus, repeat=REPEAT, beside=BESIDE),
        threads,
    )
    if cpus == 1:  # a single CPU shows nothing about C code
        return arms
    return (
        *arms,
        Arm("C code", LARGE, seconds=C_CODE_SECONDS, repeat=C_CODE_REPEAT, beside=LARGE),
        Arm(
            "C code threads",
            LARGE,
            threads=workers,
            pinned=True,
            clean=False,
            has_own_cpus=True,
            seconds=C_CODE_SECONDS,
            repeat=C_CODE_REPEAT,
            beside=LARGE,
        ),
    )


def crowd_for(recorder: Recorder) -> Arm:
    """The crowd of a cell: in how many rounds it has a block, and how long a block is."""
    return CROWD if len(recorder.cpus) > 1 and recorder.seconds >= SHORT_LIMIT else CROWD_SHORT


def run(recorder: Recorder) -> None:
    observe_waiting(recorder)
    arms = arms_for(len(recorder.cpus), gil_enabled())
    order = shuffler(recorder.seed)
    rounds: list[Round] = []
    crowd = crowd_for(recorder)
    begun = time.monotonic()
    recorder.tell("measuring, in rounds: " + ", ".join(arm.name for arm in (*arms, crowd)))
    with Crew(recorder.cpus) as crew:
        crew.warm_up(arms, order)
        while not rounds or not settled(rounds, recorder, time.monotonic() - begun):
            due = arms if is_known(crowd, rounds, recorder.width) else (*arms, crowd)
            batch = crew.rounds(due, len(rounds), crowd.every, order)
            for blocks in batch:
                recorder.sample("round", blocks)
            rounds.extend(batch)
    recorder.tell("%d rounds taken" % len(rounds))


def settled(rounds: Sequence[Round], recorder: Recorder, elapsed: float) -> bool:
    """Whether to stop after so many seconds of measuring.

    Every claim has to be decided and, for some time, every interval as narrow as the recorder asks for. On one CPU it
    is enough that there are intervals.
    """
    until = time.monotonic() + recorder.seconds - elapsed
    if elapsed >= recorder.seconds:
        return True
    fewest = FEWEST_BLOCKS * crowd_for(recorder).every
    if len(recorder.cpus) == 1:
        return len(rounds) >= fewest and CAPACITY.estimate(rounds) is not None
    if not enough(rounds, fewest, MEASURED.values(), until):
        return False
    estimates = [CAPACITY.estimate(rounds), *(measured.estimate(rounds) for measured, _ in MEASURED.values())]
    is_narrow = all(narrow(estimate, recorder.width) for estimate in estimates)
    return is_narrow or elapsed >= NARROWING_SHARE * recorder.seconds


def is_known(crowd: Arm, rounds: Sequence[Round], width: float) -> bool:
    """Whether the crowd needs no more blocks. They are the longest ones, and no other arm is compared with them.

    It has to be decided how many cores the crowd uses, with a half-width of at most ``width``, a share of that number.
    """
    measured, tolerance = MEASURED["gil.one-core"]
    estimate = measured.estimate(rounds)
    has_enough = sum(crowd.name in blocks for blocks in rounds) >= FEWEST_BLOCKS
    return has_enough and decided(estimate, tolerance) and narrow(estimate, width)


def observe_waiting(recorder: Recorder) -> None:
    """Let ten threads wait at the same time, which the GIL does not prevent."""
    spans: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def wait() -> None:
        start = here()
        time.sleep(0.1)
        spans.append((start, here()))

    for _ in range(3):
        spans.clear()
        team = [threading.Thread(target=wait) for _ in range(10)]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        most = most_at_once([(start["at"], end["at"]) for start, end in spans])
        if most == 10:
            break
    for start, end in spans:
        recorder.tell("begins to wait", start)
        recorder.tell("has waited", end, start)
    recorder.observe("waited at once", True if most == 10 else (False if most == 1 else None))


def speed_up(rounds: Sequence[Round], arm: str, base: str = "one process") -> Estimate | None:
    """The estimate of a speed-up, from the ratios within each undisturbed round, or ``None`` if there are too few."""
    return Measured((arm, base), over(arm, base)).estimate(rounds)


def cores_used(rounds: Sequence[Round], arm: str) -> Estimate | None:
    """The estimate of the cores that an arm used (CPU seconds per second of wall time), or ``None``."""
    return Measured((arm,), value_of(arm, "cores")).estimate(rounds)


#: A speed-up below its upper bound shows that no second CPU was in use.
NO_SPEED_UP = Tolerance(
    None,
    1.25,
    "two CPUs in full use give a speed-up near 2, and scheduling noise alone gives a speed-up near 1; at 1.25 a"
    " quarter of a second CPU is in use",
)

#: The share of what the machine delivered from which processes gained all of it.
FULL_GAIN = Tolerance(
    0.85, None, "the scheduler may keep two of them on one CPU for a moment, and starting costs a little"
)

#: Claim -> its measurement, and the tolerance that confirms it.
MEASURED = {
    "gil.one-core": (
        Measured(
            (CROWD.name,),
            value_of(CROWD.name, "cores"),
            lambda cores: f"{CROWD.threads} threads used {cores:.2f} cores",
            ceiling=DELIVERED,
            parallel=True,
        ),
        Tolerance(
            0.5,
            1.5,
            "nearer to one core than to none or to two; it is a little over one where another core is free, because"
            " every waiting thread wakes once in a switch interval to ask for the GIL",
        ),
    ),
    "gil.no-speedup": (
        Measured(
            ("threads", "one process"),
            over("threads", "one process"),
            lambda times: f"threads reached a speed-up of {times:.2f}",
            ceiling=DELIVERED,
            parallel=True,
            better="higher",
        ),
        NO_SPEED_UP,
    ),
    "gil.processes-scale": (
        Measured(
            ("processes", "probe"),
            over("processes", "probe"),
            lambda share: f"processes reached {share:.2f} of what the machine delivered",
            ceiling=(("probe",), lambda blocks: 1.0),
            parallel=True,
            better="higher",
        ),
        FULL_GAIN,
    ),
    "gil.always-one-core": (
        Measured(
            ("C code threads", "C code"),
            over("C code threads", "C code"),
            lambda times: f"threads in C code that drops the GIL reached a speed-up of {times:.2f}",
            ceiling=DELIVERED,
            parallel=True,
            placed=True,
            better="higher",
        ),
        NO_SPEED_UP,
    ),
}


def judge_one_core(evidence: Evidence, facts: Facts) -> Finding:
    """Judge by the long blocks of the crowd, unless the short blocks of few threads contradict them.

    A contradiction means that the machine gives its CPUs for moments only. Short blocks can fall into such a moment,
    but long blocks cannot.
    """
    finding = judge(*MEASURED["gil.one-core"])(evidence, facts)
    measured, tolerance = MEASURED["gil.no-speedup"]
    estimate = measured.estimate(evidence.rounds("round"))
    if finding.verdict == CONFIRMED and estimate and tolerance.high is not None and estimate.low > tolerance.high:
        clause = "; yet for moments threads reached a speed-up of %.2f: a neighbour or a hidden quota takes the rest"
        return finding._replace(verdict=INCONCLUSIVE, reason=finding.reason + clause % estimate.value)
    return finding


EXPERIMENT = Experiment(
    name="gil",
    summary="The GIL: speed-up and cores used of threads, 100 threads and processes",
    method="Rounds of blocks of 5 to 50 ms in random order: one process; as many threads and processes as CPUs (at"
    " least two); threads in C code that releases the GIL (SHA-256 of 1 MiB); and the capacity probe. The probe is a"
    " process pinned to each CPU, and shows what the machine delivered in the round. In every second round"
    " 100 threads run for 300 ms (on one CPU, and with --quick, for 100 ms in each round), until it is known how many"
    " cores they use. Blocks in which a worker waited for a CPU or lost time do not count. Speed-ups are medians of"
    " ratios within a round.",
    watch="Compare threads, processes and the probe. Where the probe itself reaches little, the round shows nothing.",
    run=run,
    typical_share=NARROWING_SHARE,
    claims=(
        Claim(
            "gil.one-core",
            "%d threads of Python code use one core" % CROWD.threads,
            judge_one_core,
            lambda facts: CONFIRMED if facts.gil else REFUTED,
            2,
            MEASURED["gil.one-core"][1],
            advice="Size teams of threads by the CPUs that they may use on this build: threads of Python code"
            " really use them, and unlocked sharing really races.",
            source=seen("PEP 703", "PEP 779"),
        ),
        claim(
            "gil.no-speedup",
            "threads do not speed up CPU-bound Python code",
            *MEASURED["gil.no-speedup"],
            lambda facts: CONFIRMED if facts.gil else REFUTED,
            least_cpus=2,
            advice="Try threads before processes for CPU-bound Python code on this build: they share memory and"
            " start far sooner.",
            source=seen("PEP 703", "PEP 779"),
        ),
        claim(
            "gil.processes-scale",
            "processes speed up CPU-bound Python code, up to what the machine delivers",
            *MEASURED["gil.processes-scale"],
            always(CONFIRMED),
            least_cpus=2,
            advice="Measure before you add workers: something other than the GIL (a shared core, a quota, memory)"
            " limits what more processes would give.",
            source=seen(docs("library/multiprocessing.html")),
        ),
        claim(
            "gil.always-one-core",
            "threads use only one core, even in C code",
            *MEASURED["gil.always-one-core"],
            always(REFUTED),
            least_cpus=2,
            advice="Try threads for such C code (hashing, compression). Where it releases the GIL for long enough, it"
            " scales with threads, without the cost of processes.",
            source=seen(docs("library/hashlib.html"), "PEP 703"),
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
            source=seen(docs("glossary.html#term-global-interpreter-lock")),
        ),
    ),
)
