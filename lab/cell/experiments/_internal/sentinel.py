"""The sentinel: it repeats the same work on one CPU, while a companion on other CPUs is busy in every other phase.

The lab measures here whether cells may run side by side, because separate cores share caches, memory, power and heat.
Both cells use the same clock, so phases alone and packed alternate within tens of milliseconds. A disturbance that
changes more slowly affects both kinds of phase, and cancels in their ratio.
"""

from __future__ import annotations

import os
import time
from typing import Any

from lab.cell.claims.claim import Experiment
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.crew_worker import run_delay
from lab.cell.measuring.payloads import Tools, count
from lab.cell.measuring.rounds import MOST_RUN_DELAY, WAKE_SECONDS

#: The companion is busy in every other phase of the monotonic clock, which all containers of a machine share.
PHASE_SECONDS = 0.02
#: The beginning of a phase is not measured, because the companion's processes wake up or stop in it.
GUARD_SECONDS = 0.004

NAME = "_sentinel"


def packed(phase: int) -> bool:
    """Whether the companion is busy in that phase."""
    return phase % 2 == 1


def run(recorder: Recorder) -> None:
    """Measure pairs of phases, one alone and one packed, until the time is up."""
    os.sched_setaffinity(0, recorder.cpus[:1])
    until = time.monotonic() + recorder.seconds
    while time.monotonic() < until:
        first = int((time.monotonic() - GUARD_SECONDS) / PHASE_SECONDS) + 1  # the current phase, if it has just begun
        first += packed(first)  # the first phase of a pair is alone
        blocks = {"alone": _block(first), "packed": _block(first + 1)}
        recorder.sample("round", dict(blocks, clock={"began": first * PHASE_SECONDS}))


def _block(phase: int) -> dict[str, Any]:
    """The rate in one phase, in payloads per second, and the disturbance, if there was one."""
    begin, end = phase * PHASE_SECONDS + GUARD_SECONDS, (phase + 1) * PHASE_SECONDS
    arrival = time.monotonic()
    while arrival < begin:
        arrival = time.monotonic()  # a CPU that sleeps would lower its clock rate
    delay, units = run_delay(), 0
    tools = Tools(b"", None)
    start = now = time.monotonic()
    while now < end:
        count(tools)
        units += 1
        now = time.monotonic()
    waiting_time = (run_delay() or 0.0) - (delay or 0.0)
    if not units:  # the process got its CPU only after the phase
        return {"rate": 0.0, "disturbed": "run delay"}
    late = arrival - begin > WAKE_SECONDS or waiting_time > MOST_RUN_DELAY * (end - begin)
    return {"rate": round(units / (now - start), 2), "disturbed": "run delay" if late else None}


EXPERIMENTS = {
    "": Experiment(
        name=NAME,
        summary="The same work on one CPU, beside a companion that is busy in every other phase",
        method="Pairs of phases of 20 ms by a clock that both share. The companion is busy in one phase of each pair.",
        watch="Compare the rates of the two phases.",
        run=run,
        claims=(),
    )
}
