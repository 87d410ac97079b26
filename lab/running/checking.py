"""Measures the targets of a configuration: each alone where a gate needs that, and beside what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import OtherEnvironmentError, UsageError
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
    #: Takes where each session is kept, as soon as it is.
    kept: Callable[[Kept], object]
    #: Whether the user has asked to end.
    stop: StopFlag


def bases_of(goals: Iterable[Goal]) -> dict[str, Session]:
    """The sessions that regressions are compared with, by the folders that gates name.

    Raises UsageError for a folder without a session, and for a session that was changed after it was written.
    """
    return {gate.base: base_session(Path(gate.base)) for goal in goals for gate in goal.gates if gate.base}


def measured(goal: Goal, check: Check, bases: Mapping[str, Session]) -> Sessions:
    """Everything that the gates of a target need, as far as nobody has asked to end. Raises LabError."""
    others = list(dict.fromkeys(gate.against for gate in goal.gates if gate.against))

    def run(*more: str) -> Session:
        request = check.request(goal, more)
        session, where = measure(request, check.start(goal.name), check.stop, lambda: None)
        check.kept(where)
        return session

    is_plain = not goal.gates or any(_needs_plain(goal, gate) for gate in goal.gates)
    plain = run() if is_plain else None
    compared: dict[str, Session] = {}
    uncallable: dict[str, str] = {}
    for other in others:
        if not check.stop.requested:
            tell(f"{goal.name}: against {other}")
            try:
                compared[other] = run(f"--against={other}")
            except OtherEnvironmentError as error:  # the function may be new
                uncallable[other] = error.what
    return Sessions(plain=plain, compared=compared, uncallable=uncallable, bases=bases)


def _needs_plain(goal: Goal, gate: Gate) -> bool:
    """Whether a gate needs a session of the target alone. The versions of a command are each measured alone too."""
    is_compared = bool(gate.against)
    if goal.command == "exec" and any(each.against for each in goal.gates):
        return False
    return not (gate.kind is Kind.REGRESSION and is_compared)


def base_session(folder: Path) -> Session:
    """The session to compare with. Raises UsageError if it is none, or if it was changed after it was written."""
    session_folder = _alone(folder)
    with loading.making_sense_of(session_folder):
        faults, sealed = verification.inspect(session_folder)
    if faults or not sealed:
        reason = faults[0] if faults else "it was cut short, so it has no seal"
        raise UsageError(f"{session_folder} cannot be a base: {reason}", "measure the base again")
    return loading.load_session(session_folder)


def _alone(folder: Path) -> Path:
    """The session in a folder, or the newest one below it that measured functions without another environment.

    Raises UsageError where there is none.
    """
    newest = loading.find_session(folder)
    for session_folder in [newest] if newest == folder else reversed(loading.folders(folder)):
        target = loading.manifest(session_folder)["arguments"].get("target") or {}
        if not (target.get("case") or {}).get("against"):
            return session_folder
    raise UsageError(f"the sessions in {folder} all compare two environments", "measure the base again")
