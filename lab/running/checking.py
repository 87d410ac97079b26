"""Measures the targets of a configuration: each alone where a gate needs that, and beside what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.interrupts import StopFlag
from lab.judging.gates import Sessions
from lab.messages import tell
from lab.model.gates import Gate, Goal, Kind
from lab.running.measurement import Kept, measure
from lab.sessions import loading, verification

if TYPE_CHECKING:
    from lab.model.session import Session
    from lab.planning.request import Request
    from lab.running.measurement import Start


@dataclass(frozen=True, kw_only=True)
class Check:
    """How targets are measured."""

    #: Makes the request of a target, with more words behind those of its own.
    request: Callable[[Goal, tuple[str, ...]], Request]
    #: How the run of a target of that name begins.
    start: Callable[[str], Start]
    #: Does what has to be done before anything runs.
    prepare: Callable[[], None]


def bases_of(goals: Iterable[Goal]) -> dict[str, Session]:
    """The sessions that regressions are compared with, by the folders that gates name.

    Raises UsageError for a folder without a session, and for a session that was changed after it was written.
    """
    return {gate.base: base_session(Path(gate.base)) for goal in goals for gate in goal.gates if gate.base}


def measured(
    goal: Goal, check: Check, bases: Mapping[str, Session], stop: StopFlag
) -> tuple[Sessions, tuple[Kept, ...]]:
    """Everything that the gates of a target need, and where it is kept."""
    others = list(dict.fromkeys(gate.against for gate in goal.gates if gate.against))
    kept: list[Kept] = []

    def run(*more: str) -> Session:
        request = check.request(goal, more)
        session, where = measure(request, check.start(goal.name), stop, check.prepare)
        kept.append(where)
        return session

    is_plain = not goal.gates or any(_needs_plain(goal, gate) for gate in goal.gates)
    plain = run() if is_plain else None
    compared = {}
    for other in others if not (plain and plain.interrupted) else ():
        tell(f"{goal.name}: against {other}")
        compared[other] = run("--against", other)
    return Sessions(plain=plain, compared=compared, bases=bases), tuple(kept)


def _needs_plain(goal: Goal, gate: Gate) -> bool:
    """Whether a gate needs a session of the target alone. The versions of a command are each measured alone too."""
    is_compared = bool(gate.against)
    if goal.command == "exec" and any(each.against for each in goal.gates):
        return False
    return not (gate.kind is Kind.REGRESSION and is_compared)


def base_session(folder: Path) -> Session:
    """The session to compare with. Raises UsageError if it is none, or if it was changed after it was written."""
    found = loading.find_session(folder)
    with loading.making_sense_of(found):
        faults, sealed = verification.inspect(found)
    if faults or not sealed:
        reason = faults[0] if faults else "it was cut short, so it has no seal"
        raise UsageError(f"{found} cannot be a base: {reason}", "measure the base again")
    return loading.load_session(found)
