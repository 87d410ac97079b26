"""The sentinel: the same work over and over on one CPU, while a companion elsewhere is busy every other moment.

Whether cells may run side by side is measured here, not assumed: cores that look apart share caches, memory, power and
heat. Both cells go by the same clock, so alone and packed alternate within tens of milliseconds. What comes and goes
more slowly on a shared machine falls out of the ratio.
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
#: The beginning of a phase is left out: the companion's processes have to wake up, or to stop.
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
        first = int((time.monotonic() - GUARD_SECONDS) / PHASE_SECONDS) + 1  # this one, if it has only begun
        first += packed(first)  # begin alone
        blocks = {"alone": _block(first), "packed": _block(first + 1)}
        recorder.sample("round", dict(blocks, clock={"began": first * PHASE_SECONDS}))


def _block(phase: int) -> dict[str, Any]:
    """The rate in one phase, in payloads a second, and what disturbed it, if anything."""
    begin, end = phase * PHASE_SECONDS + GUARD_SECONDS, (phase + 1) * PHASE_SECONDS
    came = time.monotonic()
    while came < begin:
        came = time.monotonic()  # asleep it would give up its speed
    delay, units = run_delay(), 0
    tools = Tools(b"", None)
    start = now = time.monotonic()
    while now < end:
        count(tools)
        units += 1
        now = time.monotonic()
    waited = (run_delay() or 0.0) - (delay or 0.0)
    if not units:  # it came when the phase was over
        return {"rate": 0.0, "disturbed": "run delay"}
    late = came - begin > WAKE_SECONDS or waited > MOST_RUN_DELAY * (end - begin)
    return {"rate": round(units / (now - start), 2), "disturbed": "run delay" if late else None}


EXPERIMENTS = {
    "": Experiment(
        name=NAME,
        summary="The same work on one CPU, beside a companion that is busy every other moment",
        method="Pairs of phases of 20 ms by a clock that both share, one with the companion busy, one without.",
        watch="The ratio of the two.",
        run=run,
        claims=(),
    )
}
