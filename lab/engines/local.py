"""The local engine: a process tree of this machine, pinned by affinity. It has no quota and no isolation."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab import interrupts, system
from lab.cell.cpus import cpulist
from lab.cell.programs.program import INHERIT
from lab.cell.worker.job import MARK, WorkerJob
from lab.engines import Sink, nothing, shared_memory
from lab.engines.cell_code import cell_code
from lab.engines.probing import PROBE_BYTES, PROBE_SECONDS, alongside, machine_from, unanswered
from lab.engines.temporary import SHORT_FOLDERS, TemporaryFolder, remove_abandoned, writing
from lab.engines.worker_command import image_beside, probe_job, worker_arguments, worker_job
from lab.errors import CellError, EngineError, UsageError
from lab.interrupts import signals_held
from lab.model.cell import Job, Outcome
from lab.model.machine import Machine
from lab.pythons.listening import Patience, listen

#: The most bytes that the path of a socket may have, without its NUL (man 7 unix).
_LONGEST_SOCKET = 107
#: The longest path that a cell adds to a temporary folder. Each X is a random character from tempfile. The parts are
#: the folder of this engine, the folder of an experiment (:mod:`lab.cell.worker.experiment_process`), and the folder
#: and the socket of a Manager or a fork server (``get_temp_dir`` and ``arbitrary_address`` in multiprocessing).
_SOCKET = f"/{system.PREFIX}XXXXXXXX/lab-XXXXXXXX/pymp-XXXXXXXX/listener-XXXXXXXX"

_NO_QUOTA = "a quota needs a container: lab run --engine docker"

#: How long a worker may take to end after SIGTERM, in seconds.
_GRACE_SECONDS = 2.0
#: How long processes of a cell are killed again, in seconds.
_SWEEP_SECONDS = 2.0


def connect(
    interpreter: str = sys.executable,
    arguments: Sequence[str] = (),
    note: Callable[[str], None] = lambda line: None,
    **_: object,
) -> Local:
    """A local engine that runs ``interpreter`` with these ``arguments`` before all other arguments.

    ``note`` takes lines that the user should know. Raises UsageError on a system without CPU affinity (macOS, Windows).
    """
    if why := system.why_not_local():
        raise UsageError(why, "run the cells in containers: --engine docker")
    return Local(interpreter, arguments, note)


class Local:
    """Runs cells as child processes of one interpreter."""

    def __init__(self, interpreter: str, arguments: Sequence[str], note: Callable[[str], None]) -> None:
        self._interpreter = interpreter
        self._arguments = list(arguments)
        self._note = note
        self._memory = shared_memory.names()
        #: The marks of the cells that run.
        self._marks: set[str] = set()
        with signals_held(), writing(kind=EngineError):
            remove_abandoned()
            self._folder = TemporaryFolder(_temporary(tempfile.gettempdir()))
            interrupts.leave(self, self._leave)

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        pieces: list[bytes] = []
        with alongside(meanwhile, pieces.append) as sink:
            outcome = self._cell(probe_job("probe"), sink, Patience(PROBE_SECONDS, most=PROBE_BYTES))
        stream = b"".join(pieces)
        if outcome.reason or not stream:
            raise unanswered(self._interpreter, outcome, "name another Python")
        machine = machine_from("local", stream, None, {"interpreter": self._interpreter})
        return replace(machine, no_quota=_NO_QUOTA)

    def run(self, job: Job, sink: Sink) -> Outcome:
        if image := image_beside(job):
            raise CellError(f"--against {image} is no folder here, and only a container engine has images")
        return self._cell(
            worker_job(job, list(job.cell.cpus), job.project, job.other),
            sink,
            Patience(job.cell_deadline, job.longest_silence, job.most_bytes),
        )

    def close(self) -> None:
        self._folder.cleanup()
        interrupts.leave_nothing(self)
        for path in shared_memory.orphans(self._memory):
            self._note(
                f"left behind: {path} came while the cells ran, and no process uses it; "
                f"if it is not another program's, remove it with: rm {shlex.quote(str(path))}"
            )

    def _leave(self) -> None:
        """Kill what runs, because there is no time to end it."""
        for mark in list(self._marks):
            _kill(mark)
        self._folder.cleanup()

    def _cell(self, payload: WorkerJob, sink: Sink, patience: Patience) -> Outcome:
        mark = secrets.token_hex(8)
        payload, inherited = _with_own_output(payload)
        own_code = Path(self._folder.name) / f"{mark}.zip"  # no cell reads what another may have changed
        archive = cell_code(packed=False)
        with writing(self._folder.name):
            own_code.write_bytes(archive)
        sink(b"")
        words = [self._interpreter, *self._arguments, *worker_arguments(own_code, payload._replace(mark=mark))]
        outside: dict[str, object] = {}

        def look(piece: bytes) -> None:
            if piece and not outside:  # this is its first record: the worker has pinned itself before
                with contextlib.suppress(ProcessLookupError):
                    outside["affinity"] = cpulist.render(os.sched_getaffinity(worker.pid))
            sink(piece)

        with contextlib.ExitStack() as stack:
            with signals_held():  # a signal finds either no worker, or one that will be ended
                worker = self._start_worker(words, mark, inherited)
                stack.callback(self._end_worker, worker, mark, own_code)
            tail, reason = listen(worker, look, patience)
        code = worker.returncode
        if reason is None and code < 0:
            reason = f"the worker was killed by signal {-code} ({signal.strsignal(-code)})"
        return Outcome(exit_code=code, reason=reason, outside=outside, stderr_tail=tail)

    def _start_worker(self, words: Sequence[str], mark: str, inherited: Sequence[int]) -> subprocess.Popen[bytes]:
        self._marks.add(mark)
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, MARK: mark, "TMPDIR": self._folder.name},  # removed with the engine
                start_new_session=True,  # only the orchestrator receives Ctrl-C
                pass_fds=inherited,
            )
        except OSError as error:
            raise CellError(
                f"cannot start {self._interpreter}: {error.strerror}", "name a Python 3.9 or later"
            ) from error

    def _end_worker(self, worker: subprocess.Popen[bytes], mark: str, own_code: Path) -> None:
        with signals_held():
            _end(worker, mark)
            own_code.unlink(missing_ok=True)
        self._marks.discard(mark)


def _with_own_output(job: WorkerJob) -> tuple[WorkerJob, tuple[int, ...]]:
    """A job whose programs write to the user, if they are to, and the descriptors that the worker needs for that."""
    cases = job.cases or {}
    if all(case.get("output") != INHERIT for case in cases.values()):
        return job, ()
    copies = _own_output()
    placed = {name: {**case, "inherited": list(copies)} for name, case in cases.items()}
    return job._replace(cases=placed), copies


@functools.cache
def _own_output() -> tuple[int, int]:
    """Copies of standard output and standard error. The worker has its own in their place."""
    return os.dup(1), os.dup(2)


def _temporary(folder: str) -> str:
    """The folder for temporary files, or a shorter folder if the path of a cell's sockets would become too long."""
    if len(os.fsencode(folder)) + len(_SOCKET) <= _LONGEST_SOCKET:
        return folder
    return next((short for short in SHORT_FOLDERS if os.access(short, os.W_OK | os.X_OK)), folder)


def _end(worker: subprocess.Popen[bytes], mark: str) -> None:
    """Wait for the worker to end, else end it with SIGTERM or SIGKILL. Then kill every process with the mark."""
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
    """Kill every process that carries the mark, and remove the named semaphores of the cell.

    Every process of the cell inherits the mark, which no other cell has. So each is found, also if its parents were
    killed, or if it has changed its session. A worker that ended by itself leaves neither.
    """
    end = time.monotonic() + _SWEEP_SECONDS
    while _kill(mark) and time.monotonic() < end:
        time.sleep(0.01)
    for semaphore in shared_memory.FOLDER.glob(f"*mp-{mark}-*"):
        with contextlib.suppress(OSError):
            semaphore.unlink()


def _kill(mark: str) -> bool:
    """Kill every process that carries the mark. Returns whether there was any."""
    processes = _marked(f"{MARK}={mark}".encode())
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return bool(processes)


def _marked(variable: bytes) -> list[int]:
    """The processes with this variable in their environment (man 5 proc, /proc/pid/environ; empty for a zombie)."""
    processes = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is no process, is another user's, or has ended
            if entry.name.isdecimal() and variable in (entry / "environ").read_bytes().split(b"\0"):
                processes.append(int(entry.name))
    return processes
