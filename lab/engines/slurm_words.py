"""What Slurm says, in the words of the lab: why it refuses, why a job waits, and how a step or an allocation ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lab.errors import CellError, EngineError

#: A part of what Slurm says when it refuses an allocation -> what to do next.
_REFUSALS = {
    "invalid partition": "name one that sinfo shows: --partition NAME",
    "nvalid account": "name one of yours, as sacctmgr show associations user=$USER shows: --account NAME",
    "nvalid qos": "ask the site which QOS your account may use",
    "nvalid feature": "name features that sinfo --format='%N %f' shows: --constraint NAME",
    "nvalid node name": "name nodes that sinfo --Node shows: --nodelist NAME",
    "nodes requested": "ask for fewer nodes; sinfo shows how many a partition has",
    "node count": "ask for fewer nodes; sinfo shows how many a partition has",
    "configuration is not available": "ask for what sinfo --Node --long shows",
    "ime limit": "ask for less: --time MINUTES; scontrol show partition has MaxTime",
    "time specification": "write minutes or hours:minutes:seconds, such as --time 30 or --time 2:00:00",
    "writing script": "the controller's disk is full (StateSaveLocation): ask the site to make room there",
    "partition not available": "name another that sinfo shows as up: --partition NAME",
    "policy": "ask for less (--time, --nodes), or wait for your other jobs to end: squeue --me",
    "nable to contact": "is the controller up? (scontrol ping)",
    "ot responding": "is the controller up? (scontrol ping)",
}

#: A reason for which a job waits -> what to do next. Such a job does not start by itself.
_HOPELESS = {
    "PartitionTimeLimit": "the partition allows less time: ask for less with --time MINUTES",
    "PartitionNodeLimit": "the partition allows fewer nodes",
    "PartitionConfig": "the partition does not have such nodes: look at sinfo --Node --long",
    "PartitionDown": "the partition is down: name another with --partition NAME",
    "PartitionInactive": "the partition is inactive: name another with --partition NAME",
    "BadConstraints": "no node has what was asked for: look at sinfo --Node --long",
    "AccountNotAllowed": "the partition does not take this account: name another with --account NAME",
    "QOSNotAllowed": "the partition does not take this QOS",
    "InvalidAccount": "the account is invalid: name another with --account NAME",
    "InvalidQOS": "the QOS is invalid",
    "JobHeldAdmin": "the site holds the job: ask its administrators",
}

#: What Slurm calls the end of a job or a step -> the same in words, with what to do next.
_ENDINGS = {
    "TIME LIMIT": "Slurm ended it at the time limit of the allocation; ask for more with --time",
    "TIMEOUT": "Slurm ended it at its time limit; ask for more with --time",
    "PREEMPT": "a job of higher priority took its node; run the missing cells later, or in another --partition",
    "Node failure": "its node failed; sinfo --list-reasons says why, and --nodelist names another",
    "NODE FAILURE": "its node failed; sinfo --list-reasons says why, and --nodelist names another",
    "NODE_FAIL": "its node failed; sinfo --list-reasons says why, and --nodelist names another",
    "No space left": "the node's disk is full; ask the site to make room there, or name another node with --nodelist",
    "OUT_OF_MEMORY": "it took more memory than the allocation has",
    "oom_kill": "it took more memory than the allocation has",
    "oom-kill": "it took more memory than the allocation has",
    "CANCELLED": "somebody cancelled it (scancel)",
}

#: What ``srun`` says where Slurm creates no step.
_NOT_CREATED = ("Unable to create step", "Unable to confirm allocation", "Expired or invalid job")
#: What ``srun`` says where a node does not start a step: the node, and why.
_NOT_STARTED = re.compile(r"^srun: error: Task launch for \S+ failed on node (\S+): (.+)$", re.MULTILINE)
#: What Slurm's own lines begin with.
_OWN = ("srun: ", "slurmstepd", "slurmd")

#: The folder of a node in which its daemon keeps the steps; a node where it is full is drained.
_SPOOL = "SlurmdSpoolDir"

#: The lines of ``salloc`` and ``srun`` that tell only what goes as it should.
_CHATTER = re.compile(r"^(cpu-bind=|srun: (Force Terminated|Job step aborted|forcing|error: \w+: task 0: Exited))")

_ERROR = re.compile(r"^(?:s?\w+: )?error: (?:\w+: )?(.+)$", re.MULTILINE)


def refused(words: str) -> EngineError:
    """The error for an allocation that Slurm refuses, from what ``salloc`` has said."""
    errors = _ERROR.findall(words) or words.strip().splitlines() or ["salloc said nothing"]
    what = errors[0].removeprefix("Job submit/allocate failed: ").removeprefix("Batch job submission failed: ").strip()
    fix = next((fix for part, fix in _REFUSALS.items() if part in words), "salloc --help has its options")
    return EngineError(f"Slurm refuses the allocation: {what}", fix)


def hopeless(reason: str) -> str | None:
    """What to do about a job that waits for this reason, where waiting does not help; else ``None``."""
    return next((fix for part, fix in _HOPELESS.items() if part in reason), None)


def ending_of(words: str) -> str | None:
    """How Slurm has ended a step or a job, from what it said; ``None`` where it has not ended it."""
    return next((ending for part, ending in _ENDINGS.items() if part in _own(words)), None)


def is_not_created(words: str) -> bool:
    """Whether Slurm has not created a step, from what ``srun`` said: nothing has run then."""
    return any(part in _own(words) for part in _NOT_CREATED)


def not_started(words: str, reason: Callable[[str], str]) -> CellError | None:
    """The error for a step that a node does not start, from what ``srun`` said; ``None`` where it was started.

    ``reason`` takes the name of a node, and returns why it takes no jobs; empty where it takes them.
    """
    said = _NOT_STARTED.search(words)
    if not said:
        return None
    node, why = said.groups()
    what = f"the node {node} starts no step"
    if refused_for := reason(node):
        return CellError(f"{what}: {refused_for}", _fix_for_node(refused_for))
    if any(part in why for part in ("ommunication", "imed out")):
        return CellError(f"{what}: its slurmd does not answer ({why})", _fix_for_node(why))
    log = f"slurmd's log there says more, such as that {_SPOOL} is full"
    return CellError(f"{what}: {why}", f"{_fix_for_node(why)}; {log}")


def nodes_in_words(reasons: Mapping[str, str]) -> str:
    """Why nodes take no jobs, from the reason of each; empty without any reason."""
    if not reasons:
        return ""
    words = "; ".join(f"{node}: {reason}" for node, reason in reasons.items())
    fix = next((_fix_for_node(reason) for reason in reasons.values() if _SPOOL in reason), "")
    return f"{words}; {fix}" if fix else words


def _fix_for_node(reason: str) -> str:
    room = f"ask the site to make room in {_SPOOL}, or " if _SPOOL in reason else ""
    return f"{room}name another node with --nodelist"


def says_task_has_ended(words: str) -> bool:
    """Whether ``srun`` has said how the only task of its step ended."""
    return ": task 0: " in _own(words)


def _own(words: str) -> str:
    """What Slurm itself has said, without what the cell has said: that may be anything."""
    return "\n".join(line for line in words.splitlines() if line.startswith(_OWN))


def state_in_words(state: str) -> str:
    """The state of a job that no longer runs, such as ``TIMEOUT``, in words."""
    return next((ending for part, ending in _ENDINGS.items() if part in state), f"its state is {state or 'unknown'}")


def without_chatter(words: str) -> str:
    """What a step has said, without Slurm's lines on what goes as it should."""
    return "\n".join(line for line in words.splitlines() if not _CHATTER.match(line))
