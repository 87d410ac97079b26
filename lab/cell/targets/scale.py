"""The experiment that measures a case: one worker alone beside every kind and number of workers, in the same rounds."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import Any, Callable, Sequence

from lab.cell.claims.claim import Claim, Experiment, Facts, Round
from lab.cell.claims.recorder import NotMeasuredError, Recorder
from lab.cell.measuring.cell_limit import limit_of
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.measuring.processes import WorkerLostError
from lab.cell.measuring.rounds import ALONE, REPEAT, Arm, Crew, probe, shuffler
from lab.cell.targets import (
    against,
    agent,
    asv,
    causes,
    choice,
    dispatch,
    elapsed,
    environment,
    figures,
    look_up,
    memory_limit,
)
from lab.cell.targets.arms import (
    LONG_SECONDS,
    METHODS,
    TargetArm,
    are_disturbed,
    arms_for,
    as_seen,
    at_home,
    base_arms,
    executors,
    home,
    idle_bases,
    over_periods,
    shorter,
    tries_of,
)
from lab.cell.targets.calling import Call, Caller, factory, module_of, sources_of
from lab.cell.targets.case import HOST, MODULE, PREFIX, STATEMENT, Case, from_stored
from lab.cell.targets.figures import LATER
from lab.cell.targets.form import Form, form_of
from lab.cell.targets.importing import attribute, import_module
from lab.cell.targets.trial import Trial, count_threads, look, pickled
from lab.cell.targets.worker import begin

#: So many rounds of short blocks are run at a time.
BATCH = 3


@asv.ending()
def run(recorder: Recorder) -> None:
    """Measure the case of the recorder."""
    case = from_stored(recorder.case or {})
    if case.against.get(HOST):
        agent.host()
    recorder.observe("case", case._replace(project="").to_stored())
    memory_limit.set_for(1)
    threads, begun = count_threads(), time.monotonic()
    with environment.GilWatch() as watch:
        environment.enter(case.project)
        call = _first_call(case)
        trial = look(call, threads)
    environment.go_home(case.project)  # the workers begin where this process is
    trial = trial._replace(ready_seconds=time.monotonic() - begun)
    recorder.observe("form", _form_of(case)._asdict())
    recorder.observe("imported", watch.imported._asdict())
    recorder.observe("packages", environment.packages())
    recorder.observe("trial", trial._asdict())
    recorder.observe("dispatch", dispatch.costs())
    case = case._replace(call_seconds=trial.call_seconds)
    how = against.measure if case.against else elapsed.measure if case.items else measure
    how(recorder, case, trial)


def _form_of(case: Case) -> Form:
    """The form of the target, and as what its files are imported."""
    if case.source == STATEMENT:
        return form_of(case, None)
    module = import_module(case)
    function = attribute(module, case.name)
    sources = sources_of(case, module, function)
    if case.is_method:
        sources = (function, attribute(module, case.name.rpartition(".")[0]), module)
    places = {text.rpartition(":")[0] for text in (case.setup, case.items)}
    return form_of(case, function, sources)._replace(
        makes_items=bool(case.items) and callable(factory(case, case.items)),
        pickles=not pickled(function)[2],
        homes={place or case.where: module_of(case, place).__name__ for place in (*places, "")},
        folder=environment.folder_of(module, case.project) if case.source == MODULE else "",
    )


def _first_call(case: Case) -> Call:
    """What is called at first: the target, or the target with the first item."""
    if not case.items:
        return Caller(case).call(0, own=False)
    return functools.partial(elapsed.function_of(case), elapsed.items_of(case)[0])


def measure(recorder: Recorder, case: Case, trial: Trial) -> None:
    """Try each arm once, then measure those that work in rounds until the intervals are narrow or the time is up."""
    order = shuffler(recorder.seed)
    shape = _shape(recorder, trial)
    arms = arms_for(case, executors(), len(recorder.cpus), gil_enabled(), trial)
    while True:
        arms = at_home(arms)
        with _crew(recorder, case, arms, trial) as crew:
            working, lost = _tried(recorder, crew, arms, order, trial)
            if lost is not None:  # the crew is one worker short: begin again without its kind
                arms = [arm for arm in arms if arm.executor != lost]
                continue
            recorder.observe("arms", _observed(working))
            bases = base_arms(arms, trial)
            _warm_up(recorder, crew, idle_bases(bases, [arm.arm for arm in working], len(recorder.cpus)), order)
            _rounds(recorder, crew, bases, working, order, trial, shape)
            recorder.observe("memory", crew.memory())
            return


def _shape(recorder: Recorder, trial: Trial) -> Callable[[Arm], Arm]:
    """How the blocks of an arm have to be: where a quota stops what computes, they span whole periods of it."""
    limit = limit_of(recorder)
    if recorder.quota is None or not limit.quota or trial.waits:
        return lambda arm: arm
    return lambda arm: over_periods(arm, limit.period_seconds)


def _crew(recorder: Recorder, case: Case, arms: Sequence[TargetArm], trial: Trial) -> Crew:
    """Workers by each start method that an arm needs. Forked ones also run the probe."""
    methods = ["fork"] + [method for method in METHODS[1:] if any(arm.executor == method for arm in arms)]
    least = max([arm.arm.processes for arm in arms], default=1)
    workers = len(methods) * max(least, len(recorder.cpus))
    return Crew(
        recorder.cpus,
        least=least,
        quota_under_test=recorder.quota is not None,
        methods=methods,
        begin=begin,
        arguments=(case.to_stored(), workers),
        patience=trial.patience(workers),
    )


def _tried(
    recorder: Recorder, crew: Crew, arms: Sequence[TargetArm], order: Any, trial: Trial
) -> tuple[list[TargetArm], str | None]:
    """Run each arm twice: the first time it imports and warms up. What fails is recorded.

    Threads that share a GIL run more often, until they show that they do not take turns: a neighbour may hide it.

    Returns the arms that work, and the kind of worker that was lost, if one was. Processes come first in which other
    arms are at home: if those fail, the others need another home.
    """
    working, first = [], home(arms)
    for arm in sorted(arms, key=lambda arm: arm.executor != first):
        try:
            for number in range(tries_of(arm.arm)):
                (blocks,) = crew.rounds([arm.arm], 0, 1, order)
                seen = as_seen(arm, blocks[arm.name], trial)
                if number and (seen is not arm or "error" in blocks[arm.name]):
                    break
        except WorkerLostError as error:
            lost = _kind(crew.method_of(error.place), arm)
            names = [other.name for other in arms if other.executor == lost]
            if not names:  # a worker that the probe needs
                raise NotMeasuredError("does not work in a worker: %s" % error) from error
            recorder.observe("out", [names[0], lost, str(error)])
            return [], lost
        error_text = blocks[arm.name].get("error")
        if error_text:
            recorder.observe("out", [arm.name, arm.executor, error_text])
            if arm.executor == first:
                return [], first
        else:
            working.append(seen)
    names = [arm.name for arm in arms]
    return sorted(working, key=lambda arm: names.index(arm.name)), None


def _warm_up(recorder: Recorder, crew: Crew, bases: Sequence[Arm], order: Any) -> None:
    """Let each of these workers that works alone in its turn do so once: the first time it imports."""
    with contextlib.suppress(WorkerLostError):  # the rounds will say so
        crew.rounds([base._replace(repeat=1) for base in bases], 0, len(recorder.cpus), order)


def _kind(method: str, arm: TargetArm) -> str:
    """The kind of worker that a lost process was, whose start method is known, and also the arm that was tried."""
    return arm.executor if arm.arm.method == method else method


def _observed(arms: Sequence[TargetArm]) -> list[list[object]]:
    """These arms, as records have them."""
    return [[arm.name, arm.executor, arm.workers, arm.own] for arm in arms]


def _rounds(
    recorder: Recorder,
    crew: Crew,
    bases: Sequence[Arm],
    arms: list[TargetArm],
    order: Any,
    trial: Trial,
    shape: Callable[[Arm], Arm],
) -> None:
    """Measure in rounds until it is enough. Where most blocks are disturbed, they get shorter."""
    lab_arms = [arm._replace(repeat=REPEAT) for arm in (ALONE, probe(len(recorder.cpus)))]
    rounds: list[Round] = []
    begun = time.monotonic()

    def is_decided() -> bool:
        return choice.is_decided(trial, _observed(arms), rounds)

    def is_surprising() -> bool:
        return not gil_enabled() and choice.is_surprising(trial, _observed(arms), rounds)

    def is_enough() -> bool:
        seconds = time.monotonic() - begun
        return figures.enough(rounds, [arm.name for arm in arms], seconds, recorder, is_decided, is_surprising)

    while not is_enough():
        count = BATCH if shape(bases[0]).seconds < LONG_SECONDS else 1
        try:
            all_arms = [*lab_arms, *bases, *[arm.arm for arm in arms]]
            new = crew.rounds([shape(arm) for arm in all_arms], len(rounds), count, order)
        except WorkerLostError as error:
            if not rounds:
                raise NotMeasuredError("worked at its first calls, but not later: %s" % error) from error
            recorder.observe("out", ["workers", LATER, "%s, after %d rounds" % (error, len(rounds))])
            return
        for blocks in new:
            for arm in [arm for arm in arms if "error" in blocks.get(arm.name, {})]:
                recorder.observe("out", [arm.name, arm.executor, blocks[arm.name]["error"]])
                arms.remove(arm)
            errors = [blocks[base.name]["error"] for base in bases if "error" in blocks[base.name]]
            if errors and not rounds:
                raise NotMeasuredError("raised in one worker alone: %s" % errors[0])
            if errors:
                recorder.observe("out", ["workers", LATER, "%s, after %d rounds" % (errors[0], len(rounds))])
                return
            recorder.sample("round", blocks)
            rounds.append(blocks)
        if are_disturbed([*bases, *[arm.arm for arm in arms]], new):
            bases = [shorter(base, trial.call_seconds) for base in bases]
            arms = [arm._replace(arm=shorter(arm.arm, trial.call_seconds)) for arm in arms]


def experiment(name: str) -> Experiment:
    """The experiment of the case with that name."""
    label = name[len(PREFIX) :]
    if not label:
        return Experiment(name, "which functions a target has", "Calls each once.", "", look_up.run, (), extra=True)
    return Experiment(
        name=name,
        summary="%s: calls per second" % label,
        method="Calls the function again and again: in one worker alone, and in each number of threads, processes by"
        " each start method, and interpreters. All take turns in rounds of short blocks, beside the capacity probe.",
        watch="Compare each speed-up with what the machine delivered in the same rounds.",
        run=run,
        figures=figures.figures,
        extra=True,
        claims=tuple(_claim(name, slug, cause) for slug, cause in causes.all_causes().items()),
    )


def _claim(name: str, slug: str, cause: causes.Cause) -> Claim:
    return Claim(
        "%s.%s" % (name, slug), cause.statement, cause.judge, nobody_knows, cause.least_cpus, advice=cause.advice
    )


def nobody_knows(facts: Facts) -> str | None:
    """What to expect of own code: nothing is a surprise."""
    return None
