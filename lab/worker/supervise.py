"""The worker: the process that every engine starts in a cell, and the only one that can write records.

Each experiment runs in a forked child of its own session, which gives up the record channel before any experiment
code runs and speaks through a pipe. So an experiment that prints, closes descriptors, forks, exits, hangs or crashes
costs that experiment and nothing else: it can neither damage a record nor forge a proof or an end. One that goes round
the worker and writes to the engine's side of the stream (``/proc/1/fd/1``) is found out by the numbers and the hash.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any, Mapping, NoReturn

from lab.experiments import load
from lab.experiments._voice import Voice
from lab.worker import offspring, proof, topology
from lab.worker.channel import Channel
from lab.worker.listener import Listener

#: How often to look whether an experiment has ended where the system cannot tell (Linux before 5.3).
_POLL_SECONDS = 0.05

#: An experiment may say this much, in bytes, and more for every second that it measures (an honest one says 5 KiB).
_MOST_BYTES, _MOST_BYTES_A_SECOND = 2**22, 2**16

#: How long D is measured, in seconds: two periods of nearly every quota there is.
_DELIVERED_SECONDS = 0.2

#: How much of a machine's description goes into one record, in characters, of which half may be quotes to be escaped.
_PIECE = 3500


def main(job: Mapping[str, Any]) -> int:
    """Run a job with its records on standard output; see :func:`work`."""
    return work(job, Channel.take_standard_output(job["session"], job["cell"]))


def work(job: Mapping[str, Any], channel: Channel) -> int:
    """Run a job and return the exit status: 0 when every experiment ended, 1 when one failed, 3 when stopped.

    ``job`` is a dict: ``session``, ``cell``, ``experiments`` (names), ``seconds`` (most time to measure, each
    experiment), ``width`` (half-width at which to stop sooner, a share), ``deadline_seconds`` (each experiment),
    ``cpus`` (how many CPUs the cell is to have, or ``None`` for all), ``quota`` (the CPUs that it is to be held to, or
    ``None``), ``pin`` (ids to narrow the affinity to, or ``None``), ``pinned_by`` (who is to have limited the cell:
    ``engine``, ``worker`` or ``none``), ``seed`` (of what is done in random order), ``look`` (whether to describe the
    build, the machine and its CPUs too).

    This process is the worker's alone: its signals, and every child that it has after an experiment, are taken over.
    """
    stop = _stop_signals()
    offspring.adopt_orphans()
    if job.get("pin"):
        os.sched_setaffinity(0, job["pin"])
    before = proof.take()
    offspring.end_all()
    data = {
        "python": proof.python(),
        "proof": before,
        "pinned_by": job.get("pinned_by", "none"),
        "wanted_cpus": job.get("cpus"),
        "asked": job.get("asked"),
        "quota": job.get("quota"),
        "seed": job.get("seed", 1),
    }
    if job.get("look"):  # how a build was compiled is slow to find out, and the same in every cell
        from lab.worker import compiled, host

        data["build"] = compiled.describe()
        data["host"] = host.describe()
    channel.emit("start", data)
    if job.get("look"):
        describe(channel, topology.read(allowed=before["affinity"]))
    outcomes = set()
    if job.get("cpus") is None or len(before["affinity"]) >= job["cpus"]:
        for name in job["experiments"]:
            outcomes.add(run_experiment(channel, name, job, stop))
            if "stopped" in outcomes:
                break
    last = {"proof": proof.take(), "stopped": "stopped" in outcomes}
    if outcomes and "stopped" not in outcomes:
        last["delivered"] = _delivered(before)
    channel.end(last)
    return 3 if "stopped" in outcomes else int(bool(outcomes - {"ok"}))


def describe(channel: Channel, reading: Mapping[str, Any]) -> None:
    """Emit what was read of the machine's CPUs, as JSON in pieces: that of a large one is longer than a record."""
    text = json.dumps(reading, separators=(",", ":"))
    for start in range(0, len(text), _PIECE):
        channel.emit("topology", {"text": text[start : start + _PIECE]})


def _delivered(seen: Mapping[str, Any]) -> dict[str, Any] | None:
    """D: what a busy process for each CPU got, in CPU seconds a second, and a sentence why where that is little."""
    from lab.worker import delivered  # only here: a cell that runs nothing is to cost nothing

    cpus, periods = seen["affinity"], [level["period_us"] / 1e6 for level in seen["quotas"]]
    rate = min([len(cpus), *(level["quota_cpus"] for level in seen["quotas"])])
    try:
        found = delivered.measure(cpus, len(cpus), _DELIVERED_SECONDS, max(periods, default=0.0))
    except OSError:  # no room for another process
        return None
    why = delivered.explain(found, rate).sentence
    return {"cpus": round(found.cpus, 4), "processes": found.processes, "seconds": found.seconds, "why": why}


def run_experiment(channel: Channel, name: str, job: Mapping[str, Any], stop: tuple[int, int]) -> str:
    """Run one experiment in a child; emit what it says and how it ended.

    ``stop`` is a pipe that becomes readable when the cell is asked to stop. Returns the outcome: ``ok``, ``failed``,
    ``timeout`` or ``stopped``.
    """
    begun = time.monotonic()
    channel.emit("begin", {"experiment": name})
    outcome, reason = _in_a_child(channel, name, job, stop, begun + job["deadline_seconds"])
    seconds = time.monotonic() - begun
    channel.emit("finish", {"experiment": name, "outcome": outcome, "reason": reason, "seconds": seconds})
    return outcome


def _in_a_child(
    channel: Channel, name: str, job: Mapping[str, Any], stop: tuple[int, int], deadline: float
) -> tuple[str, str | None]:
    """The experiment's life, from outside. Returns (outcome, the reason unless it is ``ok``)."""
    import shutil
    import tempfile

    listener = Listener(channel, name, _MOST_BYTES + _MOST_BYTES_A_SECOND * job["seconds"])
    reader, writer = os.pipe()
    folder = None
    try:
        try:
            folder = tempfile.mkdtemp(prefix="lab-")
            child = os.fork()
        except OSError as error:
            os.close(writer)
            return "failed", "could not be started: %s" % (error.strerror or error)
        if child == 0:
            _be_the_experiment(channel, name, job, writer, folder, (reader, *stop))
        os.close(writer)
        try:
            cut = _listen(listener, reader, child, deadline, stop[0])
        finally:
            _kill_group(child)
            _, state = os.waitpid(child, 0)
            gone = offspring.end_all()
        listener.hear_the_rest(reader)
    finally:
        os.close(reader)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    if cut == "timeout":
        return cut, "did not end within %g s" % job["deadline_seconds"]
    if cut == "stopped":
        return cut, "the cell was asked to stop"
    reason = (
        listener.raised
        or (_how_it_died(state) if state and not cut else None)
        or listener.fault
        or (None if listener.done else "ended before run() returned, or closed what it speaks through")
        or (None if gone else "left processes behind that could not be ended")
    )
    return ("failed", reason) if reason else ("ok", None)


def _be_the_experiment(
    channel: Channel, name: str, job: Mapping[str, Any], writer: int, folder: str, others: tuple[int, ...]
) -> NoReturn:
    """The child's whole life. ``folder`` takes its temporary files, which are to go even if it is killed; ``others``
    are descriptors of the worker: what is written to them would be taken for its own word."""
    status = 1
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        offspring.die_with_parent()
        channel.close()
        for descriptor in others:
            os.close(descriptor)
        _use_for_temporary_files(folder)
        status = _perform(name, Voice(writer, job["seconds"], job["width"], job.get("quota"), job.get("seed", 1)))
        sys.stdout.flush()
    finally:
        # Not sys.exit: the worker's own exit handlers and buffers are not the experiment's to run.
        os._exit(status)


def _use_for_temporary_files(folder: str) -> None:
    import tempfile

    os.environ["TMPDIR"] = tempfile.tempdir = folder


def _perform(name: str, voice: Voice) -> int:
    """Run the experiment and have the voice say how it ended. Returns the exit status."""
    try:
        load(name).run(voice)
    except BaseException as error:
        voice.end(error)
        import traceback  # seldom needed, and slow to load

        traceback.print_exc()
        return 1
    voice.end()
    return 0


def _listen(listener: Listener, reader: int, child: int, deadline: float, stop: int) -> str | None:
    """Hand what the child says to the listener until it ends. Returns ``None``, or why it has to be cut short."""
    ended = _end_of(child)
    sources = [reader, stop] + ([] if ended is None else [ended])
    os.set_blocking(reader, False)
    try:
        # Whether it closes its pipe says nothing, and a grandchild may hold it open: its own end is what counts. The
        # order matters too: one that never stops talking must neither pass its deadline nor drown a request to stop.
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "timeout"
            ready, _, _ = select.select(sources, [], [], left if ended is not None else min(left, _POLL_SECONDS))
            if stop in ready:
                return "stopped"
            if reader in ready and not listener.hear(reader):
                sources.remove(reader)
            if listener.overfull:
                return "overfull"
            if ended in ready or (ended is None and _has_ended(child)):
                return None
    finally:
        if ended is not None:
            os.close(ended)


def _end_of(child: int) -> int | None:
    """A descriptor that becomes readable when the child ends (man 2 pidfd_open); ``None`` where there is no such."""
    try:
        return os.pidfd_open(child)
    except (AttributeError, OSError):
        return None


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has not come to make a group of its own
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _how_it_died(state: int) -> str:
    if not os.WIFSIGNALED(state):
        return "exited with status %d" % os.WEXITSTATUS(state)
    number = os.WTERMSIG(state)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "signal %d" % number  # a real-time signal
    return "was killed by %s%s" % (name, " (out of memory?)" if number == signal.SIGKILL else "")


def _stop_signals() -> tuple[int, int]:
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
