"""What a session teaches: its surprises, refutations and open questions, each claim once, with what to do. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.model.session import Judgement, Session, Verdict
from lab.text.table import title_of


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
    mine = [one for one in session.judgements if chosen(one)]
    found = []
    kinds: dict[tuple[object, ...], list[Judgement]] = {}
    for one in mine:
        kinds.setdefault((one.claim, one.verdict, one.surprise and one.expected), []).append(one)
    for alike in kinds.values():
        reasons = dict.fromkeys(one.reason for one in alike)
        found.append(
            Lesson(
                claim=alike[0].claim,
                statement=alike[0].statement,
                verdict=alike[0].verdict,
                expected=alike[0].expected,
                places=tuple(
                    (reason, tuple(labels[one.cell] for one in alike if one.reason == reason)) for reason in reasons
                ),
                advice=alike[0].advice,
            )
        )
    return tuple(found)
