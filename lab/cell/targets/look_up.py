"""The experiment that finds the cases of a target and calls each once, so that a wrong target is known beforehand."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from lab.cell.claims.recorder import Recorder
from lab.cell.targets import elapsed, environment
from lab.cell.targets.calling import Call, Caller, TargetError
from lab.cell.targets.case import Case, from_stored
from lab.cell.targets.discovery import cases
from lab.cell.targets.trial import count_threads, look

#: How long the first calls of a target may take, in seconds.
SECONDS = 60.0
#: A target of long calls is measured for at least so many rounds.
_FEWEST_ROUNDS = 6
#: About how many blocks a round has, and how many calls a block.
_BLOCKS, _CALLS = 7, 1.5


def found(label: str, said: Iterable[Mapping[str, Any]], ending: str) -> list[Case]:
    """The cases of a target, from the data of the records of its look-up. Raises TargetError where there is none.

    ``ending`` is how the cell ended, for a look-up that has no end of its own.
    """
    cases: list[Case] = []
    outcome: Mapping[str, Any] = {"outcome": "failed", "reason": ending}
    for data in said:
        if data.get("name") == "wrong":
            raise TargetError(data["value"])
        if data.get("name") == "case":
            cases.append(from_stored(data["value"]))
        if "outcome" in data:
            outcome = data
    if outcome["outcome"] != "ok":
        raise TargetError("%s cannot be measured: at its first calls it %s" % (label, outcome["reason"]))
    return cases


def seconds_for(cases: Sequence[Case], seconds: float) -> float:
    """How long to measure each of these cases, in seconds: as asked for, but longer where a call is long."""
    longest = max(case.call_seconds or 0.0 for case in cases)
    return max(seconds, longest * _FEWEST_ROUNDS * _BLOCKS * _CALLS)


def run(recorder: Recorder) -> None:
    """Observe each case with the seconds of a call, or why the target cannot be measured."""
    wanted = dict(recorder.case or {})
    params = wanted.pop("params", {})
    target = from_stored(wanted)
    environment.enter(target.project)
    try:
        for case in cases(target, params):
            trial = look(_caller(case), count_threads())
            if case.items:
                elapsed.items_of(case)
            recorder.observe("case", dict(case.to_stored(), project="", call_seconds=trial.call_seconds))
    except TargetError as error:
        recorder.observe("wrong", str(error))


def _caller(case: Case) -> Call:
    """The call, whose exceptions name the case."""
    caller = None if case.items else Caller(case)

    def call() -> object:
        try:
            if caller is None:
                return elapsed.function_of(case)(elapsed.items_of(case)[0])
            return caller.call(0, own=False)()
        except TargetError:
            raise
        except BaseException as error:  # whatever the user's function raises
            raise TargetError(_raised(case, error)) from error

    return call


def _raised(case: Case, error: BaseException) -> str:
    last = ("%s: %s" % (type(error).__name__, error)).rstrip(": ").splitlines()[0]
    text = "%s raised at its first calls: %s" % (case.label, last)
    if isinstance(error, TypeError) and "argument" in last:
        text += ". Give it arguments: --param NAME=VALUE, or --setup MODULE:FACTORY for an object"
    return text
