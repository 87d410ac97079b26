"""Two environments take turns: the same function in this one and in another one, in the same rounds, on the same CPUs.

Every worker of either environment is a program that was started in the same way, so that only the environments differ.
Where code and data happen to lie in memory makes a program faster or slower by some percent. So the workers are started
anew several times, and the interval covers that too.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

from lab.cell.claims.recorder import NotMeasuredError, Recorder
from lab.cell.measuring.processes import WorkerLostError, Workers
from lab.cell.measuring.rounds import Arm, Crew, shuffler
from lab.cell.targets import agent
from lab.cell.targets.agent import Agent, GuestAgent, Task
from lab.cell.targets.arms import INTERPRETER, THREAD, arms_for, base_arm, executors
from lab.cell.targets.case import ELSEWHERE, Case
from lab.cell.targets.figures import BASE, LATER
from lab.cell.targets.importing import TargetError
from lab.cell.targets.origins import origin
from lab.cell.targets.trial import Trial

#: How often all workers are started anew.
GENERATIONS = 5
#: Rounds of each generation, at least.
FEWEST_ROUNDS = 3
#: Each pair is tried so many times in each generation: the first time it imports and warms up.
TRIES = 2
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
    def arms(self) -> tuple[Arm, Arm]:
        """How they run in both environments, beside each other."""
        return self.own._replace(beside=self.name), self.other._replace(beside=self.name)


@contextlib.contextmanager
def callable_there(case: Case, until: float) -> Iterator[Callable[[Case], None]]:
    """A context with a function that calls cases in the other environment of ``case`` too, if it has one.

    It has until that time of the monotonic clock. The function raises TargetError, with ``elsewhere``, for a case that
    cannot be called there.
    """
    if not case.against:
        yield lambda each: None
        return
    with contextlib.ExitStack() as stack:
        start = _starter(case, stack, max(1.0, until - time.monotonic()))
        workers = stack.enter_context(Workers())
        is_there = False

        def check(each: Case) -> None:
            nonlocal is_there
            if not is_there:
                workers.take_in([start(Task("look_up"))])
            pipe, is_there = workers.pipes[-1], True
            workers.ask(pipe, dict(_moved(each).to_stored(), first=_first_version(each)))
            try:
                wrong = workers.answer(pipe, max(1.0, until - time.monotonic()))
            except WorkerLostError as error:
                is_there, wrong = False, ("%s does not work: %s" % (each.label, error), "")
            if wrong:
                message, missing = wrong
                where = "%s (--against %s)" % (ELSEWHERE, case.against["label"])
                raise TargetError("%s: %s" % (where, message), missing, elsewhere=True)

        yield check


def measure(recorder: Recorder, case: Case, trial: Trial) -> None:
    """Measure both environments until the time is up, each generation of workers for its share of it.

    A pair that loses a worker is left out, and the generation begins again. Raises NotMeasuredError where not even one
    worker alone works.
    """
    order = shuffler(recorder.seed)
    pairs = pairs_for(case, len(recorder.cpus), trial)
    recorder.observe("arms", [])
    rounds = _Rounds(recorder, order)
    with contextlib.ExitStack() as stack:
        start = _starter(case, stack)
        generations = 0
        while generations < GENERATIONS:
            with _crew(recorder, case, pairs, trial, start) as crew:
                pairs, is_whole = _working(recorder, crew, pairs, order)
                if not is_whole:  # the crew is one worker short: begin again without that pair
                    continue
                if not rounds.number:
                    recorder.observe("pairs", [[pair.name, *[arm.name for arm in pair.arms]] for pair in pairs])
                try:
                    pairs = rounds.take(crew, pairs)
                except WorkerLostError as error:
                    if not rounds.number:
                        raise NotMeasuredError("worked at its first calls, but not later: %s" % error) from error
                    recorder.observe("out", ["workers", LATER, "%s, after %d rounds" % (error, rounds.number)])
                    return
            generations += 1


class _Rounds:
    """The rounds of all generations."""

    def __init__(self, recorder: Recorder, order: random.Random) -> None:
        self._recorder = recorder
        self._order = order
        #: How many there were.
        self.number = 0

    def take(self, crew: Crew, pairs: list[Pair]) -> list[Pair]:
        """Those of one generation. Returns the pairs that still work. Raises WorkerLostError."""
        count = BATCH if pairs[0].own.seconds < 0.1 else 1
        until = time.monotonic() + self._recorder.seconds / GENERATIONS
        first = self.number
        while self.number < first + FEWEST_ROUNDS or time.monotonic() < until:
            for blocks in crew.rounds(_arms(pairs), self.number, count, self._order):
                pairs = _still_working(self._recorder, pairs, blocks)
                self._recorder.sample("round", {arm.name: blocks[arm.name] for arm in _arms(pairs)})
                self.number += 1
        return pairs


def pairs_for(case: Case, cpus: int, trial: Trial) -> list[Pair]:
    """One worker, and threads, processes and interpreters of each number, in both environments."""
    base = base_arm(trial)
    kinds = [THREAD, PROGRAM, *[kind for kind in executors() if kind == INTERPRETER]]
    # The GIL of the other environment is not known, so blocks are as long as threads with a GIL need them.
    arms = arms_for(case, kinds, cpus, True, trial)
    return [Pair(arm.name, arm._replace(method="own"), _other(arm)) for arm in [base, *[each.arm for each in arms]]]


def _other(arm: Arm) -> Arm:
    return arm._replace(name=OTHER + arm.name, method="other")


def _moved(case: Case) -> Case:
    """The case as the other environment has it."""
    return case._replace(project=case.against.get("project") or case.project, against={})


def _first_version(case: Case) -> "list[str]":
    """The folder and the file of a case's code, none of which another version may run; empty: it has no other code."""
    return [case.project, origin(case)] if case.against.get("project") else []


def _starter(case: Case, stack: contextlib.ExitStack, seconds: float = agent.WAIT_SECONDS) -> Callable[[Task], Any]:
    """What starts an agent in the other environment.

    Another image has a container of its own, which is waited for, for so many seconds; then TargetError is raised.
    """
    image = case.against.get("image")
    if not image:
        return lambda task: Agent(case.against.get("python") or sys.executable, task)
    guests = stack.enter_context(agent.listener(seconds))

    def start(task: Task) -> GuestAgent:
        try:
            return GuestAgent(guests, task)
        except OSError as error:
            raise TargetError("the container of %s did not come: %s" % (image, error), elsewhere=True) from error

    return start


def _crew(recorder: Recorder, case: Case, pairs: Sequence[Pair], trial: Trial, start: Callable[[Task], Any]) -> Crew:
    """Forked workers for the probe, and as many agents of each environment as the largest arm needs.

    One worker alone is each of the first agents in turn, as many as there are CPUs.
    """
    number = max(len(recorder.cpus), *[pair.own.processes for pair in pairs])
    patience = trial.patience(2 * number)
    crew = Crew(recorder.cpus, quota_under_test=recorder.quota is not None, patience=patience)
    cases = case._replace(against={}), _moved(case)
    own, other = (Task("worker", [None, each.to_stored(), 2 * number]) for each in cases)
    try:
        crew.adopt("own", [Agent(sys.executable, own) for _ in range(number)])
        crew.adopt("other", [start(other) for _ in range(number)])
    except BaseException:
        crew.__exit__()
        raise
    return crew


def _arms(pairs: Iterable[Pair]) -> list[Arm]:
    return [arm for pair in pairs for arm in pair.arms]


def _working(recorder: Recorder, crew: Crew, pairs: Sequence[Pair], order: random.Random) -> tuple[list[Pair], bool]:
    """The pairs that work in both environments, and whether the crew is whole; the others are recorded with the reason.

    The first pair that loses a worker ends this: the pairs after it are not tried, and stay. Raises NotMeasuredError
    where not even one worker works.
    """
    working: list[Pair] = []
    for number, pair in enumerate(pairs):
        try:
            for _ in range(TRIES):
                (blocks,) = crew.rounds([pair.own, pair.other], 0, 1, order)
        except WorkerLostError as error:
            _leave_out(recorder, pair, crew.method_of(error.place), str(error))
            return [*working, *pairs[number + 1 :]], False
        working += _still_working(recorder, [pair], blocks)
    return working, True


def _still_working(recorder: Recorder, pairs: Sequence[Pair], blocks: Mapping[str, Any]) -> list[Pair]:
    """The pairs that worked in this round; the others are recorded with the reason, and their block counts nothing.

    Raises NotMeasuredError where not even one worker does.
    """
    working = []
    for pair in pairs:
        raised = [(arm.method, blocks[arm.name]["error"]) for arm in pair.arms if "error" in blocks[arm.name]]
        if raised:
            _leave_out(recorder, pair, *raised[0])
        else:
            working.append(pair)
    return working


def _leave_out(recorder: Recorder, pair: Pair, method: str, reason: str) -> None:
    """Record why a pair is left out. Raises NotMeasuredError where it is one worker alone."""
    if pair.name == BASE:
        where = "the other environment" if method == "other" else "this environment"
        raise NotMeasuredError("does not work in one worker in %s: %s" % (where, reason))
    recorder.observe("out", [pair.name, method, reason])
