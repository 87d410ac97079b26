"""An allocation of Slurm: a node of its own for a session, from the wait in the queue until it is given back.

A guard stands between the lab and the queue: a shell with a pipe from the lab. When the pipe closes, whatever has ended
the lab, the guard ends the session's steps and cancels its job by its name. So nothing stays in the queue, also after
``kill -9``. In an allocation that exists already (``SLURM_JOB_ID``) it ends the steps alone.
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
from lab.engines.slurm_programs import ask, names_of, path_of, state_of
from lab.engines.slurm_words import hopeless, refused, state_in_words
from lab.errors import CellError, EngineError
from lab.model.allocation import Allocation
from lab.text import units

#: Waits for the end of the lab, with salloc beside it. ``$1`` is the name of the job, the rest salloc's command line.
_GUARD = """\
trap : TERM
name=$1; shift
"$@" </dev/null >/dev/null &
exec 2>/dev/null
cat >/dev/null
kill -TERM 0
wait
for try in 1 2 3 4 5 6; do
    scancel --quiet --name="$name" && exit
    sleep 5
done
"""

#: The same in an allocation that is not the lab's own: ``$1`` is the name of the steps, ``$2`` the job.
_GUARD_OF_STEPS = """\
trap : TERM
exec 2>/dev/null
cat >/dev/null
kill -TERM 0
squeue --noheader --steps --jobs="$2" --format='%i %j' | while read -r step name; do
    case $name in "$1".*) scancel --quiet "$step" ;; esac
done
"""

#: How long the guard may take to give an allocation back, in seconds.
_RETURN_SECONDS = 15.0
#: How often it is asked why a job waits, in seconds.
_REASON_SECONDS = 3.0
_POLL_SECONDS = 0.2


class OpenAllocation:
    """Nodes for one session, whose cells run on the first. Several engines may share it, from any thread."""

    def __init__(self, wanted: Allocation, session: str, note: Callable[[str], None]) -> None:
        self._wanted, self._note = wanted, note
        self._name = f"multicore-lab-{session or os.getpid()}"
        self._lock = threading.Lock()
        self._guard: subprocess.Popen[bytes] | None = None
        #: The number of the job, once it is known.
        self.job = ""
        self._is_own = True
        self._partition = ""
        #: How Slurm said that a step was ended; empty: none was.
        self._cause = ""
        #: The nodes, as many as were asked for.
        self.nodes: list[str] = []

    @property
    def node(self) -> str:
        """The node that the cells run on."""
        return self.nodes[0]

    def open(self, sink: Sink) -> None:
        """Wait for the nodes, unless they are there already. ``sink`` is called meanwhile, and may raise to give up.

        Raises EngineError where Slurm refuses, or lets the job wait for what cannot come.
        """
        with self._lock:
            if self._guard:
                return
            job = os.environ.get("SLURM_JOB_ID", "")
            if job:
                self.job, self._is_own = job, False
                self._start_guard(_GUARD_OF_STEPS, job)
            else:
                options = ["--no-shell", f"--job-name={self._name}", *self._wanted.words]
                self._await(self._start_guard(_GUARD, "salloc", *options), sink)
            state = state_of(self.job)
            self._partition, self.nodes = state.partition, self._chosen(state.nodes)

    def details(self) -> dict[str, object]:
        """What a manifest keeps of it."""
        facts = {"job": self.job, "node": self.node, "partition": self._partition, "own": self._is_own}
        return {"slurm": facts, "engine_version": ask("srun", "--version").rpartition(" ")[2]}

    def check(self) -> None:
        """Raise CellError, with the cause, where the allocation has ended."""
        state = state_of(self.job).state
        if state not in ("RUNNING", ""):  # without an answer, srun tries, waits and says what is wrong
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
        bind = f"verbose,mask_cpu:{sum(1 << cpu for cpu in cpus):#x}" if cpus else "none"
        options = [
            f"--jobid={self.job}",
            f"--job-name={self._step_name(name)}",
            f"--nodelist={self.node}",
            "--nodes=1-1",
            "--ntasks=1",
            "--overlap",  # cells side by side are steps that share the allocation; the affinity keeps them apart
            "--mem=0",  # likewise
            f"--cpu-bind={bind}",
            f"--export=ALL,{variable}",
            "--mpi=none",
            "--quit-on-interrupt",
        ]
        assert self._guard
        try:
            return subprocess.Popen(
                [path_of("srun"), *options, *words],
                stdin=code,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                process_group=self._guard.pid,  # Ctrl-C reaches the orchestrator only, and the guard reaches all steps
            )
        except OSError as error:
            raise CellError(f"cannot start srun: {error.strerror}", "is Slurm still installed here?") from error

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

    def _start_guard(self, script: str, *words: str) -> IO[bytes]:
        """Start the guard. Returns what ``salloc`` says on its standard error."""
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", self._name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        assert self._guard.stderr
        return self._guard.stderr

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        assert guard.stdin
        assert guard.stderr
        guard.stdin.close()
        try:
            guard.wait(_RETURN_SECONDS)
        except subprocess.TimeoutExpired:
            self._note(f"Slurm does not answer: the job {self.job} is given back as soon as it does; see squeue --me")
        guard.stderr.close()

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
        self._note(f"waiting for Slurm: the job {self.job} is in the queue ({reason}); Ctrl-C gives up")
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
