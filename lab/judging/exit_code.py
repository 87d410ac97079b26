"""The exit code that a session gives."""

from __future__ import annotations

from lab.model.cell import Status
from lab.model.fail_on import FailOn
from lab.model.session import Session, Verdict


def exit_code(session: Session, *, fail_on: FailOn = FailOn.SURPRISE, strict: bool = False) -> int:
    """130: interrupted. 3: a cell could not be run as asked. 1: a verdict counts as a failure. Else 0.

    A surprise is a failure unless ``fail_on`` is ``never``. Refuted and inconclusive verdicts are failures only if
    ``fail_on`` names them. ``strict`` adds the inconclusive verdicts. So noise, which makes verdicts inconclusive, does
    not fail a build by itself.
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
    return 1 if session.surprises or any(judgement.verdict in failures for judgement in session.judgements) else 0
