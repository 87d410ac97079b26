"""The lessons of a session: surprises, refutations and open questions, each claim once, with advice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from lab.cell.targets.case import PREFIX
from lab.model.session import Judgement, Session, Verdict
from lab.text import names

_Key = TypeVar("_Key", bound=Hashable)

#: The verdicts of cells that say nothing of the claim.
_SILENT = (Verdict.UNTESTABLE, Verdict.ERROR)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One claim with the cells in which it has the same verdict and, for a surprise, the same expected verdict."""

    #: The id of the claim: ``gil.no-speedup``.
    claim: str
    #: What the claim states.
    statement: str
    #: The verdict in all these cells.
    verdict: Verdict
    #: The verdict that was expected; ``None`` if none is known.
    expected: Verdict | None
    #: The reasons of the verdict, each with the labels of its cells.
    places: tuple[tuple[str, tuple[str, ...]], ...]
    #: Whether the claim is confirmed or undecided in another cell.
    differs: bool
    #: What to do about the claim; may be empty.
    advice: str


def surprises(session: Session) -> tuple[Lesson, ...]:
    """The claims whose verdict differs from the expected verdict."""
    return _lessons(session, lambda judgement: judgement.surprise)


def refuted(session: Session) -> tuple[Lesson, ...]:
    """The claims that do not hold here, as expected. A cause that a function does not have is no such claim."""
    return _lessons(
        session,
        lambda judgement: judgement.verdict is Verdict.REFUTED and not judgement.surprise and not is_cause(judgement),
    )


def causes(session: Session) -> tuple[Lesson, ...]:
    """The causes that were found for how the user's own functions scale."""
    return _lessons(session, lambda judgement: is_cause(judgement) and judgement.verdict is Verdict.CONFIRMED)


def is_cause(judgement: Judgement) -> bool:
    """Whether the claim is a cause that a function of the user's may have."""
    return judgement.claim.startswith(PREFIX)


def errors(session: Session) -> tuple[Lesson, ...]:
    """The claims that could not be judged because something failed, but not a whole cell."""
    return _lessons(session, lambda judgement: judgement.verdict is Verdict.ERROR and not judgement.about_cell)


def undecided(session: Session) -> tuple[Lesson, ...]:
    """The claims that noise left undecided, and those that failed with an error."""
    return _lessons(session, lambda judgement: judgement.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR))


def _lessons(session: Session, chosen: Callable[[Judgement], bool]) -> tuple[Lesson, ...]:
    labels = {result.cell.id: names.cell_words(result.cell) for result in session.results}
    verdicts: dict[str, set[Verdict]] = {}
    for judgement in session.judgements:
        verdicts.setdefault(judgement.claim, set()).add(judgement.verdict)
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
            differs=any(verdict not in (first.verdict, *_SILENT) for verdict in verdicts[first.claim]),
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
