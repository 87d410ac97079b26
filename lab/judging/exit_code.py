"""The exit code that a session gives."""

from __future__ import annotations

from lab.judging import programs
from lab.model.cell import Status
from lab.model.fail_on import FailOn, FailurePolicy
from lab.model.session import Judgement, Session, Verdict
from lab.text import units

_USUAL = FailurePolicy()


def exit_reason(session: Session, policy: FailurePolicy = _USUAL) -> str:
    """Why :func:`exit_code` is not 0, in a few words; empty where it is 0."""
    code = exit_code(session, policy)
    if code == 0:
        return ""
    if code == 130:
        return "the run was interrupted"
    if code == 2:
        what = "function" if session.arguments.get("target") else "file"
        return f"{units.counted(len(session.arguments['left_out']), what)} cannot be measured"
    if code == 1 and programs.failed(session):
        return programs.why_failed(session)
    if code == 3:
        parts = (
            [f"{units.counted(_broken(session), 'cell')} could not be measured as asked"] if _broken(session) else []
        )
        parts += [f"{units.counted(_errors(session), 'claim')} could not be judged"] if _errors(session) else []
        lost = [host.name for host in session.hosts if host.reason]
        parts += [f"{units.counted(len(lost), 'host')} did not run everything: {', '.join(lost)}"] if lost else []
        return ", ".join(parts)
    wrong = [
        f"{_name(one)} is {one.verdict}, not {_named(policy, one)} (--expect)" for one in _unexpected(session, policy)
    ]
    others = [judgement for judgement in _failing(session, policy) if not _named(policy, judgement)]
    surprises = sum(judgement.surprise for judgement in others)
    parts = [units.counted(surprises, "surprise")] if surprises else []
    for verdict in _failures(policy):
        count = sum(judgement.verdict is verdict for judgement in others)
        parts += [f"{count} {verdict}"] if count else []
    if parts:
        parts[-1] += f" (--fail-on {policy.fail_on}{' --strict' if policy.strict else ''})"
    return ", ".join(wrong + parts)


def _broken(session: Session) -> int:
    """How many cells could not be run as asked."""
    return sum(result.status in (Status.ERROR, Status.TAINTED) for result in session.results)


def _errors(session: Session) -> int:
    """How many claims have no verdict because something failed that is not the fault of a whole cell."""
    return sum(judgement.verdict is Verdict.ERROR and not judgement.about_cell for judgement in session.judgements)


def _failures(policy: FailurePolicy) -> set[Verdict]:
    """The verdicts that are failures, besides surprises."""
    named = {FailOn.REFUTED: {Verdict.REFUTED}, FailOn.INCONCLUSIVE: {Verdict.INCONCLUSIVE}}.get(policy.fail_on, set())
    return named | ({Verdict.INCONCLUSIVE} if policy.strict else set())


def _named(policy: FailurePolicy, judgement: Judgement) -> str | None:
    return policy.expectation(judgement.claim, judgement.cell)


def _name(judgement: Judgement) -> str:
    return f"{judgement.claim}@{judgement.cell}"


def _unexpected(session: Session, policy: FailurePolicy) -> list[Judgement]:
    """The judgements that are not what the user expects of their claims: decisive ones, and with strict all others."""
    named = [judgement for judgement in session.judgements if _named(policy, judgement)]
    return [
        judgement
        for judgement in named
        if judgement.verdict != _named(policy, judgement)
        and (judgement.verdict.decisive or (policy.strict and judgement.verdict is Verdict.INCONCLUSIVE))
    ]


def _failing(session: Session, policy: FailurePolicy) -> list[Judgement]:
    """The judgements that make the session a failure."""
    failures = _failures(policy)
    others = [] if policy.fail_on is FailOn.NEVER else [one for one in session.judgements if not _named(policy, one)]
    return [
        *_unexpected(session, policy),
        *(judgement for judgement in others if judgement.surprise or judgement.verdict in failures),
    ]


def unjudged(session: Session, policy: FailurePolicy) -> list[str]:
    """The names of the user's expectations of which the session has no judgement."""
    names = {name for judgement in session.judgements for name in (judgement.claim, _name(judgement))}
    return [name for name in policy.expected if name not in names]


def exit_code(session: Session, policy: FailurePolicy = _USUAL) -> int:
    """130: interrupted. 3: a cell, a claim or a host failed. 1: a verdict counts as a failure. 2: a function or a file
    of the user's cannot be measured. Else 0.

    A surprise is a failure unless ``fail_on`` is ``never``. Refuted and inconclusive verdicts are failures only if
    ``fail_on`` names them. ``strict`` adds the inconclusive verdicts. So noise, which makes verdicts inconclusive, does
    not fail a build by itself. Of a claim whose verdict the user expects, only this expectation counts.
    """
    if session.interrupted:
        return 130
    if _broken(session) or _errors(session) or any(host.reason for host in session.hosts):
        return 3
    if programs.failed(session) or _failing(session, policy):
        return 1
    return 2 if session.arguments.get("left_out") else 0
