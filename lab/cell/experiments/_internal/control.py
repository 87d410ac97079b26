"""Controls: claims whose truth is known beforehand, judged like any other, beside a neighbour of known strength.

``lab selftest`` runs them to count how often the lab is right, wrong or undecided on this machine. They do not belong
to the tutorial, so their names begin with an underscore.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from typing import Any, Callable, Mapping, Sequence

from lab.cell.claims.claim import CONFIRMED, REFUTED, Experiment, Round, Tolerance, always
from lab.cell.claims.measured import DELIVERED, Measured, claim, enough, over
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.rounds import ALONE, PROBE, REPEAT, Arm, Crew, probe, shuffler

FEWEST_ROUNDS = 10

#: The least and the longest burst of a neighbour, in seconds. Work of another machine on the same host is as long.
BURSTS = (0.005, 0.05)

#: Neighbour -> the share of its time for which it is busy.
NEIGHBOURS: Mapping[str, float] = {"idle": 0.0, "half": 0.5, "full": 1.0}


def arms_for(cpus: int) -> tuple[Arm, ...]:
    """The arms of a round: parallel work, serial work, the same work twice, and a tenth more work."""
    parallel = probe(cpus)._replace(name="parallel")
    serial = Arm("serial", "count in turn", processes=max(2, cpus), pinned=True, clean=False, has_own_cpus=cpus > 1)
    slower = Arm("slower", "count 10 % more")
    arms = (ALONE, probe(cpus), parallel, serial, ALONE._replace(name="same"), slower)
    return tuple(arm._replace(repeat=REPEAT) for arm in arms)


def disturb(cpu: int, share: float) -> None:
    """The neighbour: keep a CPU busy for a share of the time, in bursts of random length, without end."""
    os.sched_setaffinity(0, {cpu})
    order = random.Random(cpu)
    while True:
        burst = order.uniform(*BURSTS)
        until = time.monotonic() + burst
        while time.monotonic() < until:
            pass
        if share < 1:
            time.sleep(burst * (1 - share) / share)


def run_beside(share: float) -> Callable[[Recorder], None]:
    """The controls' ``run``. A neighbour on the cell's last CPU is busy for ``share`` of the time."""

    def run(recorder: Recorder) -> None:
        context = multiprocessing.get_context("fork")
        neighbour = context.Process(target=disturb, args=(recorder.cpus[-1], share), daemon=True) if share else None
        rounds: list[Round] = []
        arms = arms_for(len(recorder.cpus))
        order = shuffler(recorder.seed)
        with Crew(recorder.cpus) as crew:
            if neighbour:
                neighbour.start()
            try:
                crew.rounds(arms, 0, 1, order)  # warms up
                until = time.monotonic() + recorder.seconds
                while not enough(rounds, FEWEST_ROUNDS, _measured_with(len(recorder.cpus)), until):
                    for blocks in crew.rounds(arms, len(rounds), 2, order):
                        recorder.sample("round", blocks)
                        rounds.append(blocks)
            finally:
                if neighbour:
                    neighbour.kill()
                    neighbour.join()

    return run


def _ratio(arm: str, base: str, describe: Callable[[float], str], **options: Any) -> Measured:
    return Measured((arm, base), over(arm, base), describe, ceiling=DELIVERED, **options)


_PARALLEL = _ratio(
    "parallel",
    ALONE.name,
    lambda times: f"independent processes reached a speed-up of {times:.2f}",
    parallel=True,
    placed=True,
)
_SERIAL = _ratio(
    "serial",
    ALONE.name,
    lambda times: f"processes that take turns reached a speed-up of {times:.2f}",
    parallel=True,
    placed=True,
)
_QUARTER = "a quarter of a second CPU"
_TWENTIETH = "a twentieth is less than the tenth that the slower payload has more to do, and more than nothing"

#: Claim -> its statement, its measurement, its tolerance, the true verdict, and the fewest CPUs that it needs.
CONTROLS: Mapping[str, tuple[str, Measured, Tolerance, str, int]] = {
    "parallel-delivers": (
        "independent processes get what the machine delivers",
        _ratio("parallel", PROBE, lambda share: f"they reached {share:.2f} of it", parallel=True, placed=True),
        Tolerance(0.9, 1.1, "a tenth"),
        CONFIRMED,
        2,
    ),
    "parallel-scales": (
        "independent processes speed up",
        _PARALLEL,
        Tolerance(1.25, None, _QUARTER),
        CONFIRMED,
        2,
    ),
    "parallel-stays": (
        "independent processes do not speed up",
        _PARALLEL,
        Tolerance(None, 1.25, _QUARTER),
        REFUTED,
        2,
    ),
    "serial-stays": (
        "processes that take turns do not speed up",
        _SERIAL,
        Tolerance(None, 1.25, _QUARTER),
        CONFIRMED,
        2,
    ),
    "serial-scales": ("processes that take turns speed up", _SERIAL, Tolerance(1.25, None, _QUARTER), REFUTED, 2),
    "same-is-same": (
        "the same work is as quick the second time",
        _ratio("same", ALONE.name, lambda share: f"it reached {share:.3f} of the first"),
        Tolerance(0.95, 1.05, _TWENTIETH),
        CONFIRMED,
        1,
    ),
    "slower-is-same": (
        "a tenth more work is as quick",
        _ratio("slower", ALONE.name, lambda share: f"it reached {share:.3f} of the rate"),
        Tolerance(0.95, 1.05, _TWENTIETH),
        REFUTED,
        1,
    ),
}


def _measured_with(cpus: int) -> Sequence[tuple[Measured, Tolerance]]:
    return [(measured, tolerance) for _, measured, tolerance, _, least in CONTROLS.values() if least <= cpus]


def controls(neighbour: str) -> Experiment:
    """The experiment ``_control-<neighbour>``: the controls beside one of :data:`NEIGHBOURS`."""
    return Experiment(
        name="_control-" + neighbour,
        summary="Controls beside a neighbour that is " + neighbour,
        method="Rounds of blocks of 5 ms whose truth is known.",
        watch="No verdict may be wrong.",
        run=run_beside(NEIGHBOURS[neighbour]),
        claims=[
            claim("_control-%s.%s" % (neighbour, name), statement, measured, tolerance, always(truth), least)
            for name, (statement, measured, tolerance, truth, least) in CONTROLS.items()
        ],
    )


EXPERIMENTS = {neighbour: controls(neighbour) for neighbour in NEIGHBOURS}
