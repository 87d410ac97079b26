"""What a session teaches: its surprises, refutations and open questions, each claim once, with what to do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from lab.model.session import Judgement, Session, Verdict
from lab.text.table import title_of

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One claim that came out alike, and for a surprise against the same expectation, in some cells. ``places`` are the
    reasons, each with the labels of its cells."""

    claim: str
    statement: str
    verdict: Verdict
    expected: Verdict | None
    places: tuple[tuple[str, tuple[str, ...]], ...]
    advice: str


def surprises(session: Session) -> tuple[Lesson, ...]:
    """What came out otherwise than expected."""
    return _lessons(session, lambda one: one.surprise)


def refuted(session: Session) -> tuple[Lesson, ...]:
    """What does not hold here, as was expected."""
    return _lessons(session, lambda one: one.verdict is Verdict.REFUTED and not one.surprise)


def undecided(session: Session) -> tuple[Lesson, ...]:
    """What the noise left open, and what failed."""
    return _lessons(session, lambda one: one.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR))


def _lessons(session: Session, chosen: Callable[[Judgement], bool]) -> tuple[Lesson, ...]:
    labels = {result.cell.id: title_of(result) for result in session.results}
    by_verdict = grouped(
        filter(chosen, session.judgements),
        lambda judgement: (judgement.claim, judgement.verdict, judgement.surprise and judgement.expected),
    )
    return tuple(
        Lesson(
            claim=first.claim,
            statement=first.statement,
            verdict=first.verdict,
            expected=first.expected,
            places=tuple(
                (reason, tuple(labels[judgement.cell] for judgement in same))
                for reason, same in grouped([first, *others], lambda judgement: judgement.reason).items()
            ),
            advice=first.advice,
        )
        for first, *others in by_verdict.values()
    )


def grouped(judgements: Iterable[Judgement], key_of: Callable[[Judgement], _Key]) -> dict[_Key, list[Judgement]]:
    """The judgements that have the same key, by that key, both in the order in which they come."""
    groups: dict[_Key, list[Judgement]] = {}
    for judgement in judgements:
        groups.setdefault(key_of(judgement), []).append(judgement)
    return groups
