"""The arms of a case: one worker alone, and each kind of worker with each number of workers."""

from __future__ import annotations

import math
import sys
from typing import Any, Mapping, NamedTuple, Sequence

from lab.cell.measuring.rounds import BLOCK_SECONDS, ONE_CORE, TURNS, Arm
from lab.cell.targets.case import OWN as OWN_STATE
from lab.cell.targets.case import SHARED as SHARED_STATE
from lab.cell.targets.case import Case
from lab.cell.targets.figures import BASE, OWN_BASES
from lab.cell.targets.trial import Trial
from lab.cell.targets.worker import OWN, SHARED

THREAD, INTERPRETER = "thread", "interpreter"
METHODS = ("fork", "forkserver", "spawn")

#: The shortest blocks, in seconds: of workers that do not wait for each other, and of threads that pass the GIL on
#: every 5 ms. A short arm has several blocks in a round, because one of them gets through where others are disturbed.
SHORTEST, SHORTEST_TEAM = BLOCK_SECONDS, 0.05
SHORT_ROUND = 0.02
#: A block holds so many calls, unless they take longer than this together, in seconds; then it holds at least one.
CALLS, LONGEST = 5, 0.4
#: Each arm is tried so many times; threads that share a GIL at most so many times.
TRIES, MOST_TRIES = 2, 6
#: Blocks of this length, in seconds, are long.
LONG_SECONDS = 0.1
#: Where more than this share of the blocks are disturbed, blocks get shorter: they fit between a neighbour's bursts.
MOST_DISTURBED = 0.5
#: Such a block lasts as long as this share of a call, so that it ends within its first call.
WITHIN_CALL = 0.95
#: Workers may stand in a queue whose calls take this many times as long as those of one worker alone.
QUEUED = 1.5


class TargetArm(NamedTuple):
    """Workers of one kind that call a target."""

    #: The name in records and tables: ``2 threads``, ``4 processes (spawn)``.
    name: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn`` or ``interpreter``.
    executor: str
    #: How many of them work.
    workers: int
    #: Whether each works on an argument of its own.
    own: bool
    #: How the crew runs it.
    arm: Arm


def executors() -> tuple[str, ...]:
    """The kinds of workers that this Python has, the simplest first."""
    return (THREAD, *METHODS) + ((INTERPRETER,) if sys.version_info >= (3, 14) else ())


def counts(cpus: int, waits: bool) -> list[int]:
    """How many workers to try on so many CPUs: powers of two, all CPUs, and twice as many where the target waits."""
    tried = [2**power for power in range(1, 10) if 2**power < cpus] + [cpus] + ([2 * cpus] if waits else [])
    return sorted({count for count in tried if count > 1})


def block_seconds(call_seconds: float, team: bool) -> float:
    """How long a block lasts, for calls of that length."""
    several = min(CALLS * call_seconds, max(LONGEST, 1.05 * call_seconds))
    return max(SHORTEST_TEAM if team else SHORTEST, several)


def home(arms: Sequence[TargetArm]) -> str:
    """The start method of the workers that threads, interpreters and one worker alone run in.

    A spawned process is most like a program that somebody has just started.
    """
    return "spawn" if any(arm.executor == "spawn" for arm in arms) else "fork"


def at_home(arms: Sequence[TargetArm]) -> list[TargetArm]:
    """The same arms, with threads and interpreters in the workers that are their home."""
    method = home(arms)
    return [arm if arm.executor in METHODS else arm._replace(arm=arm.arm._replace(method=method)) for arm in arms]


def base_arms(arms: Sequence[TargetArm], trial: Trial) -> list[Arm]:
    """One worker alone at home, and one process alone of each other start method that an arm has."""
    method = home(arms)
    base = base_arm(trial)._replace(method=method)
    others = [kind for kind in METHODS if kind != method and any(arm.executor == kind for arm in arms)]
    repeat = max(1, base.repeat // 2)
    return [base, *[base._replace(name=OWN_BASES["(%s)" % kind], method=kind, repeat=repeat) for kind in others]]


def tries_of(arm: Arm) -> int:
    """How often an arm is tried at most. Threads that share a GIL may show late that they do not take turns."""
    return MOST_TRIES if arm.shares_gil and arm.seconds < LONG_SECONDS else TRIES


def idle_bases(bases: Sequence[Arm], arms: Sequence[Arm], cpus: int) -> list[Arm]:
    """The workers alone that no trial of these arms has set to work all together; there are as many as CPUs."""
    busy = {arm.method for arm in arms if arm.processes >= cpus}
    return [base for base in bases if base.method not in busy]


def base_arm(trial: Trial) -> Arm:
    """One worker alone."""
    seconds = block_seconds(trial.call_seconds, False)
    return Arm(
        BASE,
        SHARED,
        clean=_is_clean(trial),
        seconds=seconds,
        repeat=_repeat(seconds),
        tail=1.2 * trial.call_seconds,
        foreign=True,
        rotates=True,
    )


def _is_clean(trial: Trial) -> bool:
    """Whether a worker has no reason to wait for a CPU, so that any waiting is a disturbance."""
    return not trial.waits and not trial.several


def _repeat(seconds: float) -> int:
    """How many blocks of that length an arm has in a round."""
    return max(1, int(SHORT_ROUND / seconds))


def arms_for(case: Case, kinds: Sequence[str], cpus: int, gil: bool, trial: Trial) -> list[TargetArm]:
    """The arms besides the one worker alone, on so many CPUs, for what its trial has shown to be such a function."""
    all_arms = [
        _arm(kind, workers, own, cpus, gil, trial)
        for workers in counts(cpus, trial.waits)
        for kind in kinds
        for own in _states(case, kind)
    ]
    return [arm for arm in all_arms if case.only in ("", arm.name)]


def as_seen(arm: TargetArm, block: Mapping[str, Any], trial: Trial) -> TargetArm:
    """The arm after a block of it.

    Threads that did not take turns are measured as processes are, in short blocks. Workers that wait, and whose calls
    take much longer than those of one worker alone, may stand in a queue, such as that of a server. They begin so much
    earlier that the queue is there when the block begins: in an empty one the first calls take less time.
    """
    call = block.get("calls", {}).get("p95", 0.0)
    if trial.waits and call > QUEUED * trial.call_seconds:
        lead = min(call, arm.workers * trial.call_seconds)
        return arm._replace(arm=arm.arm._replace(lead=lead, tail=max(arm.arm.tail, 1.2 * lead)))
    is_parallel = block["cores"] > ONE_CORE and block["lost"] is not None and block["lost"] < TURNS
    if not (arm.arm.shares_gil and is_parallel):
        return arm
    seconds = block_seconds(trial.call_seconds, False)
    return arm._replace(arm=arm.arm._replace(seconds=seconds, repeat=_repeat(seconds), clean=True, shares_gil=False))


def over_periods(arm: Arm, period_seconds: float) -> Arm:
    """The arm with a block of whole periods of a quota, after a period that does not count.

    From then on all periods are alike, and any stretch as long as a period holds exactly one quota (docs/quota.md).
    """
    periods = max(1, math.ceil(arm.seconds / period_seconds))
    return arm._replace(seconds=periods * period_seconds, lead=period_seconds, repeat=1)


def shorter(arm: Arm, call_seconds: float) -> Arm:
    """The arm with blocks that are as short as a call, as many as fit into the time of its blocks before.

    Only the blocks of clean arms get shorter. Threads that share a GIL have to pass it on within a block.
    """
    seconds = max(SHORTEST, WITHIN_CALL * call_seconds)
    if not arm.clean or seconds >= arm.seconds:
        return arm
    repeat = max(1, int(arm.repeat * arm.seconds / (seconds + arm.tail)))
    return arm._replace(seconds=seconds, repeat=repeat)


def are_disturbed(arms: Sequence[Arm], rounds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether most blocks of the clean ones of these arms do not count."""
    blocks = [blocks[arm.name] for blocks in rounds for arm in arms if arm.clean and arm.name in blocks]
    return sum(bool(block["disturbed"]) for block in blocks) > MOST_DISTURBED * len(blocks)


def _states(case: Case, kind: str) -> tuple[bool, ...]:
    """Whether workers have an argument of their own. Only threads can share one."""
    if kind == INTERPRETER:
        return (True,)
    if kind != THREAD or not (case.setup or case.is_method):
        return (False,)
    return {SHARED_STATE: (False,), OWN_STATE: (True,)}.get(case.state, (False, True))


def _arm(kind: str, workers: int, own: bool, cpus: int, gil: bool, trial: Trial) -> TargetArm:
    team, call = kind == THREAD and gil, trial.call_seconds
    seconds = block_seconds(call, team)
    in_threads = kind in (THREAD, INTERPRETER)
    arm = Arm(
        name_of(kind, workers, own and kind == THREAD),
        OWN if own else SHARED,
        processes=1 if in_threads else workers,
        threads=workers if in_threads else 1,
        clean=not team and _is_clean(trial) and workers <= cpus,
        seconds=seconds,
        repeat=_repeat(seconds),
        tail=1.2 * call * (workers if team else 1) * max(1.0, workers / cpus),
        method=kind if kind in METHODS else "fork",
        isolated=kind == INTERPRETER,
        foreign=True,
        rotates=kind == THREAD,
        shares_gil=team and _is_clean(trial) and workers <= cpus,
    )
    return TargetArm(arm.name, kind, workers, own, arm)


def name_of(kind: str, workers: int, own: bool = False) -> str:
    """``2 threads``, ``2 threads, own state``, ``2 processes (fork)``, ``2 interpreters``."""
    if kind == THREAD:
        return "%d threads%s" % (workers, ", own state" if own else "")
    return "%d interpreters" % workers if kind == INTERPRETER else "%d processes (%s)" % (workers, kind)
