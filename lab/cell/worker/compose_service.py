"""The worker as a Compose service.

Its job comes from the environment, its records go to a file, and what it prints is for people. The variables:

- ``LAB_SIZE``: the number of CPUs, or ``all``;
- ``LAB_CPUSET``: the CPU ids that Compose was told to set; if empty, the worker narrows its own affinity;
- ``LAB_QUOTA``: the quota that Compose was told to set, in CPUs; empty means no quota;
- ``LAB_RECORDS``: the file for the records;
- ``LAB_CLEAR``: if not empty, the records of an earlier run are removed first;
- ``LAB_ALONE``: if not empty, temporary files and shared memory are this container's own, and what an experiment
  leaves there is removed;
- ``LAB_EXPERIMENTS``, ``LAB_SECONDS`` and ``LAB_SEED``: as the options of ``lab run``; they may be empty;
- ``LAB_TARGET``: if not empty, a function of the user's, which is measured instead of the experiments;
- ``LAB_SETUP``, ``LAB_STATE``, ``LAB_ITEMS``, ``LAB_CHUNK`` and ``LAB_PARAM``: as the options of ``lab scale``; a
  ``;`` stands between parameters;
- ``LAB_PROJECT``: the folder of the user's code in this container.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import sys
from types import FrameType
from typing import Any, Callable, Mapping, Sequence

from lab.cell import experiments
from lab.cell.targets import look_up
from lab.cell.targets.case import BOTH, FILE, PREFIX, from_stored
from lab.cell.targets.importing import TargetError
from lab.cell.targets.naming import WrongNameError, check_chunks, check_state, parse_chunks, parse_params, parse_target
from lab.cell.worker import supervisor
from lab.cell.worker.job import SEEDS, WorkerJob, deadline_for
from lab.cell.worker.record_writer import Channel

#: The most seconds of measuring, and the half-width at which it stops sooner: of an experiment, and of own code.
SECONDS, WIDTH = 9.0, 0.05
TARGET_SECONDS, TARGET_WIDTH = 4.0, 0.03
SEED = 1

#: Exit statuses. Compose starts no further service after any but 0, so a cell that fails has to end with 0 as well.
WRONG_SETTINGS = 2
NO_RECORDS = 3
STOPPED = 128 + signal.SIGTERM

#: The settings that go with a target.
_OF_TARGETS = ("LAB_SETUP", "LAB_STATE", "LAB_ITEMS", "LAB_CHUNK", "LAB_PARAM")

_PINNED_BY = {"engine": "pinned by the engine (CPU set)", "worker": "pinned by itself (affinity)", "none": "not pinned"}


class Narrator(Channel):
    """A channel that also says, a line each, what the cell does."""

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        super().emit(kind, data)
        if kind == "start":
            for line in _beginning(data):
                _say(line)
        elif kind == "finish":
            name = data["experiment"][len(PREFIX) if data["experiment"].startswith(PREFIX) else 0 :]
            _say("%s: %s in %.1f s" % (name, data["reason"] or data["outcome"], data["seconds"]))


class Notes(Channel):
    """A channel that keeps what it hears, and writes nothing."""

    def __init__(self, descriptor: int, session: str, cell: str) -> None:
        super().__init__(descriptor, session, cell)
        self.said: list[Mapping[str, Any]] = []

    def emit(self, kind: str, data: Mapping[str, Any]) -> None:
        self.said.append(data)


def _beginning(data: Mapping[str, Any]) -> list[str]:
    cpus, wanted, asked = data["proof"]["affinity"], data["wanted_cpus"], data["asked"]
    lines = ["Python %s on %s, %s" % (data["python"]["release"], _named(cpus), _PINNED_BY[data["pinned_by"]])]
    if asked and wanted and len(cpus) != wanted:
        lines.append("not %d: LAB_CPUSET is %s; correct it (lab compose-env > .env)" % (wanted, asked))
    elif wanted and len(cpus) < wanted:
        lines.append("untestable: needs %s, this machine has %d" % (_count(wanted), len(cpus)))
    return lines


def _count(cpus: int) -> str:
    return "%d CPU%s" % (cpus, "" if cpus == 1 else "s")


def _named(cpus: Sequence[int]) -> str:
    """CPU ids for people: ``2 CPUs (0, 1)``; of many only the first and the last."""
    shown = [str(cpu) for cpu in cpus]
    return "%s (%s)" % (_count(len(cpus)), ", ".join(shown if len(cpus) <= 8 else [shown[0], "...", shown[-1]]))


def job(environment: Mapping[str, str], allowed: Sequence[int]) -> WorkerJob:
    """The job that the environment asks for; ``allowed`` are the CPU ids this process may use.

    Raises ValueError, with a sentence for the user, when a setting cannot be used.
    """
    size, cpuset = environment.get("LAB_SIZE") or "all", environment.get("LAB_CPUSET", "")
    if size != "all" and not (size.isdecimal() and int(size)):
        raise ValueError("LAB_SIZE is %r; give a number of CPUs from 1, or all" % size)
    wanted = None if size == "all" else int(size)
    case = _case(environment)
    usual = SECONDS if case is None else TARGET_SECONDS
    seconds = _positive("LAB_SECONDS", environment.get("LAB_SECONDS") or str(usual), "seconds")
    quota = _positive("LAB_QUOTA", environment["LAB_QUOTA"], "CPUs") if environment.get("LAB_QUOTA") else None
    narrow = not cpuset and wanted is not None and len(allowed) > wanted
    return WorkerJob(
        session=environment.get("LAB_SESSION", "compose"),
        cell="cpu" + size if quota is None else "q%g" % quota,
        experiments=_experiments(environment.get("LAB_EXPERIMENTS", "")) if case is None else [PREFIX],
        seconds=seconds,
        width=WIDTH if case is None else TARGET_WIDTH,
        seed=_seed(environment.get("LAB_SEED") or str(SEED)),
        deadline_seconds=deadline_for(seconds),
        cpus=wanted,
        asked=cpuset,
        quota=quota,
        pin=list(allowed[:wanted]) if narrow else None,
        pinned_by="engine" if cpuset else "worker" if narrow else "none",
        cases=None if case is None else {PREFIX: case},
        alone=bool(environment.get("LAB_ALONE")),
    )


def _case(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What to look up, as the job of a worker has it; ``None`` where the experiments of the lab run."""
    target, project = environment.get("LAB_TARGET"), environment.get("LAB_PROJECT", "")
    setup, state, items, chunks, params = (environment.get(name, "") for name in _OF_TARGETS)
    if not target:
        if setup or state or items or chunks or params:
            raise ValueError("%s go with LAB_TARGET=file.py:function; set it too" % ", ".join(_OF_TARGETS))
        return None
    try:
        case = parse_target(target, setup, state or BOTH)._replace(items=items, project=project)
        check_state(case, "LAB_STATE=")
        case = case._replace(chunks=parse_chunks(chunks, "LAB_CHUNK="))
        check_chunks(case, "LAB_CHUNK=")
    except WrongNameError as error:
        raise ValueError("LAB_TARGET: %s" % error) from error
    if case.source == FILE and not os.access(os.path.join(project, case.where), os.R_OK):
        raise ValueError(
            "LAB_TARGET: there is no %s that everybody can read in the folder of LAB_PROJECT (by default the current"
            " folder); name a file as a path in that folder" % case.where
        )
    values = parse_params([text.strip() for text in params.split(";") if text.strip()], "LAB_PARAM=")
    return dict(case.to_stored(), params=values)


def _experiments(text: str) -> list[str]:
    known, wanted = experiments.in_order(), text.replace(",", " ").split()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError("LAB_EXPERIMENTS: there is no %r; there are: %s" % (unknown[0], " ".join(known)))
    return [name for name in known if name in wanted] if wanted else experiments.usual()


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < SEEDS):
        raise ValueError("LAB_SEED is %r; give a whole number from 0 to %d" % (text, SEEDS - 1))
    return int(text)


def _positive(name: str, text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("%s is %r; give a number of %s above 0, such as 1.5" % (name, text, unit))
    return value


def main() -> int:
    """Run the job and return the exit status.

    The status is 0 also when an experiment or the worker failed: the records say so, and the services after this one
    have to go on. Any other status means that going on makes no sense.
    """
    try:
        work = job(os.environ, sorted(os.sched_getaffinity(0)))
    except ValueError as error:
        _say(str(error))
        return WRONG_SETTINGS
    path = os.environ["LAB_RECORDS"]
    try:
        if os.environ.get("LAB_CLEAR"):
            clear(os.path.dirname(path))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        _say("cannot write %s: %s; remove the volume (docker compose down -v) and start again" % (path, error.strerror))
        return NO_RECORDS
    status = watched(lambda: perform(work, descriptor))
    if status == WRONG_SETTINGS:  # it leaves no records, as after any other wrong setting
        os.unlink(path)
    return status


def perform(job: WorkerJob, descriptor: int) -> int:
    """Run a job with its records on this descriptor, and return the exit status. A target is looked up first."""
    stop = supervisor.stop_signals()
    if job.cases and len(os.sched_getaffinity(0)) >= (job.cpus or 0):
        try:
            job = with_cases(job, Notes(descriptor, job.session, job.cell), stop)
        except TargetError as error:
            _say("LAB_TARGET: %s" % str(error).replace("--param ", "LAB_PARAM=").replace("--setup ", "LAB_SETUP="))
            return WRONG_SETTINGS
    return supervisor.work(job, Narrator(descriptor, job.session, job.cell), stop)


def with_cases(job: WorkerJob, notes: Notes, stop: tuple[int, int]) -> WorkerJob:
    """The job with the cases of its target, each of which is called for a moment. Raises TargetError.

    When the service is asked to stop meanwhile, the job stays as it is: the worker is asked too, and ends at once.
    """
    ((name, target),) = (job.cases or {}).items()
    was_stopped, cpus = False, job.cpus or len(os.sched_getaffinity(0))

    def ask(passed: int) -> tuple[list[Mapping[str, Any]], str]:
        nonlocal was_stopped
        notes.said.clear()
        cases = {name: dict(target, passed=passed, sizes=[cpus])}
        looking = job._replace(seconds=1.0, deadline_seconds=look_up.SECONDS, cases=cases)
        was_stopped = "stopped" in supervisor.look_up(looking, notes, stop)
        return notes.said, "did not end"

    wanted = {key: value for key, value in target.items() if key != "params"}
    try:
        cases, left_out = look_up.found(from_stored(wanted), ask)
    except TargetError:
        if was_stopped:
            return job
        raise
    for label, reason in left_out:
        _say("LAB_TARGET: not measured: %s" % look_up.told(label, reason))
    return job._replace(
        experiments=[case.experiment for case in cases],
        cases={case.experiment: case._replace(project=target["project"]).to_stored() for case in cases},
        deadline_seconds=deadline_for(job.seconds) + max(case.longest_seconds(cpus) for case in cases),
    )


def clear(folder: str) -> None:
    """Remove every cell's records from ``folder``, so that all records in it afterwards are of this run."""
    for path in glob.glob(os.path.join(glob.escape(folder), "*.jsonl")):
        os.unlink(path)


def watched(body: Callable[[], int]) -> int:
    """Run ``body`` in a child, and return 0 however it ends, unless it was asked to stop, or its settings are wrong.

    When memory runs out the kernel may kill the worker itself; this process offers it up to outlive it.
    """
    ends = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # until there is somebody to pass them on
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
        _be_the_worker(body)
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        os.kill(child, number)

    for number in ends:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    _, state = os.waitpid(child, 0)
    if os.WIFSIGNALED(state):
        killer = signal.Signals(os.WTERMSIG(state))
        if killer in asked:  # before it had made its own arrangements
            return STOPPED
        _say("the worker was killed by %s%s" % (killer.name, " (out of memory?)" if killer == signal.SIGKILL else ""))
        return 0
    return {3: STOPPED, WRONG_SETTINGS: WRONG_SETTINGS}.get(os.WEXITSTATUS(state), 0)


def _be_the_worker(body: Callable[[], int]) -> None:
    """The child's whole life; never returns."""
    status = 1
    try:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")
        status = body()
    except OSError as error:
        _say("the worker cannot go on: %s" % error)
    except BaseException:  # a forked child must not come back to the service; it says what happened and leaves
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
