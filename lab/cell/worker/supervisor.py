"""The worker: the process that every engine starts in a cell, and the only one that can write records.

Each experiment runs in a child (:mod:`lab.cell.worker.experiment_process`), which can neither damage a record nor forge
a proof or an end. One that goes round the worker and writes to the engine's side of the stream (``/proc/1/fd/1``) is
found out by the numbers and the hash."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from typing import Any, Callable, Iterable, Mapping

from lab.cell.measuring import offspring
from lab.cell.worker import proof, reaper
from lab.cell.worker.job import MARK, WorkerJob, from_json
from lab.cell.worker.record_writer import Channel

#: How long D is measured, in seconds: a period of nearly every quota there is. A D that is not what is allowed is
#: measured again, for up to so long in all.
_DELIVERED_SECONDS, _AGAIN_SECONDS = 0.1, 0.4

#: How much of a machine's description goes into one record, in characters, of which half may be quotes to be escaped.
_PIECE = 3500


def main(text: str) -> int:
    """Run a job, written as JSON, with its records on standard output; see :func:`work`."""
    job = from_json(text)
    folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - the file is new, and only for this user
    for name in job.spent:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
    copy = os.path.join(folder, job.kept_in) if job.kept_in else None
    return work(job, Channel.take_standard_output(job.session, job.cell, copy))


def pin_itself(job: WorkerJob) -> None:
    """Narrow the affinity of this process to the CPUs of a job whose engine sets no CPU set. Children inherit it."""
    if job.pin:
        os.sched_setaffinity(0, job.pin)


def work(job: WorkerJob, channel: Channel, stop: tuple[int, int] | None = None) -> int:
    """Run a job and return the exit status: 0 when every experiment ended, 1 when one failed, 3 when stopped.

    This process is the worker's alone: its signals, and every child that it has after an experiment, are taken over.
    ``stop`` is what :func:`stop_signals` has made, if this process listens to its signals already.
    """
    stop = stop or stop_signals()
    strays = _strays(job)
    pin_itself(job)
    before = proof.take_proof(pool=not job.look)
    reaper.end_all()
    data = {
        "python": proof.python(),
        "proof": before,
        "pinned_by": job.pinned_by,
        "wanted_cpus": job.cpus,
        "asked": job.asked,
        "quota": job.quota,
        "seed": job.seed,
    }
    if job.look:  # how a build was compiled is slow to find out, and the same in every cell
        from lab.cell.cpus import host, topology
        from lab.cell.worker import build_info

        data["build"] = build_info.describe()
        data["host"] = host.describe()
    channel.emit("start", data)
    if job.look:
        describe(channel, topology.read_topology(allowed=before["affinity"]))
    outcomes = _run(channel, job, stop, strays) if len(before["affinity"]) >= (job.cpus or 0) else set()
    last = {"proof": proof.take_proof(pool=False), "stopped": "stopped" in outcomes}
    if outcomes and "stopped" not in outcomes:
        last["delivered"] = _delivered(before)
    channel.end(last)
    if "stopped" in outcomes:  # whoever asked for that has read the stream
        channel.remove_copy()
    return 3 if "stopped" in outcomes else int(bool(outcomes - {"ok"}))


def look_up(job: WorkerJob, channel: Channel, stop: tuple[int, int]) -> set[str]:
    """Run the experiments of a job that measure nothing, without any proof. Returns their outcomes."""
    strays = _strays(job)
    pin_itself(job)
    return _run(channel, job, stop, strays)


def _strays(job: WorkerJob) -> Callable[[], Iterable[int]]:
    """What finds the processes that an experiment leaves behind, besides this process's own children."""
    variable = ("%s=%s" % (MARK, job.mark)).encode() if job.mark else b""
    return tuple if offspring.adopt_orphans() else reaper.Strays(job.alone, variable)


def _run(channel: Channel, job: WorkerJob, stop: tuple[int, int], strays: Callable[[], Iterable[int]]) -> set[str]:
    """Run the experiments of a job, to the end or until the cell is asked to stop. Returns their outcomes."""
    outcomes: set[str] = set()
    if job.experiments:
        from lab.cell.worker import experiment_process, surroundings  # only here: a probe runs nothing

        kept = surroundings.Surroundings(job.alone, getattr(globals().get("__loader__"), "archive", None), strays)
        for name in job.experiments:
            outcome = experiment_process.run_experiment(channel, name, job, stop, kept)
            if outcome == "failed" and select.select([stop[0]], [], [], 0)[0]:  # the signal went to the experiment too
                outcome = "stopped"
            outcomes.add(outcome)
            if outcome == "stopped":
                break
    return outcomes


def describe(channel: Channel, reading: Mapping[str, Any]) -> None:
    """Emit what was read of the machine's CPUs, as JSON in pieces: that of a large one is longer than a record."""
    text = json.dumps(reading, separators=(",", ":"))
    for start in range(0, len(text), _PIECE):
        channel.emit("topology", {"text": text[start : start + _PIECE]})


def _delivered(seen: Mapping[str, Any]) -> dict[str, Any] | None:
    """D, measured with a busy process for each CPU, in CPU seconds per second, with a sentence that explains a small D.

    Returns ``None`` where the processes cannot be started.
    """
    from lab.cell.cpus import delivered  # only here, as above
    from lab.cell.cpus.rate import rate_of

    cpus, periods = seen["affinity"], [level["period_us"] / 1e6 for level in seen["quotas"]]
    rate = rate_of(len(cpus), [level["quota_cpus"] for level in seen["quotas"]])
    try:
        period = max(periods, default=0.0)
        measurement = delivered.settle(cpus, len(cpus), rate, _DELIVERED_SECONDS, period, _AGAIN_SECONDS)
    except OSError:  # no room for another process
        return None
    why = delivered.explain(measurement, rate).sentence
    return {
        "cpus": round(measurement.cpus, 4),
        "processes": measurement.processes,
        "seconds": measurement.seconds,
        "why": why,
    }


def stop_signals() -> tuple[int, int]:
    """A pipe, as (reader, writer), that becomes readable at SIGTERM or SIGINT.

    No exception is raised in the handler: it could tear the record that is being written just then.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    worker = os.getpid()

    def note(number: int, frame: object) -> None:
        if os.getpid() == worker:  # a forked child that has not yet reset its handlers must not stop the cell
            with contextlib.suppress(BlockingIOError):  # it is full of requests to stop
                os.write(writer, b"!")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return reader, writer
