"""A session and its repetition, verdict by verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.session import Judgement, Session, Verdict


@dataclass(frozen=True, kw_only=True)
class Both:
    """A claim in one cell, as it was judged in both sessions."""

    #: The judgement in the earlier session.
    then: Judgement
    #: The judgement in the repetition.
    now: Judgement


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """The result of repeating a session."""

    #: Equal verdicts.
    same: tuple[Both, ...]
    #: Different verdicts, both decisive.
    changed: tuple[Both, ...]
    #: Different verdicts, of which at most one is decisive.
    undecided: tuple[Both, ...]
    #: Claims in cells that only the earlier session has.
    only_then: tuple[Judgement, ...]
    #: Claims in cells that only the repetition has.
    only_now: tuple[Judgement, ...]


def repeated(then: Session, now: Session) -> Repetition:
    """The verdicts of two sessions, compared claim by claim and cell by cell."""
    before, after = (
        {(judgement.claim, judgement.cell): judgement for judgement in session.judgements} for session in (then, now)
    )
    pairs = [Both(then=before[key], now=after[key]) for key in before if key in after]
    differing = [pair for pair in pairs if pair.then.verdict is not pair.now.verdict]
    changed = [pair for pair in differing if pair.then.verdict.decisive and pair.now.verdict.decisive]
    return Repetition(
        same=tuple(pair for pair in pairs if pair.then.verdict is pair.now.verdict),
        changed=tuple(changed),
        undecided=tuple(pair for pair in differing if pair not in changed),
        only_then=tuple(before[key] for key in before if key not in after),
        only_now=tuple(after[key] for key in after if key not in before),
    )


def counted(pairs: tuple[Both, ...]) -> str:
    """The new verdicts in a few words: ``12 confirmed, 3 refuted``."""
    counts = {verdict: sum(pair.now.verdict is verdict for pair in pairs) for verdict in Verdict}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
