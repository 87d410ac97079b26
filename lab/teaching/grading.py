"""Points for what a participant has handed in: the rule, and the grounds of each point. Pure.

The rule is a small file in TOML, the key; docs/examples/class/key.toml is one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError
from lab.model.participant import Participant, Trust

#: The keys of each part of the key.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "sessions": ("points", "experiments"),
    "predictions": ("made", "right", "most"),
    "answers": ("question", "right", "number", "within", "points"),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, and what is right."""

    #: Its name in a participant's answers.
    name: str
    #: The texts of which each is right; capitals and blanks do not matter.
    right: tuple[str, ...] = ()
    #: The number that is right; ``None``: the answer is a text.
    number: float | None = None
    #: How far a number may be off.
    within: float = 0.0
    #: The points of a right answer.
    points: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Key:
    """The rule by which points are given."""

    #: The points for sessions that are complete and as they were measured.
    sessions: float = 0.0
    #: The experiments that these sessions have to have measured; empty: any.
    experiments: tuple[str, ...] = ()
    #: The points for each predicted number, right or wrong.
    made: float = 0.0
    #: The points in addition for each number that was right.
    right: float = 0.0
    #: The most points for predictions; ``None``: no limit.
    most: float | None = None
    #: The questions.
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Points, and why."""

    #: What they are for.
    what: str
    #: The points.
    points: float
    #: The most points that could be had for it; ``None``: no limit.
    most: float | None
    #: Why they were given, or were not.
    why: str


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The points of a participant."""

    #: The name of the participant.
    name: str
    #: The grounds, in the order of the key.
    grounds: tuple[Ground, ...]

    @property
    def points(self) -> float:
        """All points together."""
        return sum(ground.points for ground in self.grounds)


def parse_key(text: str, where: str) -> Key:
    """The key in a text of TOML. Raises UsageError with the nearest valid name where it has no valid form."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}", "see docs/teaching.md for an example") from error
    _check(document, tuple(_KEYS), where)
    sessions, predictions = (_table(document, name, where) for name in ("sessions", "predictions"))
    answers = document.get("answers", [])
    if not isinstance(answers, list):
        raise UsageError(f"{where}: answers is not a list", "begin each question with [[answers]]")
    return Key(
        sessions=_points(sessions, "points", where),
        experiments=_texts(sessions, "experiments", where),
        made=_points(predictions, "made", where),
        right=_points(predictions, "right", where),
        most=_points(predictions, "most", where) if "most" in predictions else None,
        questions=tuple(_question(entry, where) for entry in answers),
    )


def _table(document: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {name} is not a table", f"write [{name}]")
    _check(table, _KEYS[name], f"{where}, [{name}]")
    return table


def _check(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{where}: {name} is not known", hint)


def _points(table: Mapping[str, Any], name: str, where: str) -> float:
    value = table.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UsageError(f"{where}: {name} = {value!r} is no number of points", "give a number, such as 2 or 0.5")
    return float(value)


def _texts(table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """The texts of an entry: one, or a list of them. A number counts as its digits."""
    value = table.get(name, [])
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in values):
        raise UsageError(f"{where}: {name} = {value!r} is no list of texts", f'write {name} = ["2", "two"]')
    return tuple(map(str, values))


def _question(entry: Any, where: str) -> Question:
    if not isinstance(entry, dict) or not entry.get("question"):
        raise UsageError(f"{where}: an answer names no question", 'write question = "pool-1"')
    name = str(entry["question"])
    _check(entry, _KEYS["answers"], f"{where}, {name}")
    texts, number = _texts(entry, "right", f"{where}, {name}"), entry.get("number", 0)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise UsageError(f"{where}, {name}: number = {number!r} is no number", "write number = 2, or right for a text")
    if bool(texts) == ("number" in entry):
        raise UsageError(f"{where}, {name}: give either right or number", 'such as right = ["2", "two"]')
    return Question(
        name=name,
        right=texts,
        number=float(number) if "number" in entry else None,
        within=_points(entry, "within", where),
        points=_points(entry, "points", where) if "points" in entry else 1.0,
    )


def grade(participant: Participant, answers: Mapping[str, str], faults: Mapping[str, str], key: Key) -> Grade:
    """The points of a participant. ``faults`` has the folder of a session -> what is wrong with it, or empty."""
    grounds = []
    if key.sessions:
        grounds.append(_of_sessions(participant, faults, key))
    if key.made or key.right:
        grounds.append(_of_predictions(participant, key))
    grounds += [_of_answer(question, answers, key) for question in key.questions]
    return Grade(name=participant.name, grounds=tuple(grounds))


def _of_sessions(participant: Participant, faults: Mapping[str, str], key: Key) -> Ground:
    good = [each for each in participant.sessions if each.trust is Trust.INTACT and not faults.get(each.folder)]
    measured = {claim.rpartition(".")[0] for each in good for claim, _ in each.verdicts}
    missing = [name for name in key.experiments if name not in measured]
    found = [(each.session, faults.get(each.folder) or each.fault) for each in participant.sessions]
    wrong = [f"{session}: {fault}" for session, fault in found if fault]
    why = f"{', '.join(each.session for each in good)} {'is' if len(good) == 1 else 'are'} as measured" if good else ""
    if missing:
        why = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in a session that is as measured"
    why = "; ".join(filter(None, (why, *wrong))) or "there is no session"
    points = key.sessions if good and not missing else 0.0
    return Ground(what="sessions", points=points, most=key.sessions, why=why)


def _of_predictions(participant: Participant, key: Key) -> Ground:
    guesses = participant.guesses
    compared = {place: guess for place, guess in guesses.items() if guess.is_right is not None}
    right = [f"{guess.what} at {place[1]}" for place, guess in compared.items() if guess.is_right]
    wrong = [
        f"{guess.what} at {place[1]} ({guess.predicted}, measured {guess.measured})"
        for place, guess in compared.items()
        if not guess.is_right
    ]
    points = key.made * len(guesses) + key.right * len(right)
    parts = [f"{len(guesses)} predicted"]
    parts += [f"right: {', '.join(right)}"] if right else []
    parts += [f"not right: {', '.join(wrong)}"] if wrong else []
    if key.most is not None and points > key.most:
        parts.append(f"{points:g} points, of which {key.most:g} count")
        points = key.most
    return Ground(what="predictions", points=points, most=key.most, why="; ".join(parts))


def _of_answer(question: Question, answers: Mapping[str, str], key: Key) -> Ground:
    name, answer = f"answer {question.name}", answers.get(question.name)
    if answer is None or not answer.strip():
        others = {other for other in answers if other not in {each.name for each in key.questions}}
        near = difflib.get_close_matches(question.name, others, 1)
        why = "there is no answer" + (f"; there is one called {near[0]}" if near else "")
        return Ground(what=name, points=0.0, most=question.points, why=why)
    is_right = _is_right(question, answer)
    right = f"{question.number:g}" if question.number is not None else " or ".join(question.right)
    off = f", within {question.within:g}" if question.number is not None and question.within else ""
    why = f"{answer.strip()!r} is right" if is_right else f"{answer.strip()!r}; right is {right}{off}"
    return Ground(what=name, points=question.points if is_right else 0.0, most=question.points, why=why)


def _is_right(question: Question, answer: str) -> bool:
    if question.number is None:
        return _plain(answer) in map(_plain, question.right)
    try:
        return abs(float(answer.strip().replace(",", ".")) - question.number) <= question.within + 1e-9
    except ValueError:
        return False


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
