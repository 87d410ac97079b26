"""An allocation of Slurm: a node of its own for a session, from the wait in the queue until it is given back.

A guard (:mod:`lab.engines.slurm_guard`) stands between the lab and the queue, so that nothing is left there.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from lab import interrupts
from lab.engines import Sink
from lab.engines.slurm_guard import Guard
from lab.engines.slurm_programs import ENDING, LIVING, ask, names_of, path_of, reasons_of, state_of
from lab.engines.slurm_words import hopeless, nodes_in_words, refused, state_in_words
from lab.errors import CellError, EngineError
from lab.model.allocation import Allocation
from lab.text import units

#: How often it is asked why a job waits, in seconds.
_REASON_SECONDS = 3.0
_POLL_SECONDS = 0.2
#: How long a job that ends has to tell why, in seconds.
_CAUSE_SECONDS = 3.0


class OpenAllocation:
    """Nodes for one session, whose cells run on the first. Several engines may share it, from any thread."""

    def __init__(self, wanted: Allocation, session: str, note: Callable[[str], None]) -> None:
        self._wanted = wanted
        #: Takes lines that the user should know.
        self.note = note
        self._name = f"multicore-lab-{session or os.getpid()}"
        self._lock = threading.Lock()
        self._guard: Guard | None = None
        #: Why it could not be opened; ``None``: nobody has tried, or it is open.
        self._refused: BaseException | None = None
        #: The number of the job, once it is known.
        self.job = ""
        self._is_own = True
        self._partition = ""
        #: How Slurm said that a step was ended; empty: none was.
        self._cause = ""
        #: The files on the node that nobody needs any more: the next cell removes them.
        self.spent: list[str] = []
        #: The nodes, as many as were asked for.
        self.nodes: list[str] = []

    @property
    def node(self) -> str:
        """The node that the cells run on."""
        return self.nodes[0]

    def open(self, sink: Sink) -> None:
        """Wait for the nodes, unless they are there already. ``sink`` is called meanwhile, and may raise to give up.

        Raises EngineError where Slurm refuses, or lets the job wait for what cannot come; each later call does so too.
        """
        with self._lock:
            if self._refused:
                raise self._refused
            if not self._guard:
                try:
                    self._get(sink)
                except BaseException as error:
                    self._refused = error
                    raise

    def _get(self, sink: Sink) -> None:
        """Get the nodes, from the job around the lab or as a job of its own. Raises as :meth:`open` does."""
        job = os.environ.get("SLURM_JOB_ID", "")
        if job:
            self.job, self._is_own = job, False
            self._guard = Guard.of_steps(self._name, job, _environment())
        else:
            self._guard = Guard.of_job(self._name, ["--no-shell", *self._wanted.words])
            self._await(self._guard.says, sink)
        state = state_of(self.job)
        self._partition, self.nodes = state.partition, self._chosen(state.nodes)

    def details(self) -> dict[str, object]:
        """What a manifest keeps of it."""
        facts = {"job": self.job, "node": self.node, "partition": self._partition, "own": self._is_own}
        return {"slurm": facts, "engine_version": ask("srun", "--version").rpartition(" ")[2]}

    def check(self) -> None:
        """Raise CellError, with the cause, where the allocation has ended."""
        state = state_of(self.job).state
        until = time.monotonic() + _CAUSE_SECONDS
        while state == ENDING and not self._cause and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
            state = state_of(self.job).state
        if state and state not in LIVING:  # without an answer, srun tries, waits and says what is wrong
            raise CellError(f"the allocation (job {self.job}) has ended: {self._cause or state_in_words(state)}")

    def ended_by(self, cause: str) -> None:
        """Note how Slurm ended a step. If the allocation ends with it, that is why: its own state comes later."""
        self._cause = cause

    def start(
        self, name: str, words: Sequence[str], variable: str, cpus: Sequence[int], code: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a step of that name on the node. Its standard input is ``code``.

        With CPUs it has an affinity of these. ``variable`` (``NAME=VALUE``) is added to its environment.

        Raises CellError where ``srun`` cannot be started.
        """
        assert self._guard
        with self._lock:
            self._guard.have_cleaned(self._place)
        bind = f"verbose,mask_cpu:{sum(1 << cpu for cpu in cpus):#x}" if cpus else "none"
        options = [f"--job-name={self._step_name(name)}", f"--cpu-bind={bind}", f"--export=ALL,{variable}"]
        return self._started([*options, *words], code, subprocess.PIPE, subprocess.PIPE)

    def start_look(self, words: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a step on the node that is no cell. Its standard output is ``output``.

        Raises CellError where ``srun`` cannot be started.
        """
        options = [f"--job-name={self._step_name('look')}", "--cpu-bind=none"]
        return self._started([*options, *words], subprocess.DEVNULL, output, subprocess.DEVNULL)

    @property
    def _place(self) -> tuple[str, ...]:
        """The options of ``srun`` for one task on the node, beside the steps that are there."""
        return (
            f"--jobid={self.job}",
            f"--nodelist={self.node}",
            "--nodes=1-1",
            "--ntasks=1",
            "--overlap",  # cells side by side are steps that share the allocation; the affinity keeps them apart
            "--mem=0",  # likewise
            "--mpi=none",
            "--quit-on-interrupt",
        )

    def _started(
        self, words: Sequence[str], stdin: IO[bytes] | int, stdout: IO[bytes] | int, stderr: int
    ) -> subprocess.Popen[bytes]:
        assert self._guard
        try:
            return subprocess.Popen(
                [path_of("srun"), *self._place, *words],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=_environment(),
                process_group=self._guard.group,  # Ctrl-C reaches the lab alone, and the guard all steps
            )
        except OSError as error:
            raise CellError(f"cannot start srun: {error.strerror}", "is Slurm still installed here?") from error

    def file_of(self, mark: str) -> str:
        """The name of the file in which the worker with this mark keeps its records on the node."""
        return f"{self._name}.{mark}.jsonl"

    def _step_name(self, name: str) -> str:
        """The name of a step, by which the guard knows those of this session."""
        return f"{self._name}.{name}"

    def end(self, name: str, signal: str) -> None:
        """Send a signal, such as ``TERM``, to the worker in the step of that name, if it is still there."""
        steps = ask("squeue", "--noheader", "--steps", f"--jobs={self.job}", "--format=%i %j").splitlines()
        for step in (line.split()[0] for line in steps if line.endswith(f" {self._step_name(name)}")):
            ask("scancel", f"--signal={signal}", step)

    def close(self) -> None:
        """Give the allocation back, and wait until it is out of the queue."""
        interrupts.finish(self._end_guard)

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard and not guard.end() and self.job:
            words = f"the job {self.job} is given back as soon as it does; see squeue --me"
            self.note(f"Slurm does not answer: {words}")

    def _await(self, words: IO[bytes], sink: Sink) -> None:
        """Read what ``salloc`` says until it ends. Say why the job waits, whenever the reason changes."""
        said, reason, asked_at = b"", "", time.monotonic()
        while True:
            sink(b"")
            ready, _, _ = select.select([words], [], [], _POLL_SECONDS)
            if ready:
                piece = os.read(words.fileno(), 4096)
                said += piece
                if not piece:
                    break
            if not self.job:
                self.job = _number_after(said.decode(errors="replace"), "job allocation")
            if self.job and time.monotonic() - asked_at > _REASON_SECONDS:
                asked_at = time.monotonic()
                reason = self._tell_reason(reason)
        text = said.decode(errors="replace")
        if "Granted job allocation" not in text:
            raise refused(text)

    def _tell_reason(self, before: str) -> str:
        """Why the job waits; told if it is another reason than before. Raises EngineError where waiting is in vain."""
        state, reason, _, _ = state_of(self.job)
        if state != "PENDING" or reason in (before, "None"):
            return before
        if fix := hopeless(reason):
            raise EngineError(f"Slurm lets the job {self.job} wait for what does not come ({reason})", fix)
        nodes = nodes_in_words(reasons_of()) if "DRAINED" in reason or "NotAvail" in reason else ""
        why = f"{reason}: {nodes}" if nodes else reason
        self.note(f"waiting for Slurm: the job {self.job} is in the queue ({why}); Ctrl-C gives up")
        return reason

    def _chosen(self, nodes: str) -> list[str]:
        """As many nodes of the job as were asked for, those that the user named. Raises EngineError for too few."""
        names = names_of(nodes)
        named = [name for name in names_of(self._wanted.nodelist) if name in names]
        chosen = (named if self._wanted.nodelist else names)[: self._wanted.nodes]
        if len(chosen) < self._wanted.nodes:
            needed = self._wanted.nodelist or units.counted(self._wanted.nodes, "node")
            fix = "run it again" if self._is_own else "ask for less, or unset SLURM_JOB_ID to get a new one"
            raise EngineError(
                f"the job {self.job} has {nodes or 'no node (any more)'}, but the run needs {needed}", fix
            )
        return chosen


def _number_after(text: str, words: str) -> str:
    """The number that stands after these words; empty where there is none."""
    after = text.partition(words)[2].split()
    return after[0] if after and after[0].isdecimal() else ""


def _environment() -> Mapping[str, str]:
    """The environment of a step, without what an allocation around the lab says of itself: those are options too."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SLURMD_", "SRUN_"))
    }
