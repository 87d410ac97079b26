"""The local engine: a process tree of this machine, pinned by affinity. It has no quota and no isolation."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import cpuset
from lab.engines import Sink, cell_code, command, machine_from, order
from lab.errors import CellError, UsageError
from lab.model import Job, Machine, Outcome

_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.2
_STDERR_KEPT = 4000


def connect(interpreter: str = sys.executable, **_: object) -> Local:
    """A local engine that runs ``interpreter``. Raises UsageError where CPU affinity does not exist (macOS, Windows)."""
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("this system has no CPU affinity; use an engine: lab run --engine docker")
    return Local(interpreter)


class Local:
    """Runs cells as child processes of one interpreter."""

    def __init__(self, interpreter: str) -> None:
        self._interpreter = interpreter
        self._folder = tempfile.TemporaryDirectory(prefix="multicore-lab-")
        self._code = Path(self._folder.name) / "cell.zip"
        self._code.write_bytes(cell_code())

    def probe(self) -> Machine:
        job = {"session": "probe", "cell": "probe", "experiments": [], "cpus": None, "pin": None}
        try:
            done = subprocess.run(
                [self._interpreter, *command(self._code, job)], capture_output=True, timeout=60, check=False
            )
        except OSError as error:
            raise CellError(
                f"cannot start {self._interpreter}: {error.strerror}; name a Python 3.9 or later"
            ) from error
        return machine_from("local", done.stdout, None, {"interpreter": self._interpreter})

    def run(self, job: Job, sink: Sink) -> Outcome:
        cpus = list(job.cell.cpus)
        worker = subprocess.Popen(
            [self._interpreter, *command(self._code, order(job, cpus))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches the orchestrator alone, and the tree can be ended as one
        )
        try:
            tail, reason = _pump(worker, sink, time.monotonic() + job.cell_deadline)
        finally:
            _end(worker)
        code = worker.returncode
        if reason is None and code < 0:
            reason = f"the worker was killed by {signal.Signals(-code).name}"
        return Outcome(exit_code=code, reason=reason, outside={"affinity": cpuset.render(cpus)}, stderr_tail=tail)

    def close(self) -> None:
        self._folder.cleanup()


def _pump(worker: subprocess.Popen[bytes], sink: Sink, deadline: float) -> tuple[str, str | None]:
    """Read both streams until they close. Returns (the end of standard error, ``None`` or why it was cut short)."""
    assert worker.stdout
    assert worker.stderr
    streams = {worker.stdout.fileno(): True, worker.stderr.fileno(): False}
    tail = b""
    while any(streams.values()):  # a stray grandchild may hold standard error open; only the records count
        left = deadline - time.monotonic()
        if left <= 0:
            return tail.decode(errors="replace"), "it passed its deadline and was ended"
        ready, _, _ = select.select(list(streams), [], [], min(left, _POLL_SECONDS))
        sink(b"")
        for stream in ready:
            piece = os.read(stream, 65536)
            if not piece:
                del streams[stream]
            elif stream == worker.stdout.fileno():
                sink(piece)
            else:
                tail = (tail + piece)[-_STDERR_KEPT:]
        if not ready and worker.poll() is not None:
            break
    return tail.decode(errors="replace"), None


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Let the worker end by itself, then make it: first its own clean-up (SIGTERM), then the whole group."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if worker.poll() is None:
            worker.wait(0.2)
    if worker.poll() is None:
        worker.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(_GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for stream in (worker.stdout, worker.stderr):
        if stream:
            stream.close()
