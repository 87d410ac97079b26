"""The Slurm engine: each cell is a step of one allocation, on the CPUs that the planner chose.

A step gets its CPUs from Slurm as an affinity (``--cpu-bind=mask_cpu``), because Slurm chooses the control group of a
step by itself. The code of a cell travels on the standard input of its step. So it needs no shared folder, fills no
disk, and is in no command line that Slurm keeps.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from lab.cell.cpus import cpulist
from lab.cell.worker.job import MARK, WorkerJob
from lab.engines import Sink, nothing
from lab.engines.cell_code import cell_code
from lab.engines.probing import PROBE_BYTES, PROBE_SECONDS, alongside, machine_from, unanswered
from lab.engines.slurm_allocation import OpenAllocation
from lab.engines.slurm_images import FIX, folders_of, in_image
from lab.engines.slurm_programs import check_programs, reasons_of
from lab.engines.slurm_records import StepRecords
from lab.engines.slurm_words import (
    ending_of,
    is_not_created,
    not_started,
    says_task_has_ended,
    without_chatter,
)
from lab.engines.temporary import temporary_file
from lab.engines.worker_command import image_beside, probe_job, worker_arguments, worker_job
from lab.errors import CellError
from lab.interrupts import signals_held
from lab.model.allocation import Allocation
from lab.model.cell import Job, Outcome
from lab.model.machine import Machine
from lab.pythons.listening import Patience, listen

_NO_QUOTA = "a quota needs a container: lab run --engine docker"

#: How long a probe of an image may take, in seconds: the node may have to pull and to convert it.
_IMAGE_SECONDS = 900.0

#: How long a worker may take to end after SIGTERM, and how long Slurm may take to kill a step, in seconds.
_GRACE_SECONDS, _KILL_SECONDS = 2.0, 5.0

#: Finds a program on the PATH of the node: srun itself would look for it on this machine.
_ON_NODE = ("/usr/bin/env",)

#: How long it is waited after each time that Slurm has not created a step, in seconds.
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 0.0)
_POLL_SECONDS = 0.2

#: What Slurm says of the affinity that it has set, with ``--cpu-bind=verbose``.
_BOUND = re.compile(r"^cpu-bind=MASK .* mask 0x([0-9a-fA-F]+) set", re.MULTILINE)


def connect(
    allocation: Allocation | None = None,
    session: str = "",
    image: str | None = None,
    program: str = "python3",
    arguments: Sequence[str] = (),
    note: Callable[[str], None] = lambda line: None,
    **_: object,
) -> Slurm:
    """An engine on a node of Slurm, whose cells run ``program`` with these ``arguments`` before all others.

    Without a path in it, ``program`` is looked for on the PATH of the node, or of the ``image``, which a container
    runtime starts there. The node is asked for when the engine is probed. ``note`` takes lines that the user should
    know. Raises EngineError where Slurm's programs are missing.
    """
    check_programs()
    return Slurm(OpenAllocation(allocation or Allocation(), session, note), image, program, arguments)


class _Work(NamedTuple):
    """What a step does."""

    #: The job, as its worker reads it.
    payload: WorkerJob
    #: The CPUs of its affinity; without any, it has all of its allocation.
    cpus: Sequence[int] = ()
    #: The user's folders that an image sees, as :func:`folders_of` has them.
    folders: Sequence[str] = ()


class Slurm:
    """Runs cells as steps on one node of an allocation, with one Python of that node."""

    def __init__(self, allocation: OpenAllocation, image: str | None, program: str, arguments: Sequence[str]) -> None:
        self._allocation = allocation
        self._image = image
        self._program = program
        self._arguments = list(arguments)

    def beside(self, program: str, arguments: Sequence[str]) -> Slurm:
        """An engine in the same allocation, with another Python. If one of them is closed, both are."""
        return Slurm(self._allocation, self._image, program, arguments)

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        pieces: list[bytes] = []
        with alongside(meanwhile, pieces.append) as sink:
            self._allocation.open(sink)
            if self._image and "://" in self._image:
                self._allocation.note(f"the node {self._allocation.node} pulls {self._image}, unless it has it already")
            seconds = _IMAGE_SECONDS if self._image else PROBE_SECONDS
            outcome = self._step(_Work(probe_job("probe")), sink, lambda: Patience(seconds, most=PROBE_BYTES))
        stream = b"".join(pieces)
        if outcome.reason or not stream:
            self._allocation.check()
            node = self._allocation.node
            if self._image:
                raise unanswered(f"the image {self._image} on the node {node}", outcome, FIX)
            fix = "name a Python that this node has: --python /path/to/python3"
            raise unanswered(f"{self._program} on the node {node}", outcome, fix)
        details = {"interpreter": self._program, **self._allocation.details()}
        return replace(machine_from("slurm", stream, self._image, details), no_quota=_NO_QUOTA)

    def run(self, job: Job, sink: Sink) -> Outcome:
        if image := image_beside(job):
            raise CellError(f"--against {image} is no folder here, and only a container engine has images")
        payload = worker_job(job, None, job.project, job.other, in_step=True)
        cpus = job.cell.cpus if job.cell.pinned else ()
        limits = (job.cell_deadline, job.longest_silence, job.most_bytes)
        return self._step(_Work(payload, cpus, folders_of(job)), sink, lambda: Patience(*limits))

    def close(self) -> None:
        self._allocation.close()

    def _step(self, work: _Work, sink: Sink, patience: Callable[[], Patience]) -> Outcome:
        """Run a step. If Slurm does not create it, as while its controller restarts, it is tried again for a while."""
        for pause in _PAUSES:
            outcome, is_created = self._tried(work, sink, patience)
            if is_created:
                break
            self._allocation.check()
            until = time.monotonic() + pause
            while time.monotonic() < until:
                sink(b"")
                time.sleep(_POLL_SECONDS)
        return outcome

    def _tried(self, work: _Work, sink: Sink, patience: Callable[[], Patience]) -> tuple[Outcome, bool]:
        """How a step ended, and whether Slurm has created it."""
        payload, cpus, folders = work
        mark = secrets.token_hex(8)
        name = f"{payload.cell}-{mark}"
        records = StepRecords(self._allocation, payload.cell, mark, sink)
        kept_in = records.file if payload.experiments else None  # a probe can be repeated
        words = in_image(self._image, folders, records.file) if self._image else _ON_NODE
        step = self._started(words, payload._replace(mark=mark, kept_in=kept_in), name, cpus, sink)
        left = records.begin(patience())
        try:
            tail, ended_for = listen(step, records.hear, left)
            status = _status(step) if ended_for is None else None
            if failure := not_started(tail, lambda node: ", ".join(reasons_of(node).values())):
                raise failure
            is_created = records.have_come or not is_not_created(tail)
            if status is not None and is_created and not records.have_ended and not ending_of(tail):
                if _is_lost(status, tail):
                    ended_for = records.follow()
                else:
                    records.collect()
        finally:
            with signals_held():
                self._end(step, name, records)
        outcome = Outcome(
            exit_code=step.returncode if step.returncode >= 0 else None,
            reason=self._reason(status, tail, ended_for, records),
            outside=_bound(tail),
            stderr_tail=without_chatter(tail),
        )
        return outcome, is_created

    def _reason(self, status: int | None, tail: str, ended_for: str | None, records: StepRecords) -> str | None:
        """Why a step was ended, by the lab (``ended_for``) or by Slurm, or how it died; ``None`` where it was not.

        ``status`` is the exit status of an ``srun`` that has ended by itself.
        """
        cause = ending_of(tail)
        if cause:
            self._allocation.ended_by(cause)
        if records.have_ended:
            return cause
        ended_by_lab = None if records.are_all_there else ended_for
        death = None if status is None else _killed(status, tail)
        return "; ".join(filter(None, (ended_by_lab, cause or death or records.lost))) or None

    def _started(
        self, before: Sequence[str], payload: WorkerJob, name: str, cpus: Sequence[int], sink: Sink
    ) -> subprocess.Popen[bytes]:
        """The step of that name, started when the sink says that it is its turn. ``before`` precedes its Python.

        Raises CellError.
        """
        words = [*before, self._program, *self._arguments]
        with temporary_file(cell_code(payload.experiments, packed=False)) as code:
            sink(b"")
            self._allocation.check()
            spent, self._allocation.spent = self._allocation.spent, []
            words += worker_arguments(None, payload._replace(spent=spent))
            return self._allocation.start(name, words, f"{MARK}={payload.mark}", cpus, code)

    def _end(self, step: subprocess.Popen[bytes], name: str, records: StepRecords) -> None:
        """Wait for a step to end, else end it: first the worker is asked, then Slurm kills it.

        A step outlives an ``srun`` that was killed or does not end. Its processes are then killed on the node.
        """
        ways: tuple[tuple[float, Callable[[], object]], ...] = (
            (0.2, lambda: self._allocation.end(name, "TERM")),
            (_GRACE_SECONDS, step.terminate),  # srun lets Slurm kill the step
            (_KILL_SECONDS, step.kill),
        )
        if records.are_all_there:
            ways = ((_GRACE_SECONDS, step.kill),)
        for seconds, go_on in ways:
            with contextlib.suppress(subprocess.TimeoutExpired):
                step.wait(seconds)
                break
            go_on()
        if records.have_ended:  # else the guard needs the file, to find what else is left
            self._allocation.spent.append(records.file)
        for stream in (step.stdout, step.stderr):
            if stream:
                stream.close()
        if step.wait() < 0:
            self._allocation.end(name, "KILL")
            records.collect()
        records.close()


def _bound(tail: str) -> dict[str, object]:
    """The affinity that Slurm says it has set; empty where it said nothing, as without ``task/affinity``."""
    said = _BOUND.search(tail)
    if not said:
        return {}
    mask = int(said[1], 16)
    return {"affinity": cpulist.render([cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1])}


def _status(step: subprocess.Popen[bytes]) -> int | None:
    """The exit status of an ``srun`` whose output has ended; ``None`` where it does not end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return step.wait(_KILL_SECONDS)
    return None


def _is_lost(status: int, words: str) -> bool:
    """Whether an ``srun`` has ended with this status, and its task may live on."""
    return status != 0 and not says_task_has_ended(words)


def _killed(exit_code: int, words: str) -> str | None:
    """That a signal has killed the worker, if Slurm says so, or ``srun`` itself.

    Slurm adds 128 to the number, as a shell does.
    """
    if exit_code < 0:
        return f"srun was killed by signal {-exit_code} ({signal.strsignal(-exit_code)}), and its step was ended"
    number = exit_code - 128
    name = signal.strsignal(number) if 0 < number < signal.NSIG else None
    return f"the worker was killed by signal {number} ({name})" if name and f"task 0: {name}" in words else None
