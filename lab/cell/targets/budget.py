"""How long a case takes in a cell of some size, computed from its first calls before anything is measured. Pure."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from lab.cell.measuring.rounds import ALONE, REPEAT, Arm, probe, turn_seconds
from lab.cell.targets import against, figures
from lab.cell.targets.arms import METHODS, THREAD, TRIES, arms_for, at_home, base_arms, executors, idle_bases, tries_of
from lab.cell.targets.case import Case, Times
from lab.cell.targets.elapsed import SHORTEST_BLOCK
from lab.cell.targets.pools import Pool, pools_for
from lab.cell.targets.trial import LOOK_SECONDS, Trial

#: What every cell does before its workers start, besides the first calls: about so many seconds.
_BEFORE = 0.5


class ListTrial(NamedTuple):
    """What the first items of a list showed."""

    #: How many items the list has.
    length: int
    #: How long a plain loop over the list takes, in seconds.
    seconds: float
    #: How long it takes to pickle an item and a result, in seconds.
    pickle_seconds: float
    #: How long a task takes that does nothing, in seconds: ``thread`` and, where there are processes, ``process``.
    dispatch: dict[str, float]


def times_of(case: Case, cpus: int, gil: bool, trial: Trial, items: ListTrial | None = None) -> Times:
    """The times of a case in a cell with so many CPUs, with or without a GIL; ``items`` are those of its list."""
    before = _BEFORE + trial.ready_seconds + max(LOOK_SECONDS, trial.call_seconds)
    how = _of_pairs(case, cpus, trial) if case.against else _of_arms(case, cpus, gil, trial)
    if items is not None:
        how = _of_list(case, cpus, gil, trial, items)
    return Times(before + how.start_seconds, how.rounds_seconds)


def _of_arms(case: Case, cpus: int, gil: bool, trial: Trial) -> Times:
    arms = at_home(arms_for(case, executors(), cpus, gil, trial))
    bases, crew_arms = base_arms(arms, trial), [arm.arm for arm in arms]
    methods = {"fork", *[arm.method for arm in crew_arms]}
    workers = len(methods) * max([cpus, *[arm.processes for arm in crew_arms]])
    tried = sum(tries_of(arm) * _round([arm]) for arm in crew_arms)
    warm_up = cpus * _round([base._replace(repeat=1) for base in idle_bases(bases, crew_arms, cpus)])
    lab_arms = [ALONE._replace(repeat=REPEAT), probe(cpus)._replace(repeat=REPEAT)]
    rounds = figures.FEWEST_ROUNDS * _round([*lab_arms, *bases, *crew_arms])
    return Times(workers * trial.ready_seconds / cpus + tried + warm_up, rounds)


def _of_pairs(case: Case, cpus: int, trial: Trial) -> Times:
    pairs = against.pairs_for(case, cpus, trial)
    workers = 2 * max(cpus, *[pair.own.processes for pair in pairs])
    one_round = _round([arm for pair in pairs for arm in pair.arms])
    start = workers * trial.ready_seconds / cpus + against.TRIES * one_round
    return Times(against.GENERATIONS * start, against.GENERATIONS * against.FEWEST_ROUNDS * one_round)


def _of_list(case: Case, cpus: int, gil: bool, trial: Trial, items: ListTrial) -> Times:
    pools = pools_for(case, cpus, trial.waits, items.length)
    passes = [_pass(pool, cpus, gil, trial.waits, items) for pool in pools]
    workers = sum(count for kind, count in {(pool.executor, pool.workers) for pool in pools} if kind != THREAD)
    one_round = sum(max(seconds, SHORTEST_BLOCK) for seconds in [items.seconds, *passes]) + _round([ALONE, probe(cpus)])
    start = workers * trial.ready_seconds / cpus + items.seconds + TRIES * sum(passes)
    return Times(start, figures.FEWEST_ROUNDS * one_round)


def _pass(pool: Pool, cpus: int, gil: bool, waits: bool, items: ListTrial) -> float:
    """How long a pool takes for the list, in seconds."""
    at_once = pool.workers if waits else min(pool.workers, cpus)
    if pool.executor == THREAD:
        task = items.dispatch.get("thread", 0.0)
        return items.seconds / (1 if gil and not waits else at_once) + items.length * task
    task = items.dispatch.get("process", 0.0) if pool.executor in METHODS else items.dispatch.get("thread", 0.0)
    return items.seconds / at_once + items.length * (items.pickle_seconds + task / pool.chunk)


def _round(arms: Sequence[Arm]) -> float:
    """How long a round of these arms takes, in seconds."""
    return sum(arm.repeat * turn_seconds(arm) for arm in arms)
