"""The sentinel's companion: busy on each of its CPUs in every other phase; see :mod:`lab.experiments._sentinel`."""

from __future__ import annotations

import multiprocessing
import os
import time

from lab.experiments._claims import Experiment
from lab.experiments._payloads import Tools, count
from lab.experiments._sentinel import PHASE_SECONDS, packed
from lab.experiments._voice import Voice

NAME = "_companion"


def run(voice: Voice) -> None:
    """Be busy in every other phase until the time is up, and say from when to when."""
    context = multiprocessing.get_context("fork")
    until = time.monotonic() + voice.seconds
    busy = [context.Process(target=_keep_busy, args=(cpu, until), daemon=True) for cpu in voice.cpus]
    for process in busy:
        process.start()
    voice.observe("busy from", time.monotonic() + 2 * PHASE_SECONDS, "s")
    voice.observe("busy until", until, "s")
    for process in busy:
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


EXPERIMENT = Experiment(
    name=NAME,
    summary="Busy on each of its CPUs every other moment",
    method="A process on each CPU, which works in every other phase of 20 ms.",
    watch="Nothing: the sentinel measures.",
    run=run,
    claims=(),
)
