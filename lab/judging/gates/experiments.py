"""Gates on the verdicts of the lab's own experiments. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.judging.gates.results import result_of
from lab.judging.gates.sessions import Sessions
from lab.model.gates import Gate, Goal, Kind, Outcome, Result
from lab.model.session import Session, Verdict


def of_experiments(gate: Gate, sessions: Sessions) -> Iterator[Result]:
    claim, _, cell = gate.claim.partition("@")
    session = sessions.plain
    judgements = (
        [each for each in session.judgements if each.claim == claim and cell in ("", each.cell)] if session else []
    )
    if not judgements:
        yield result_of(gate, claim, Outcome.UNTESTABLE, reason="no cell judged it")
    for each in judgements:
        outcome = Outcome.MET if each.verdict == gate.verdict else _OPEN.get(each.verdict, Outcome.FAILED)
        reason = "" if outcome is Outcome.MET else each.reason
        yield result_of(gate, claim, outcome, cell=each.cell, measured=str(each.verdict), reason=reason)


#: The verdicts that decide nothing.
_OPEN = {
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
    Verdict.ERROR: Outcome.INCONCLUSIVE,
    Verdict.UNTESTABLE: Outcome.UNTESTABLE,
}


def surprises(goal: Goal, session: Session) -> list[Result]:
    """The surprises that no gate names: each is a failure, as of ``lab run``."""
    named = {gate.claim.partition("@")[0] for gate in goal.gates}
    return [
        result_of(
            Gate(kind=Kind.VERDICT, line=goal.line, claim=each.claim, verdict=str(each.expected)),
            each.claim, Outcome.FAILED, cell=each.cell, measured=str(each.verdict), reason=each.reason,
        )
        for each in session.surprises
        if each.claim not in named
    ]  # fmt: skip
