"""The cliff: the block size above which C code releases the GIL, as the speed-up of threads that hash shows it."""

from __future__ import annotations

import time
from typing import Sequence

from lab.cell.claims.claim import CONFIRMED, REFUTED, Evidence, Experiment, Figure, Round, Tolerance, always, docs, seen
from lab.cell.claims.measured import DELIVERED, Measured, claim, enough, over
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.payloads import DIGEST_SIZES
from lab.cell.measuring.rounds import ALONE, TEAM_SECONDS, Arm, Crew, probe, shuffler

FEWEST_ROUNDS = 5


def arms_for(cpus: int) -> tuple[Arm, ...]:
    """The arms of a round: for each block size a single thread, and a thread pinned to each CPU."""
    arms = [ALONE, probe(cpus)]
    for size in DIGEST_SIZES:
        payload = "digest %d" % size
        arms.append(Arm("one, %d" % size, payload, seconds=TEAM_SECONDS))
        team = Arm("threads, %d" % size, payload, threads=cpus, pinned=True, clean=False, seconds=TEAM_SECONDS)
        arms.append(team._replace(has_own_cpus=True))
    return tuple(arms)


def run(recorder: Recorder) -> None:
    if len(recorder.cpus) < 2:
        recorder.tell("with one CPU there is no speed-up to see: nothing is measured")
        return
    order = shuffler(recorder.seed)
    arms = arms_for(len(recorder.cpus))
    rounds: list[Round] = []
    until = time.monotonic() + recorder.seconds
    with Crew(recorder.cpus) as crew:
        while not enough(rounds, FEWEST_ROUNDS, MEASURED.values(), until):
            rounds.extend(crew.rounds(arms, len(rounds), 1, order))
            recorder.sample("round", rounds[-1])
    recorder.tell("%d rounds of %d block sizes taken" % (len(rounds), len(DIGEST_SIZES)))


def speed_up(size: int) -> Measured:
    team, base = "threads, %d" % size, "one, %d" % size
    return Measured(
        (team, base),
        over(team, base),
        lambda times: f"hashing blocks of {size} bytes, threads reached a speed-up of {times:.2f}",
        ceiling=DELIVERED,
        parallel=True,
        placed=True,
        better="higher",
    )


#: Claim -> how it is measured, and the tolerance that confirms it.
MEASURED = {
    "cliff.small-blocks": (
        speed_up(min(DIGEST_SIZES)),
        Tolerance(None, 1.25, "as for Python code: a quarter of a second CPU"),
    ),
    "cliff.large-blocks": (speed_up(max(DIGEST_SIZES)), Tolerance(1.25, None, "more than a quarter of a second CPU")),
}


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds = evidence.rounds("round")
    return [speed_up(size).figure("speed-up, SHA-256 of %d bytes" % size, rounds) for size in DIGEST_SIZES]


EXPERIMENT = Experiment(
    name="cliff",
    summary="Cliff: threads' speed-up against the size of the blocks that they hash in C",
    method="Rounds of blocks of 25 ms in random order, at six block sizes from 512 bytes to 1 MiB. One thread, and"
    " then a thread pinned to each CPU, repeat SHA-256 of as many bytes. Each round has a capacity probe too.",
    watch="hashlib keeps the GIL below 2048 bytes and releases it above. Just above, releasing and taking the GIL"
    " costs as much as the hash. Only long blocks reach what the machine delivers.",
    run=run,
    typical_seconds=2.2,
    figures=figures,
    claims=(
        claim(
            "cliff.small-blocks",
            "threads that hash blocks of 512 bytes do not speed up",
            *MEASURED["cliff.small-blocks"],
            lambda facts: CONFIRMED if facts.gil else REFUTED,
            least_cpus=2,
            advice="Small blocks scale with threads on this build. You need not collect larger blocks because of the"
            " GIL.",
            source=seen(docs("library/hashlib.html"), "PEP 703"),
        ),
        claim(
            "cliff.large-blocks",
            "threads that hash blocks of 1 MiB speed up",
            *MEASURED["cliff.large-blocks"],
            always(CONFIRMED),
            least_cpus=2,
            advice="Take processes for this work here: threads gain too little even in long calls of C code.",
            source=seen(docs("library/hashlib.html")),
        ),
    ),
    extra=True,
)
