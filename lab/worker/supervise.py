"""The worker: the process that every engine starts in a cell, and the only one that can write records.

Each experiment runs in a forked child of its own session, which gives up the record channel before any experiment
code runs and speaks through a pipe. So an experiment that prints, closes descriptors, forks, exits, hangs or crashes
costs that experiment and nothing else: it can neither damage a record nor forge a proof or an end.
"""

import json
import os
import select
import signal
import time

from lab.worker import proof
from lab.worker.channel import Channel

#: Messages of an experiment that are longer than this, in bytes, are refused (the record around them needs room).
LONGEST_MESSAGE = 7168

_KINDS = ("observation", "sample", "event")


def main(job):
    """Run a job with its records on standard output; see :func:`work`."""
    return work(job, Channel.take_standard_output(job["session"], job["cell"]))


def work(job, channel):
    """Run a job and return the exit status: 0 when every experiment ended, 1 when one failed, 3 when stopped.

    ``job`` is a dict: ``session``, ``cell``, ``experiments`` (names), ``seconds`` (most time to measure, each
    experiment), ``width`` (half-width at which to stop sooner, a share), ``deadline_seconds`` (each experiment),
    ``cpus`` (how many CPUs the cell is to have, or ``None`` for all), ``pin`` (ids to narrow the affinity to, or
    ``None``), ``pinned_by`` (who is to have limited the cell: ``engine``, ``worker`` or ``none``).
    """
    stop = _stop_signals()
    if job.get("pin"):
        os.sched_setaffinity(0, job["pin"])
    before = proof.take()
    data = {
        "python": proof.python(),
        "proof": before,
        "pinned_by": job.get("pinned_by", "none"),
        "wanted_cpus": job.get("cpus"),
        "asked": job.get("asked"),
    }
    channel.emit("start", data)
    outcomes = set()
    if job.get("cpus") is None or len(before["affinity"]) >= job["cpus"]:
        for name in job["experiments"]:
            outcomes.add(run_experiment(channel, name, job, stop))
            if "stopped" in outcomes:
                break
    channel.end({"proof": proof.take(), "stopped": "stopped" in outcomes})
    return 3 if "stopped" in outcomes else int(bool(outcomes - {"ok"}))


def run_experiment(channel, name, job, stop):
    """Run one experiment in a child; emit what it says and how it ended.

    ``stop`` is a descriptor that becomes readable when the cell is asked to stop. Returns the outcome: ``ok``,
    ``failed``, ``timeout`` or ``stopped``.
    """
    begun = time.monotonic()
    channel.emit("begin", {"experiment": name})
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_experiment(channel, reader, writer, name, job)
    os.close(writer)
    try:
        faults, cut = _listen(channel, reader, name, begun + job["deadline_seconds"], child, stop)
    finally:
        os.close(reader)
        _kill_group(child)
        _, state = os.waitpid(child, 0)
    outcome, reason = "ok", None
    if cut == "timeout":
        outcome, reason = cut, "did not end within %g s" % job["deadline_seconds"]
    elif cut:
        outcome, reason = cut, "the cell was asked to stop"
    elif state:
        outcome, reason = "failed", _how_it_died(state)
    elif faults:
        outcome, reason = "failed", faults[0]
    seconds = time.monotonic() - begun
    channel.emit("finish", {"experiment": name, "outcome": outcome, "reason": reason, "seconds": seconds})
    return outcome


def _be_the_experiment(channel, reader, writer, name, job):
    """The child's whole life; never returns."""
    status = 1
    try:
        os.setsid()
        channel.close()
        os.close(reader)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        from lab.experiments import load
        from lab.experiments._voice import Voice

        load(name).run(Voice(writer, job["seconds"], job["width"]))
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        # Not sys.exit: the worker's own exit handlers and buffers are not the experiment's to run.
        os._exit(status)


def _listen(channel, reader, name, deadline, child, stop):
    """Turn the child's messages into records until it ends. Returns (faults, ``None`` or why it was cut short)."""
    faults = []
    pending = b""
    ended = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    sources = [reader, stop] + ([ended] if ended is not None else [])
    os.set_blocking(reader, False)
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return faults, "timeout"
            ready, _, _ = select.select(sources, [], [], left)
            pending, closed = _drain(channel, reader, name, pending, faults)
            if stop in ready:
                return faults, "stopped"
            # A grandchild may hold the pipe open for ever, so the child's own end is what counts where it is known.
            if closed or ended in ready:
                if pending:
                    faults.append("its last message is torn")
                return faults, None
    finally:
        if ended is not None:
            os.close(ended)


def _drain(channel, reader, name, pending, faults):
    while True:
        try:
            piece = os.read(reader, 65536)
        except BlockingIOError:
            return pending, False
        if not piece:
            return pending, True
        lines = (pending + piece).split(b"\n")
        pending = lines.pop()
        for line in lines:
            _relay(channel, name, line, faults)
        if len(pending) > LONGEST_MESSAGE:
            faults.append("sent a message longer than %d bytes" % LONGEST_MESSAGE)
            pending = b""


def _relay(channel, name, line, faults):
    try:
        message = json.loads(line)
        kind, data = message.pop("kind"), message
        if kind not in _KINDS or len(line) > LONGEST_MESSAGE:
            raise ValueError(kind)
        channel.emit(kind, dict(data, experiment=name))
    except (ValueError, KeyError, AttributeError, TypeError):
        faults.append("sent something that is not a message: %r" % line[:60])


def _kill_group(child):
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _how_it_died(state):
    if os.WIFSIGNALED(state):
        number = os.WTERMSIG(state)
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return "was killed by %s%s" % (signal.Signals(number).name, hint)
    return "exited with status %d" % os.WEXITSTATUS(state)


def _stop_signals():
    """A descriptor that becomes readable at SIGTERM or SIGINT.

    No exception is raised in the handler: it could tear the record that is being written just then.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    worker = os.getpid()

    def note(number, frame):
        if os.getpid() == worker:  # a forked child that has not yet reset its handlers must not stop the cell
            os.write(writer, b"!")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return reader
