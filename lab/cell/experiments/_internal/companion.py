"""The sentinel's companion: it is busy on each of its CPUs in every other phase.

See :mod:`lab.cell.experiments._internal.sentinel`.
"""

from __future__ import annotations

import multiprocessing
import os
import time

from lab.cell.claims.claim import Experiment
from lab.cell.claims.recorder import Recorder
from lab.cell.experiments._internal.sentinel import PHASE_SECONDS, packed
from lab.cell.measuring.payloads import Tools, count

NAME = "_companion"


def run(recorder: Recorder) -> None:
    """Be busy in every other phase until the time is up, and record the interval."""
    context = multiprocessing.get_context("fork")
    until = time.monotonic() + recorder.seconds
    processes = [context.Process(target=_keep_busy, args=(cpu, until), daemon=True) for cpu in recorder.cpus]
    for process in processes:
        process.start()
    recorder.observe("busy from", time.monotonic() + 2 * PHASE_SECONDS, "s")
    recorder.observe("busy until", until, "s")
    for process in processes:
        process.join()


def _keep_busy(cpu: int, until: float) -> None:
    os.sched_setaffinity(0, {cpu})
    tools = Tools(b"", None)
    now = time.monotonic()
    while now < until:
        if packed(int(now / PHASE_SECONDS)):
            count(tools)
        else:
            time.sleep(max(0.0, (int(now / PHASE_SECONDS) + 1) * PHASE_SECONDS - now))
        now = time.monotonic()


EXPERIMENTS = {
    "": Experiment(
        name=NAME,
        summary="Busy on each of its CPUs in every other phase",
        method="A process on each CPU works in every other phase of 20 ms.",
        watch="Nothing: the sentinel measures.",
        run=run,
        claims=(),
    )
}
