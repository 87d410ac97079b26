"""A run as a batch job of Slurm, for when the terminal goes away: submitted, and found again by the job's number."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.engines import slurm_programs
from lab.engines.slurm_programs import JobState, check_programs, path_of, read_site, reasons_of, state_of
from lab.engines.slurm_words import nodes_in_words, refused, state_in_words
from lab.errors import CellError, EngineError, StoreError, UsageError
from lab.interrupts import signals_held
from lab.model.allocation import Allocation
from lab.model.session import Session
from lab.sessions import files, loading, merging
from lab.sessions.folder import default_folder, resume_command, resume_hosts_command
from lab.sessions.resuming import unfinished

_SCRIPT = """\
#!/bin/sh
# lab --submit wrote this. Slurm runs it on the first node of the job; each cell is a step of the job.
exec {words}
"""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job that was submitted."""

    #: The number of the job.
    job: str
    #: The folder in which the job keeps its session.
    folder: Path
    #: The command that it runs: ``run``, ``scale`` or ``exec``.
    command: str

    @property
    def messages(self) -> Path:
        """The file with what the job says."""
        return self.folder / "messages.txt"


def submit(words: Sequence[str], folder: Path, allocation: Allocation) -> Submission:
    """Submit the lab with this command line as a batch job, whose session is kept in a new folder below ``folder``.

    Raises EngineError where Slurm is missing or refuses, and StoreError where the folder cannot be made.
    """
    check_programs()
    try:
        folder.mkdir(parents=True)
        script = folder / "job.sh"
        line = shlex.join([sys.executable, "-P", "-m", "lab", *words])
        files.replace_file(script, _SCRIPT.format(words=line).encode())
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror}; name another folder") from error
    options = ["--parsable", f"--job-name=multicore-lab-{folder.name}", "--no-requeue"]
    messages = str(folder / "messages.txt").replace("%", "%%")  # sbatch puts the job's number in the place of %j
    options += [f"--output={messages}", *allocation.words]
    with signals_held():  # a job that is in the queue has to be known
        done = subprocess.run(
            [path_of("sbatch"), *options, str(script)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        job = done.stdout.strip().partition(";")[0]
        if done.returncode or not job.isdecimal():
            shutil.rmtree(folder)
            raise refused(done.stderr)
        submission = Submission(job=job, folder=folder, command=words[0])
        _remember(submission)
    return submission


def collected(job: str) -> tuple[Session, str]:
    """The session of a job that has ended, and how to measure what is missing; empty where nothing is.

    Raises UsageError for a job that the lab has not submitted, CellError for one that has not measured anything, and
    EngineError where Slurm does not say whether it has ended.
    """
    submission = _remembered(job)
    state = _state_at_end(submission)
    whole = loading.folders(submission.folder)
    parts = sorted(path.parent for path in submission.folder.glob("*/*/session.json"))
    if whole:
        folder, session = whole[-1], loading.load_session(whole[-1])
    elif parts:  # it was ended before it could join what its nodes have measured
        folder, session = parts[-1].parent, _joined(parts)
    else:
        raise CellError(f"the job {job} has measured nothing: {_why(submission, state)}")
    if not session.interrupted:
        return session, ""
    resume = (resume_hosts_command if session.hosts else resume_command)(folder, submission.command)
    cause = f"the job {job} did not end by itself: {_why(submission, state)}"
    return session, f"{cause}; measure its missing cells with: {resume}"


def _state_at_end(submission: Submission) -> JobState:
    """What Slurm says of a job that has ended; nothing, where Slurm knows it no more or its session tells the end.

    Raises CellError for a job that has not ended, and EngineError where that is not known and Slurm does not answer.
    """
    job, sessions = submission.job, loading.folders(submission.folder)
    state = state_of(job)
    if not state.state and (not sessions or unfinished(loading.manifest(sessions[-1]))):
        try:
            read_site()
        except EngineError as error:
            raise EngineError(
                f"whether the job {job} has ended is not known: {error.what}", "gather it where Slurm answers"
            ) from error
        state = state_of(job)  # it may have begun to answer
    if state.state == "PENDING":
        raise CellError(f"the job {job} waits in the queue ({state.reason})", "gather it later, or scancel it")
    if state.state in (*slurm_programs.LIVING, slurm_programs.ENDING):
        raise CellError(f"the job {job} has not ended on {state.nodes}", f"see its messages: {submission.messages}")
    return state


def _joined(parts: Sequence[Path]) -> Session:
    """The sessions of the nodes of one run, joined. It counts as interrupted, because the run did not join them."""
    with loading.making_sense_of(*parts):
        session = merging.join([loading.load_session(part) for part in parts])
    return replace(session, id=parts[-1].parent.name, interrupted=True)


def _why(submission: Submission, state: JobState) -> str:
    """Why a job ended: what Slurm says of it or of its nodes, else the last line that the lab has said in it."""
    try:
        lines = submission.messages.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:  # it has not begun
        lines = []
        if reasons := nodes_in_words(reasons_of(state.nodes) if state.nodes else {}):
            return f"its node did not start it; {reasons}"
    if state.state and state.state not in ("COMPLETED", "FAILED"):
        return state_in_words(state.state)
    said = [line for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"


def _index(job: str) -> Path:
    return default_folder().parent / "slurm" / f"{job}.json"


def _remember(submission: Submission) -> None:
    """Note where the session of a job is. Raises StoreError."""
    index = _index(submission.job)
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        stored = {"folder": str(submission.folder), "command": submission.command}
        files.replace_file(index, json.dumps(stored).encode())
    except OSError as error:
        raise StoreError(
            f"the job {submission.job} is submitted, but {index} cannot be written: {error.strerror};"
            f" its session will be in {submission.folder}"
        ) from error


def _remembered(job: str) -> Submission:
    """The job of that number. Raises UsageError where the lab has not submitted it."""
    try:
        stored = json.loads(_index(job).read_text(encoding="utf-8"))
        return Submission(job=job, folder=Path(stored["folder"]), command=stored["command"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        known = sorted(path.stem for path in _index(job).parent.glob("*.json"))
        there_are = f"; there are: {', '.join(known)}" if known else ""
        raise UsageError(
            f"the lab has submitted no job {job[:20]!r} from this machine{there_are}",
            "submit one with: lab run --engine slurm --submit",
        ) from error
