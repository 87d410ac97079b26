"""The local engine: a process tree of this machine, pinned by affinity. It has no quota and no isolation."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.cell.cpus import cpulist
from lab.cell.worker.job import WorkerJob
from lab.engines import Sink, nothing
from lab.engines.cell_code import cell_code
from lab.engines.probing import alongside, machine_from, unanswered
from lab.engines.waiting import Deadline, signals_held
from lab.engines.worker_command import probe_job, worker_arguments, worker_job
from lab.errors import CellError, UsageError
from lab.model.cell import Job, Outcome
from lab.model.machine import Machine

#: Every process of a cell inherits this variable, with a value of its own for each cell: so it is found also when its
#: parents were killed, and in whatever session it has gone.
_MARK = "MULTICORE_LAB_CELL"

#: Where named semaphores are files (man 7 sem_overview).
_SEMAPHORES = Path("/dev/shm")  # noqa: S108 - names of one cell are looked for, nothing is made there

_PREFIX = "multicore-lab-"
#: Bytes of a socket's path, without its NUL (man 7 unix).
_LONGEST_SOCKET = 107
#: What a cell puts after a temporary folder, where each X is one that tempfile draws: this engine's folder, that of an
#: experiment (:mod:`lab.cell.worker.experiment_process`), and what multiprocessing makes for a Manager or a fork server
#: (``util.get_temp_dir``, ``connection.arbitrary_address``).
_SOCKET = f"/{_PREFIX}XXXXXXXX/lab-XXXXXXXX/pymp-XXXXXXXX/listener-XXXXXXXX"
#: Where to go from a temporary folder whose name is too long for that, as the multiprocessing of newer Pythons does.
_SHORT_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - a folder of nobody else's is made there

_NO_QUOTA = "a quota needs a container: lab run --engine docker"

_PROBE_SECONDS = 60.0
_GRACE_SECONDS = 2.0
_SWEEP_SECONDS = 2.0
_POLL_SECONDS = 0.2
_STDERR_KEPT = 4000


def connect(interpreter: str = sys.executable, arguments: Sequence[str] = (), **_: object) -> Local:
    """A local engine that runs ``interpreter`` with these ``arguments`` before all others.

    Raises UsageError where there is no CPU affinity (macOS, Windows).
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("this system has no CPU affinity; use an engine: lab run --engine docker")
    return Local(interpreter, arguments)


class Local:
    """Runs cells as child processes of one interpreter."""

    def __init__(self, interpreter: str, arguments: Sequence[str] = ()) -> None:
        self._interpreter = interpreter
        self._arguments = list(arguments)
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=_temporary(tempfile.gettempdir()))
        self._code = Path(self._folder.name) / "cell.zip"
        self._code.write_bytes(cell_code())

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        pieces: list[bytes] = []
        with alongside(meanwhile, pieces.append) as sink:
            outcome = self._cell(probe_job("probe"), sink, Deadline(_PROBE_SECONDS))
        stream = b"".join(pieces)
        if outcome.reason or not stream:
            raise unanswered(self._interpreter, outcome, "name another Python")
        machine = machine_from("local", stream, None, {"interpreter": self._interpreter})
        return replace(machine, no_quota=_NO_QUOTA)

    def run(self, job: Job, sink: Sink) -> Outcome:
        return self._cell(worker_job(job, list(job.cell.cpus)), sink, Deadline(job.cell_deadline, job.longest_silence))

    def close(self) -> None:
        self._folder.cleanup()

    def _cell(self, payload: WorkerJob, sink: Sink, patience: Deadline) -> Outcome:
        mark = secrets.token_hex(8)
        sink(b"")
        try:
            worker = subprocess.Popen(
                [self._interpreter, *self._arguments, *worker_arguments(self._code, payload._replace(mark=mark))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, _MARK: mark, "TMPDIR": self._folder.name},  # gone with the engine
                start_new_session=True,  # Ctrl-C is to reach the orchestrator alone
            )
        except OSError as error:
            raise CellError(
                f"cannot start {self._interpreter}: {error.strerror}; name a Python 3.9 or later"
            ) from error
        seen: dict[str, object] = {}

        def look(piece: bytes) -> None:
            if piece and not seen:  # its first record: by now it has pinned itself
                with contextlib.suppress(ProcessLookupError):
                    seen["affinity"] = cpulist.render(os.sched_getaffinity(worker.pid))
            sink(piece)

        try:
            tail, reason = _pump(worker, look, patience)
        finally:
            with signals_held():
                _end(worker, mark)
        code = worker.returncode
        if reason is None and code < 0:
            reason = f"the worker was killed by signal {-code} ({signal.strsignal(-code)})"
        return Outcome(exit_code=code, reason=reason, outside=seen, stderr_tail=tail)


def _temporary(usual: str) -> str:
    """The usual folder for temporary files, or a short one where sockets in a cell's would have too long a path."""
    if len(os.fsencode(usual)) + len(_SOCKET) <= _LONGEST_SOCKET:
        return usual
    return next((short for short in _SHORT_FOLDERS if os.access(short, os.W_OK | os.X_OK)), usual)


def _pump(worker: subprocess.Popen[bytes], sink: Sink, patience: Deadline) -> tuple[str, str | None]:
    """Read both streams until they close. Returns (the end of standard error, ``None`` or why it was cut short)."""
    assert worker.stdout
    assert worker.stderr
    streams = {worker.stdout.fileno(): True, worker.stderr.fileno(): False}
    tail = b""
    while any(streams.values()):  # a stray grandchild may hold standard error open; only the records count
        left = patience.left
        if left <= 0:
            return tail.decode(errors="replace"), patience.why
        ended = worker.poll() is not None  # before looking for output: what it wrote last is not to be missed
        ready, _, _ = select.select(list(streams), [], [], min(left, _POLL_SECONDS))
        sink(b"")
        for stream in ready:
            piece = os.read(stream, 65536)
            if not piece:
                del streams[stream]
            elif stream == worker.stdout.fileno():
                patience.heard()
                sink(piece)
            else:
                tail = (tail + piece)[-_STDERR_KEPT:]
        if ended and not ready:
            break
    return tail.decode(errors="replace"), None


def _end(worker: subprocess.Popen[bytes], mark: str) -> None:
    """Let the worker end by itself, then make it: first its own clean-up (SIGTERM), then whatever carries the mark."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if worker.poll() is None:
            worker.wait(0.2)
    if worker.poll() is None:
        worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(_GRACE_SECONDS)
    if worker.poll() is None:
        worker.kill()
    worker.wait()
    _sweep(mark)
    for stream in (worker.stdout, worker.stderr):
        if stream:
            stream.close()


def _sweep(mark: str) -> None:
    """Kill every process that carries the mark, and remove what they have named; a worker that ended by itself has left
    none."""
    until = time.monotonic() + _SWEEP_SECONDS
    while (left := _marked(f"{_MARK}={mark}".encode())) and time.monotonic() < until:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
    for semaphore in _SEMAPHORES.glob(f"*mp-{mark}-*"):
        with contextlib.suppress(OSError):
            semaphore.unlink()


def _marked(variable: bytes) -> list[int]:
    """The processes with this in their environment (man 5 proc, /proc/pid/environ; that of a zombie is empty)."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # not a process, not ours, or gone by now
            if entry.name.isdecimal() and variable in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found
