"""Two environments take turns: the same function in this one and in another one, in the same rounds, on the same CPUs.

Every worker of either environment is a program that was started in the same way, so that only the environments differ.
Where code and data happen to lie in memory makes a program faster or slower by some percent. So the workers are started
anew several times, and the interval covers that too.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import Any, Mapping, NamedTuple, Sequence

from lab.cell.claims.recorder import NotMeasuredError, Recorder
from lab.cell.measuring.processes import WorkerLostError
from lab.cell.measuring.rounds import Arm, Crew, shuffler
from lab.cell.targets import agent
from lab.cell.targets.agent import Agent, GuestAgent
from lab.cell.targets.arms import THREAD, arms_for, base_arm
from lab.cell.targets.case import Case
from lab.cell.targets.trial import Trial

#: How often all workers are started anew.
GENERATIONS = 5
#: Rounds of each generation, at least.
FEWEST_ROUNDS = 3
#: So many rounds of short blocks are run at a time.
BATCH = 3
#: The names of the arms of the other environment begin with this.
OTHER = "other: "
#: Processes of an environment are started as programs; ``spawn`` comes nearest to that.
PROGRAM = "spawn"


class Pair(NamedTuple):
    """Workers of one kind in both environments."""

    #: The name in tables: ``2 threads``.
    name: str
    #: How they run in this environment.
    own: Arm
    #: How they run in the other environment.
    other: Arm

    @property
    def names(self) -> tuple[str, str]:
        """The names of the blocks in both environments."""
        return self.own.name, self.other.name


def measure(recorder: Recorder, case: Case, trial: Trial) -> None:
    """Measure both environments until the time is up, each generation of workers for its share of it."""
    order = shuffler(recorder.seed)
    pairs = pairs_for(case, len(recorder.cpus), trial)
    recorder.observe("arms", [])
    recorder.observe("pairs", [[pair.name, pair.own.name, pair.other.name] for pair in pairs])
    number = 0
    with contextlib.ExitStack() as stack:
        guests = stack.enter_context(agent.listener()) if case.against.get("image") else None
        for _ in range(GENERATIONS):
            with _crew(recorder, case, max(pair.own.processes for pair in pairs), guests) as crew:
                pairs = _working(recorder, crew, pairs, order)
                count = BATCH if pairs[0].own.seconds < 0.1 else 1
                until = time.monotonic() + recorder.seconds / GENERATIONS
                done = 0
                while done < FEWEST_ROUNDS or time.monotonic() < until:
                    arms = [(pair.own, pair.other) for pair in pairs]
                    for blocks in crew.rounds((), number, count, order, arms):
                        pairs = _still_working(recorder, pairs, blocks)
                        recorder.sample("round", {name: blocks[name] for pair in pairs for name in pair.names})
                        number, done = number + 1, done + 1


def pairs_for(case: Case, cpus: int, trial: Trial) -> list[Pair]:
    """One worker, and threads and processes of each number, in both environments."""
    base = base_arm(trial)
    kinds = [THREAD, PROGRAM]
    # The GIL of the other environment is not known, so blocks are as long as threads with a GIL need them.
    arms = arms_for(case, kinds, cpus, True, trial)
    return [Pair(arm.name, arm._replace(method="own"), _other(arm)) for arm in [base, *[each.arm for each in arms]]]


def _other(arm: Arm) -> Arm:
    return arm._replace(name=OTHER + arm.name, method="other")


def _crew(recorder: Recorder, case: Case, most: int, guests: socket.socket | None) -> Crew:
    """Forked workers for the probe, and as many agents of each environment as the largest arm needs.

    With ``guests`` those of the other environment are in another container, which is waited for. Raises
    NotMeasuredError where it does not come.
    """
    crew = Crew(recorder.cpus, quota_under_test=recorder.quota is not None)
    other = dict(case.against)
    python = other.get("python") or sys.executable
    moved = case._replace(project=other.get("project") or case.project, against={}).to_stored()
    crew.adopt("own", [Agent(sys.executable, case._replace(against={}).to_stored(), 2 * most) for _ in range(most)])
    if guests is None:
        crew.adopt("other", [Agent(python, moved, 2 * most) for _ in range(most)])
        return crew
    try:
        crew.adopt("other", [GuestAgent(guests, moved, 2 * most) for _ in range(most)])
    except OSError as error:
        crew.__exit__()
        raise NotMeasuredError("the container of %s did not come: %s" % (other["image"], error)) from error
    return crew


def _working(recorder: Recorder, crew: Crew, pairs: Sequence[Pair], order: Any) -> list[Pair]:
    """The pairs that work in both environments; the others are recorded with the reason.

    Raises NotMeasuredError where not even one worker works.
    """
    working = []
    for pair in pairs:
        try:
            for _ in range(2):  # the first one imports and warms up
                (blocks,) = crew.rounds([pair.own, pair.other], 0, 1, order)
        except WorkerLostError as error:
            raise NotMeasuredError("does not work in %s: %s" % (pair.name, error)) from error
        errors = ["%s: %s" % (name, block["error"]) for name, block in blocks.items() if "error" in block]
        if not errors:
            working.append(pair)
            continue
        if pair.name == pairs[0].name:
            raise NotMeasuredError("does not work in %s" % errors[0])
        recorder.observe("out", [pair.name, pair.own.method, errors[0]])
    return working


def _still_working(recorder: Recorder, pairs: Sequence[Pair], blocks: Mapping[str, Any]) -> list[Pair]:
    """The pairs that worked in this round too; the others are recorded with the reason, and their block counts nothing.

    Raises NotMeasuredError where not even one worker does.
    """
    working = []
    for pair in pairs:
        errors = [blocks[name]["error"] for name in pair.names if "error" in blocks[name]]
        if not errors:
            working.append(pair)
        elif pair.name == pairs[0].name:
            raise NotMeasuredError("worked at its first calls, but not later: %s" % errors[0])
        else:
            recorder.observe("out", [pair.name, pair.own.method, errors[0]])
    return working
