"""Gates on the verdicts of the lab's own experiments. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.judging.gates.results import result_of, unknown_result
from lab.judging.gates.sessions import Sessions
from lab.model.gates import Gate, Goal, Kind, Outcome, Result
from lab.model.session import Judgement, Session, Verdict


def of_experiments(gate: Gate, sessions: Sessions, goal: Goal) -> Iterator[Result]:
    """What came of the verdict that is right for a claim. That of one cell counts more than that of all cells."""
    session = sessions.session_for(gate)
    if session is None:
        yield unknown_result(gate, sessions)
        return
    judgements = [each for each in session.judgements if _gate_of(goal, each) is gate]
    claim = gate.claim.partition("@")[0]
    if not judgements:
        yield result_of(gate, claim, Outcome.UNTESTABLE, reason="no cell judged it")
    for each in judgements:
        outcome = Outcome.MET if each.verdict == gate.verdict else _OPEN.get(each.verdict, Outcome.FAILED)
        reason = "" if outcome is Outcome.MET else each.reason
        yield result_of(gate, claim, outcome, cell=each.cell, measured=str(each.verdict), reason=reason)


def _gate_of(goal: Goal, judgement: Judgement) -> Gate | None:
    """The gate that a judgement is held against; ``None``: none names it."""
    by_claim = {gate.claim: gate for gate in goal.gates}
    return by_claim.get(f"{judgement.claim}@{judgement.cell}") or by_claim.get(judgement.claim)


#: The verdicts that decide nothing.
_OPEN = {
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
    Verdict.ERROR: Outcome.INCONCLUSIVE,
    Verdict.UNTESTABLE: Outcome.UNTESTABLE,
}


def surprises(goal: Goal, session: Session) -> list[Result]:
    """The surprises that no gate names: each is a failure, as of ``lab run``."""
    return [
        result_of(
            Gate(kind=Kind.VERDICT, line=goal.line, claim=each.claim, verdict=str(each.expected)),
            each.claim, Outcome.FAILED, cell=each.cell, measured=str(each.verdict), reason=each.reason,
        )
        for each in session.surprises
        if _gate_of(goal, each) is None
    ]  # fmt: skip
