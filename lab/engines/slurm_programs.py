"""Slurm's own programs: whether they are there, what they answer, and what they say of a job."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import NamedTuple

from lab.errors import NamedEngineError
from lab.system import or_local

#: The programs that are started.
_PROGRAMS = ("salloc", "srun", "squeue", "scancel", "scontrol", "sbatch")
#: The states of a job that has its nodes and has not ended, in Slurm's words (man 1 squeue, "JOB STATE CODES").
LIVING = ("RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING")
#: The state of a job that just ends: processes of it may still be there.
ENDING = "COMPLETING"
#: How long a question may take, in seconds.
_ANSWER_SECONDS = 20.0


class Site(NamedTuple):
    """What a Slurm is, in its own words."""

    #: Its version, such as ``22.05.8``.
    version: str
    #: The partitions that take jobs.
    partitions: tuple[str, ...]
    #: Whether it can give a step an affinity, as a cell needs it.
    pins: bool


class JobState(NamedTuple):
    """What Slurm says of a job, in its own words; empty texts where it does not know the job or does not answer."""

    #: Its state, such as ``PENDING``.
    state: str = ""
    #: Why it waits.
    reason: str = ""
    #: The nodes that it has.
    nodes: str = ""
    #: The partition that it is in.
    partition: str = ""


def check_programs() -> None:
    """Raise NamedEngineError where this machine has none of Slurm's programs."""
    missing = [program for program in _PROGRAMS if not shutil.which(program)]
    if missing:
        raise NamedEngineError(
            f"there is no {missing[0]} on the PATH, so no Slurm can be asked",
            or_local("log in where srun works (module load slurm?)"),
        )


def read_site() -> Site:
    """The Slurm that this machine's programs ask. Raises NamedEngineError where they are missing or nobody answers."""
    check_programs()
    lines = [line.partition("=") for line in ask("scontrol", "show", "config").splitlines()]
    settings = {name.strip(): value.strip() for name, _, value in lines}
    if "SLURM_VERSION" not in settings:
        raise NamedEngineError("Slurm's programs are here, but no controller answers", "look at: scontrol ping")
    states = [line.split() for line in ask("sinfo", "--noheader", "--format=%R %a").splitlines()]
    up = tuple(name for name, state in states if state == "up")
    return Site(settings["SLURM_VERSION"], up, "task/affinity" in settings.get("TaskPlugin", ""))


def path_of(program: str) -> str:
    """The path of one of Slurm's programs; the name alone where it is not on the PATH."""
    return shutil.which(program) or program


def ask(program: str, *words: str) -> str:
    """What one of Slurm's programs prints; empty where it fails or does not answer in time."""
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        done = subprocess.run(
            [path_of(program), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
        return done.stdout.strip()
    return ""


def state_of(job: str) -> JobState:
    """What Slurm says of a job now, or for some minutes after its end."""
    answer = ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%r|%N|%P")
    return JobState(*answer.splitlines()[0].split("|")[:4]) if answer.count("|") >= 3 else JobState()


def names_of(nodes: str) -> list[str]:
    """The name of each node of a list as Slurm writes it: ``n[1-2]``."""
    return ask("scontrol", "show", "hostnames", nodes).split() if nodes else []


def reasons_of(nodes: str = "") -> dict[str, str]:
    """Why nodes take no jobs: the list of nodes with a reason -> that reason. Without ``nodes`` all are asked."""
    words = [f"--nodes={nodes}"] if nodes else []
    lines = ask("sinfo", "--noheader", "--list-reasons", "--format=%N|%E", *words).splitlines()
    reasons = (line.partition("|") for line in lines)
    return {node: reason for node, _, reason in reasons if reason and reason.lower() != "none"}
