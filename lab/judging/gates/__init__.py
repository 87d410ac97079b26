"""What came of the gates on a target, from the sessions that measured it. Pure.

Only a bound that the whole interval misses is failed. Noise leaves a gate inconclusive, and a machine or a Python that
lacks what the gate is about leaves it untestable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from lab.judging.gates.experiments import of_experiments, surprises
from lab.judging.gates.functions import of_functions
from lab.judging.gates.programs import of_programs
from lab.judging.gates.results import bound_words
from lab.judging.gates.sessions import Sessions
from lab.model.gates import Gate, Goal, Outcome, Result
from lab.text import units

__all__ = ["Sessions", "bound_words", "exit_reason", "judge"]


def judge(goal: Goal, sessions: Sessions) -> tuple[Result, ...]:
    """What came of each gate of a target, in each cell and for each function that it is about."""
    results = [result for gate in goal.gates for result in _JUDGES[goal.command](gate, sessions, goal)]
    if goal.command == "run" and sessions.plain:
        results += surprises(goal, sessions.plain)
    return tuple(replace(result, goal=goal.name) for result in results)


_JUDGES: Mapping[str, Callable[[Gate, Sessions, Goal], Iterator[Result]]] = {
    "scale": of_functions,
    "exec": of_programs,
    "run": of_experiments,
}


def exit_reason(results: Sequence[Result], *, strict: bool) -> str:
    """Why the exit code of the gates is 1; empty: it is 0. With ``strict`` what noise left open counts as failed."""
    failed = sum(result.outcome is Outcome.FAILED for result in results)
    undecided = sum(result.outcome is Outcome.INCONCLUSIVE for result in results) if strict else 0
    parts = [f"{units.counted(failed, 'gate')} failed"] if failed else []
    parts += [f"{units.counted(undecided, 'gate')} inconclusive (--strict)"] if undecided else []
    return ", ".join(parts)
