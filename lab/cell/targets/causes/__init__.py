"""The causes that explain how a target scales. A module here is a cause, and defines ``CAUSE``; no list names it.

A cause is a claim about the target: confirmed where the evidence shows it, refuted where the evidence excludes it.
"""

from __future__ import annotations

import functools
from typing import Callable, NamedTuple, Optional, Sequence

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Evidence,
    Facts,
    Finding,
    Round,
    estimate_or_none,
)
from lab.cell.claims.estimates import Estimate
from lab.cell.targets.arms import THREAD
from lab.cell.targets.figures import Workers, base_of, cores, measured_arms, speed_up

#: A speed-up above this shows that a second CPU was in use; see ``gil.no-speedup``.
SECOND_CPU = 1.25
#: Workers that reach this share of what others reach do as well as these.
AS_WELL = 0.85
#: Threads of which one always holds the GIL compute, or wait for a CPU, for more than this share of the time.
IDLE = 0.7
#: Handing over one item after the other matters where a call takes less than so many times as long as that.
HANDED_OVER = 5


class Cause(NamedTuple):
    """Something that explains how a target scales."""

    #: The cause in a sentence about the function, for a person.
    statement: str
    #: From the evidence and the facts of the cell to a finding, whose reason is the evidence in words.
    judge: Callable[[Evidence, Facts], Finding]
    #: What to do about it.
    advice: str = ""
    #: The cause cannot be told in a cell with fewer CPUs.
    least_cpus: int = 1


@functools.lru_cache(maxsize=None)
def all_causes() -> "dict[str, Cause]":
    """Every cause, by its name: ``holds-gil`` stands in ``holds_gil.py``."""
    import importlib
    import pkgutil

    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name.replace("_", "-"): importlib.import_module(__name__ + "." + name).CAUSE for name in names}


def found(reason: str) -> Finding:
    """The cause is there."""
    return Finding(CONFIRMED, reason)


def excluded(reason: str) -> Finding:
    """The cause is not there."""
    return Finding(REFUTED, reason)


def undecided(reason: str) -> Finding:
    """The evidence does not tell."""
    return Finding(INCONCLUSIVE, reason)


def best(evidence: Evidence, executors: Sequence[str], most: Optional[int] = None) -> "tuple[Workers, Estimate] | None":
    """Of the largest number of workers of these kinds, at most ``most``, those with the highest speed-up."""
    rounds = evidence.rounds("round")
    arms = [
        arm for arm in measured_arms(evidence) if arm.executor in executors and (most is None or arm.workers <= most)
    ]
    known = [(arm, estimate) for arm in arms for estimate in [speed_up(arm.name, rounds).estimate(rounds)] if estimate]
    return max(known, key=lambda entry: (entry[0].workers, entry[1].value), default=None)


def call_seconds(evidence: Evidence) -> float:
    """How long a call takes, in seconds: with ``--items`` the mean over the list, as items may be unlike the first."""
    listed = (evidence.all("items") or [{}])[-1]
    return float(listed.get("call_seconds") or evidence.last("trial")["call_seconds"])


def is_lost_in_handing_over(evidence: Evidence) -> bool:
    """Whether a pool of threads is held up by handing over items, which it does one at a time, and not by the calls."""
    costs = evidence.last("dispatch")
    return bool(evidence.all("items")) and call_seconds(evidence) < HANDED_OVER * costs.get("thread", 0.0)


def shared_only(evidence: Evidence) -> bool:
    """Whether threads worked on one object, and were not measured with objects of their own."""
    case = (evidence.all("case") or [{}])[-1]
    has_object = case.get("setup") or case.get("is_method")
    return bool(has_object) and not any(arm.own for arm in measured_arms(evidence) if arm.executor == THREAD)


def is_in_vain(arm: str, gained: Estimate, rounds: Sequence[Round]) -> bool:
    """Whether workers gain nothing, and yet compute on several CPUs. Workers that take turns use no more than one."""
    used, alone = (cores(name).estimate(rounds) for name in (arm, base_of(arm, rounds)))
    if not used or not alone or gained.high >= SECOND_CPU:
        return False
    return used.low > SECOND_CPU * max(1.0, alone.high)


def is_idle(arm: str, gained: Estimate, rounds: Sequence[Round]) -> bool:
    """Whether workers gain nothing, and together leave a CPU idle.

    Those that take turns at a GIL use a CPU, or wait for it. These wait for something else that they share, such as a
    lock around a wait.
    """
    known = [blocks[arm] for blocks in of_arm(rounds, arm)]
    blocks = [block for block in known if block.get("delay") is not None and not block["disturbed"]]
    busy = estimate_or_none([block["cores"] + block["delay"] for block in blocks])
    return busy is not None and busy.high < IDLE and gained.high < SECOND_CPU


def of_arm(rounds: Sequence[Round], arm: str) -> "list[Round]":
    """The rounds in which an arm took part."""
    return [blocks for blocks in rounds if arm in blocks]
