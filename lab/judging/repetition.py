"""A session and its repetition, verdict by verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.session import Judgement, Session, Verdict


@dataclass(frozen=True, kw_only=True)
class Both:
    """A claim in one cell, as it was judged then and now."""

    then: Judgement
    now: Judgement


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """What came of doing it again: verdicts that are the same; that are decisive, and others; of which one decides
    nothing; and claims in cells that only one of the two has."""

    same: tuple[Both, ...]
    turned: tuple[Both, ...]
    undecided: tuple[Both, ...]
    only_then: tuple[Judgement, ...]
    only_now: tuple[Judgement, ...]


def repeated(then: Session, now: Session) -> Repetition:
    """Hold the second session against the first."""
    before = {(one.claim, one.cell): one for one in then.judgements}
    after = {(one.claim, one.cell): one for one in now.judgements}
    pairs = [Both(then=before[key], now=after[key]) for key in before if key in after]
    differing = [one for one in pairs if one.then.verdict is not one.now.verdict]
    turned = [one for one in differing if one.then.verdict.decisive and one.now.verdict.decisive]
    return Repetition(
        same=tuple(one for one in pairs if one.then.verdict is one.now.verdict),
        turned=tuple(turned),
        undecided=tuple(one for one in differing if one not in turned),
        only_then=tuple(before[key] for key in before if key not in after),
        only_now=tuple(after[key] for key in after if key not in before),
    )


def counted(judgements: tuple[Both, ...]) -> str:
    """The verdicts of these in a few words: ``12 confirmed, 3 refuted``."""
    found = {verdict: sum(one.now.verdict is verdict for one in judgements) for verdict in Verdict}
    return ", ".join(f"{count} {verdict}" for verdict, count in found.items() if count)
