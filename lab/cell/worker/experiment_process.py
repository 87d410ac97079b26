"""One experiment of a cell: run in a forked child, heard through a pipe, ended whatever it does.

The child has a session of its own and gives up the record channel before any experiment code runs. An experiment that
prints, closes descriptors, forks, exits, hangs or crashes therefore costs only itself. It can neither damage a record
nor forge a proof or an end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn, Sequence

from lab.cell.claims.recorder import Recorder
from lab.cell.cpus import process_limit
from lab.cell.experiments import load
from lab.cell.measuring import offspring
from lab.cell.worker import reaper
from lab.cell.worker.job import WorkerJob
from lab.cell.worker.message_reader import Listener
from lab.cell.worker.record_writer import Channel
from lab.cell.worker.surroundings import Surroundings, remove

#: How often to look whether an experiment has ended where the system cannot tell (Linux before 5.3).
_POLL_SECONDS = 0.05

#: How an experiment ended that has not said its end, and has no other exit status than 0.
SILENT = "called os._exit(0), or closed file descriptors that are not its own"

#: This many doubts after an experiment are told.
_MOST_DOUBTS = 8

#: An experiment may say this much, in bytes, and more for every second that it measures (an honest one says 5 KiB).
_MOST_BYTES, _MOST_BYTES_A_SECOND = 2**22, 2**16


def run_experiment(
    channel: Channel, name: str, job: WorkerJob, stop: tuple[int, int], surroundings: Surroundings
) -> str:
    """Run one experiment in a child; emit what it says, how it ended, and what makes the cell doubtful since.

    ``stop`` is a pipe that becomes readable when the cell is asked to stop. Returns the outcome: ``ok``, ``failed``,
    ``timeout`` or ``stopped``.
    """
    begun, refused = time.monotonic(), process_limit.refusals()
    channel.emit("begin", {"experiment": name})
    listener = Listener(channel, name, _MOST_BYTES + _MOST_BYTES_A_SECOND * job.seconds)
    outcome, reason, gone = _in_a_child(channel, listener, name, job, stop, begun + job.deadline_seconds, surroundings)
    seconds = time.monotonic() - begun
    doubts = surroundings.put_back()
    if not gone:
        doubts.append("processes were left behind that could not be ended")
    if reason and (process_limit.says_it_is_met(reason) or process_limit.refusals() > refused):
        limit = process_limit.named_limit()
        reason += "" if limit in reason else "; no more processes or threads could start: %s" % limit
    data: dict[str, Any] = {"experiment": name, "outcome": outcome, "reason": reason, "seconds": seconds}
    if listener.frames:
        data["frames"] = listener.frames
    channel.emit("finish", dict(data, doubts=_shown(doubts)) if doubts else data)
    return outcome


def _shown(doubts: Sequence[str]) -> list[str]:
    """The first doubts, since a record has to be short."""
    more = len(doubts) - _MOST_DOUBTS
    return [*doubts[:_MOST_DOUBTS], "and %d more" % more] if more > 0 else list(doubts)


def _in_a_child(
    channel: Channel,
    listener: Listener,
    name: str,
    job: WorkerJob,
    stop: tuple[int, int],
    deadline: float,
    surroundings: Surroundings,
) -> tuple[str, str | None, bool]:
    """The experiment's life, from outside. Returns (outcome, the reason unless it is ``ok``, whether all has ended)."""
    import tempfile

    reader, writer = os.pipe()
    folder = None
    try:
        try:
            # Whoever finds the file with the records after a SIGKILL finds this folder too.
            folder = tempfile.mkdtemp(prefix="lab-%s-" % job.mark if job.kept_in else "lab-")
            child = os.fork()
        except OSError as error:
            os.close(writer)
            return "failed", "could not be started: %s" % (error.strerror or error), True
        if child == 0:
            _be_the_experiment(channel, name, job, writer, folder, (reader, *stop))
        os.close(writer)
        try:
            cut = _listen(listener, reader, child, deadline, stop[0])
        finally:
            _kill_group(child)
            _, state = os.waitpid(child, 0)
            gone = reaper.end_all(strays=surroundings.strays)
        listener.hear_the_rest(reader)
    finally:
        os.close(reader)
        if folder:
            remove(folder)
    if cut == "timeout":
        return cut, "did not end within %g s" % job.deadline_seconds, gone
    if cut == "stopped":
        return cut, "the cell was asked to stop", gone
    reason = (
        listener.raised
        or (_how_it_died(state) if state and not cut else None)
        or listener.fault
        or (None if listener.done else SILENT)
        or (None if gone else "left processes behind that could not be ended")
    )
    return ("failed", reason, gone) if reason else ("ok", None, gone)


def _be_the_experiment(
    channel: Channel, name: str, job: WorkerJob, writer: int, folder: str, others: tuple[int, ...]
) -> NoReturn:
    """The child's whole life.

    ``folder`` takes its temporary files, which are removed even if the child is killed. ``others`` are descriptors of
    the worker: what the child writes to them would be taken for the worker's own records.
    """
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
        if job.mark:
            _mark_semaphores(job.mark)
        status = _perform(name, _recorder(writer, name, job))
        sys.stdout.flush()
    finally:
        # Not sys.exit: the worker's own exit handlers and buffers are not the experiment's to run.
        os._exit(status)


def _recorder(writer: int, name: str, job: WorkerJob) -> Recorder:
    case = (job.cases or {}).get(name)
    return Recorder(writer, job.seconds, job.width, job.quota, job.seed, case)


def _use_for_temporary_files(folder: str) -> None:
    import tempfile

    os.environ["TMPDIR"] = tempfile.tempdir = folder


def _mark_semaphores(mark: str) -> None:
    """Let the names of semaphores begin with this. A spawned process finds a lock by its name, which stays behind in
    /dev/shm when all who would remove it are killed; in a container it goes with that."""
    import multiprocessing

    config = getattr(multiprocessing.current_process(), "_config", None)  # its children inherit it
    if isinstance(config, dict):
        config["semprefix"] = "/mp-" + mark


def _perform(name: str, recorder: Recorder) -> int:
    """Run the experiment and have the recorder say how it ended. Returns the exit status."""
    try:
        load(name).run(recorder)
    except BaseException as error:  # whatever an experiment raises, SystemExit too, is what became of it
        is_said = recorder.end(error)
        import traceback  # seldom needed, and slow to load

        with contextlib.suppress(Exception):  # it may have closed standard error, or the exception has no text
            traceback.print_exc()
        return int(is_said)  # what ends with 0 and has said nothing is told as such
    recorder.end()
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
