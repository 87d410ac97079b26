"""The experiment that finds the cases of a target and calls each once, so that a wrong target is known beforehand."""

from __future__ import annotations

import errno
import functools
import inspect
import time
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from lab.cell.claims.recorder import Recorder
from lab.cell.cpus import process_limit
from lab.cell.measuring.crew_worker import gil_enabled
from lab.cell.targets import against, agent, asv, budget, dispatch, elapsed, environment, memory_limit, origins
from lab.cell.targets.calling import Call, Caller, SkippedError, parameters_of
from lab.cell.targets.case import HOST, Case, from_stored
from lab.cell.targets.discovery import cases
from lab.cell.targets.importing import BELOW_GUARD, TargetError, in_place, missing_package
from lab.cell.targets.trial import Trial, count_threads, look, pickled

#: How long the first calls of a function may take, in seconds. Several functions share them, as far as they go.
SECONDS = 60.0
#: The next function is called only where so many of these seconds are left; else it has a look-up of its own.
LEAST_SECONDS = 30.0
#: So long before that, the other environment is given up.
SPARE_SECONDS = 10.0
#: For so many seconds it is called, which tells how long a call is.
LENGTH_SECONDS = 0.05
#: A function is called so many times at least, unless that takes longer than so many seconds: some raise later.
FEWEST_CALLS, FURTHER_SECONDS = 6, 2.0
#: For so many seconds the function is tried with one item after the other: a short list as a whole.
ITEMS_SECONDS = 10.0


class Found(NamedTuple):
    """What a look-up has found."""

    #: The cases that can be measured.
    cases: list[Case]
    #: (label, why) of the functions of a file that cannot be measured.
    left_out: list[tuple[str, str]]


class _Heard(NamedTuple):
    """What one look-up has said."""

    #: What it has found.
    found: Found
    #: The labels of the functions that it has called.
    called: list[str]
    #: How many functions another look-up is to pass over and go on behind; 0: none is left to it.
    passed: int
    #: The data of its last record; empty where its cell ended first.
    end: Mapping[str, Any]


def found(target: Case, ask: Callable[[int], "tuple[Iterable[Mapping[str, Any]], str]"]) -> Found:
    """The cases of a target. Raises TargetError where there is none.

    ``ask`` looks the target up, without so many of its first functions. It returns the data of the records, and how the
    cell ended, for a look-up that has no end of its own. A function that ends a look-up which others began has another
    one to itself. If it ends that too and is of a file, it is left out, and the next look-up begins behind it.
    """
    together, passed = Found([], []), 0
    while True:
        said, ending = ask(passed)
        heard = _heard(said)
        together.cases.extend(heard.found.cases)
        together.left_out.extend(heard.found.left_out)
        if heard.end.get("outcome") == "ok":
            if not heard.passed:
                break
            passed = heard.passed
        elif len(heard.called) > 1:
            passed += len(heard.called) - 1
        else:
            fault = _fault(target.label, heard, ending)
            if not (target.is_file and heard.called):
                raise TargetError(fault)
            together.left_out.append((heard.called[0], fault))
            passed += 1
    if together.left_out and not together.cases:
        raise TargetError(together.left_out[0][1])
    return together


def _heard(said: Iterable[Mapping[str, Any]]) -> _Heard:
    """What the records of a look-up say. Raises TargetError where they say that the target is wrong."""
    heard = _Heard(Found([], []), [], 0, {})
    for data in said:
        name = data.get("name")
        if name == "wrong":
            raise TargetError(*data["value"])
        if name == "called":
            heard.called.append(data["value"])
        if name == "passed":
            heard = heard._replace(passed=data["value"])
        if name == "left out":
            heard.found.left_out.append((data["value"][0], data["value"][1]))
        if name == "case":
            heard.found.cases.append(from_stored(data["value"]))
        if "outcome" in data:
            heard = heard._replace(end=data)
    return heard


def _fault(label: str, heard: _Heard, ending: str) -> str:
    """What is said of a target that has ended its look-up."""
    who = heard.called[-1] if heard.called else label
    when, step = "at its first calls it", "call it once in a program of your own to see why"
    if not heard.end:  # what it said last may be lost
        when = "when it was imported or called, its cell ended:"
    elif not heard.called:
        when, step = "while it was imported it", BELOW_GUARD
    elif heard.end["outcome"] == "timeout":
        step = "give it less to do in a call"
    return "%s cannot be measured: %s %s; %s" % (who, when, heard.end.get("reason", ending), step)


def told(label: str, reason: str) -> str:
    """Why a function was left out, with its label."""
    return reason if label in reason else "%s: %s" % (label, reason)


@asv.ending()
def run(recorder: Recorder) -> None:
    """Observe each case with the seconds of a call, or why the target cannot be measured."""
    begun = time.monotonic()
    until = begun + SECONDS - SPARE_SECONDS
    memory_limit.set_for(1)
    wanted = dict(recorder.case or {})
    params, passed, sizes = wanted.pop("params", {}), wanted.pop("passed", 0), wanted.pop("sizes", [])
    target = from_stored(wanted)
    if target.against.get(HOST):
        agent.host()
    try:
        environment.enter(target.project)
        with against.callable_there(target, until) as check:
            found_cases = cases(target, params)
            look_at = functools.partial(_seen, sizes=sizes, import_seconds=time.monotonic() - begun)
            shared_until = begun + SECONDS - LEAST_SECONDS
            _observe_each(recorder, found_cases, passed, target.is_file, shared_until, look_at, check)
    except TargetError as error:
        recorder.observe("wrong", [str(error), error.missing, error.elsewhere])


def begin() -> Callable[[Mapping[str, Any]], "tuple[str, str] | None"]:
    """What an agent does that looks up cases: it answers why one cannot be called, and the package that is missing."""

    memory_limit.set_for(1)

    @asv.ending()
    def answer(stored: Mapping[str, Any]) -> "tuple[str, str] | None":
        wanted = dict(stored)
        first = wanted.pop("first", [])
        case = from_stored(wanted)
        try:
            environment.enter(case.project)
            _seen(case)
            if first:
                origins.check_other(case, *first)
        except TargetError as error:
            return str(error), error.missing
        return None

    return answer


def _observe_each(
    recorder: Recorder,
    found: Sequence[Case],
    passed: int,
    is_file: bool,
    until: float,
    look_at: Callable[[Case], Case],
    check: Callable[[Case], object],
) -> None:
    """Call each case behind those that are passed over, and check it; after ``until`` another look-up has to go on.

    What asv would leave out is left out, unless nothing else is there. Of the functions of a file, what cannot be
    measured costs itself alone, as long as there is another one. Raises TargetError for any other such case.
    """
    observed = 0
    skipped: TargetError | None = None
    for number, case in enumerate(found[passed:]):
        if number and time.monotonic() > until:
            recorder.observe("passed", passed + number)
            return
        recorder.observe("called", case.label)
        environment.go_home(case.project)
        try:
            seen = look_at(case)
            check(case)
        except SkippedError as error:
            skipped = skipped or error
            continue
        except TargetError as error:
            if number and time.monotonic() > until:  # it may be to blame for nothing but coming late
                recorder.observe("passed", passed + number)
                return
            if not is_file:
                raise
            skipped = error if skipped is None or isinstance(skipped, SkippedError) else skipped
            recorder.observe("left out", [case.label, str(error)])
            continue
        recorder.observe("case", dict(seen.to_stored(), project=""))
        observed += 1
    if skipped and not observed and not passed:
        raise skipped


def _seen(case: Case, sizes: Sequence[int] = (), import_seconds: float = 0.0) -> Case:
    """The case with its times in cells of these sizes. Raises TargetError where one of the first calls raises.

    To import the target took ``import_seconds``.
    """
    call, kept = _caller(case), environment.importable()
    trial = look(call, count_threads(), LENGTH_SECONDS)
    trial = trial._replace(ready_seconds=import_seconds + trial.first_seconds)
    items = None
    if case.items:
        items = _try_items(case, trial)
    else:
        _call_further(call, trial.call_seconds)
    if environment.importable() < kept:
        raise TargetError("%s removes from sys.path or sys.modules what workers import; let it add only" % case.label)
    times = {str(size): budget.times_of(case, size, gil_enabled(), trial, items) for size in sizes}
    return case._replace(call_seconds=items.seconds if items else trial.call_seconds, times=times)


def _call_further(call: Call, seconds: float) -> None:
    """Call the function some times more, if a call takes so few seconds. Raises TargetError where it raises."""
    until = time.monotonic() + FURTHER_SECONDS
    for _ in range(FEWEST_CALLS - 1):
        if time.monotonic() + seconds > until:
            return
        call()


def _try_items(case: Case, trial: Trial) -> budget.ListTrial:
    """Call the function with one item after the other, for a moment, to learn how long the whole list takes.

    Raises TargetError where it raises.
    """
    items, function = elapsed.items_of(case), elapsed.function_of(case)
    try:
        seconds = elapsed.call_each(case, function, items, ITEMS_SECONDS) * len(items)
    except TargetError as error:
        raise TargetError("%s %s" % (case.label, error), error.missing) from error
    handed = pickled(items[0])[1] + trial.pickle_seconds
    return budget.ListTrial(len(items), seconds, handed, dispatch.costs())


def _caller(case: Case) -> Call:
    """The call, whose exceptions name the case."""
    caller = None if case.items else Caller(case)
    made: list[Call] = []  # the function, with its first item: to make the items is no part of a call

    def call() -> object:
        try:
            if not made:
                made.append(
                    functools.partial(elapsed.function_of(case), elapsed.items_of(case)[0])
                    if caller is None
                    else caller.call(0, own=False)
                )
                return _done(case, made[0]())
            return made[0]()
        except TargetError:
            raise
        except BaseException as error:  # whatever the user's function raises
            raise TargetError(_raised(case, error), missing_package(error)) from error

    return call


def _done(case: Case, result: object) -> object:
    """What a call gave. Raises TargetError for what has not begun yet, as behind a wrapper that is a plain function."""
    if inspect.iscoroutine(result) or inspect.isasyncgen(result) or inspect.isgenerator(result):
        kind = "generator" if inspect.isgenerator(result) else "coroutine or an asynchronous generator"
        step = "a function that reads it to its end" if inspect.isgenerator(result) else "a function that awaits it"
        if inspect.iscoroutine(result):
            result.close()
        raise TargetError("%s only makes a %s, and nobody runs it; name %s" % (case.label, kind, step))
    return result


def _raised(case: Case, error: BaseException) -> str:
    return "%s raised at its first calls: %s. %s" % (case.label, in_place(error), _next_step(case, error))


def _next_step(case: Case, error: BaseException) -> str:
    if isinstance(error, TypeError) and "argument" in str(error):
        return _arguments_step(case, error)
    if missing_package(error):
        return "It needs that package"
    if isinstance(error, MemoryError):
        return "It may take %d %% of the memory that is available; let it take less" % (100 * memory_limit.SHARE)
    if isinstance(error, EOFError):
        return "The lab gives it no standard input; let it read a file"
    if process_limit.is_met(error):
        return "It started too many processes: %s" % process_limit.named_limit()
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return "Let it write below tempfile.gettempdir(): a container can only read the project"
    return "Repair that first, or give it what it needs with --setup or --param"


def _arguments_step(case: Case, error: TypeError) -> str:
    if case.items:
        return "With --items each item is its argument, after that of --setup and beside those of --param"
    if case.arguments and "unexpected keyword" in str(error):
        return "Give --param only names of its parameters: %s" % parameters_of(case)
    return "Give it arguments: --param NAME=VALUE, or --setup MODULE:FACTORY for an object"
