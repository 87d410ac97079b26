"""The exit code that a session gives."""

from __future__ import annotations

from lab.judging import programs
from lab.model.cell import Status
from lab.model.fail_on import FailOn
from lab.model.session import Session, Verdict
from lab.text import units


def exit_reason(session: Session, *, fail_on: FailOn = FailOn.SURPRISE, strict: bool = False) -> str:
    """Why :func:`exit_code` is not 0, in a few words; empty where it is 0."""
    code = exit_code(session, fail_on=fail_on, strict=strict)
    if code == 0:
        return ""
    if code == 130:
        return "the run was interrupted"
    if code == 1 and programs.failed(session):
        return "a command failed (--ignore-failure counts its exit code as a success)"
    if code == 3:
        parts = (
            [f"{units.counted(_broken(session), 'cell')} could not be measured as asked"] if _broken(session) else []
        )
        parts += [f"{units.counted(_errors(session), 'claim')} could not be judged"] if _errors(session) else []
        return ", ".join(parts)
    by_verdict = {
        verdict: sum(judgement.verdict is verdict for judgement in session.judgements)
        for verdict in _failures(fail_on, strict)
    }
    parts = [units.counted(len(session.surprises), "surprise")] if session.surprises else []
    parts += [f"{count} {verdict}" for verdict, count in by_verdict.items() if count]
    return f"{', '.join(parts)} (--fail-on {fail_on}{' --strict' if strict else ''})"


def _broken(session: Session) -> int:
    """How many cells could not be run as asked."""
    return sum(result.status in (Status.ERROR, Status.TAINTED) for result in session.results)


def _errors(session: Session) -> int:
    """How many claims have no verdict because something failed that is not the fault of a whole cell."""
    return sum(judgement.verdict is Verdict.ERROR and not judgement.about_cell for judgement in session.judgements)


def _failures(fail_on: FailOn, strict: bool) -> set[Verdict]:
    """The verdicts that are failures, besides surprises."""
    named = {FailOn.REFUTED: {Verdict.REFUTED}, FailOn.INCONCLUSIVE: {Verdict.INCONCLUSIVE}}.get(fail_on, set())
    return named | ({Verdict.INCONCLUSIVE} if strict else set())


def exit_code(session: Session, *, fail_on: FailOn = FailOn.SURPRISE, strict: bool = False) -> int:
    """130: interrupted. 3: a cell or a claim failed. 1: a verdict counts as a failure. Else 0.

    A surprise is a failure unless ``fail_on`` is ``never``. Refuted and inconclusive verdicts are failures only if
    ``fail_on`` names them. ``strict`` adds the inconclusive verdicts. So noise, which makes verdicts inconclusive, does
    not fail a build by itself.
    """
    if session.interrupted:
        return 130
    if _broken(session) or _errors(session):
        return 3
    if programs.failed(session):
        return 1
    if fail_on is FailOn.NEVER:
        return 0
    failures = _failures(fail_on, strict)
    return 1 if session.surprises or any(judgement.verdict in failures for judgement in session.judgements) else 0
