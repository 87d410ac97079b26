"""What a session means for the exit code."""

from __future__ import annotations

from lab.model.cell import Status
from lab.model.fail_on import FailOn
from lab.model.session import Session, Verdict


def exit_code(session: Session, *, fail_on: FailOn = FailOn.SURPRISE, strict: bool = False) -> int:
    """130 interrupted, 3 a cell could not be run as asked, 1 a verdict that is to be a failure, else 0.

    A surprise is one unless that is ``never``; a refuted or an inconclusive verdict only where it was asked for.
    ``strict`` adds the inconclusive ones to whatever else is. So a noisy machine, on which nothing but inconclusive
    verdicts can come of the noise, never fails a build by itself.
    """
    if session.interrupted:
        return 130
    if any(result.status in (Status.ERROR, Status.TAINTED) for result in session.results):
        return 3
    if fail_on is FailOn.NEVER:
        return 0
    failures = {FailOn.REFUTED: {Verdict.REFUTED}, FailOn.INCONCLUSIVE: {Verdict.INCONCLUSIVE}}.get(fail_on, set())
    if strict:
        failures |= {Verdict.INCONCLUSIVE}
    return 1 if session.surprises or any(one.verdict in failures for one in session.judgements) else 0
