"""What the participants of a class agree on, who differs, and which property of their machines explains it. Pure."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.model.participant import Guess, Participant, Place
from lab.model.session import Verdict

#: A property explains a verdict only where each of its values, or each side of its limit, has so many participants.
FEWEST = 2

#: The properties that are numbers, and explain a verdict by a limit.
_ORDERED = ("CPUs", "cores")


@dataclass(frozen=True, kw_only=True)
class Split:
    """A property of the machines that goes with the verdicts: no value of it has both of them."""

    #: The name of the property.
    name: str
    #: Which values go with which verdict: ``confirmed with 3.13.5; refuted with 3.11.7``.
    words: str


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A claim at one limit, over all participants."""

    #: The claim and the limit.
    place: Place
    #: The claim in words.
    statement: str
    #: The names of the participants with each verdict.
    names: Mapping[Verdict, tuple[str, ...]]
    #: The properties that go with the verdicts. Several of them cannot be told apart by these machines.
    splits: tuple[Split, ...] = ()
    #: The names of the properties that go with the verdicts too, but on too few machines to tell.
    candidates: tuple[str, ...] = ()

    @property
    def is_divided(self) -> bool:
        """Whether it is confirmed on some machines and refuted on others."""
        return Verdict.CONFIRMED in self.names and Verdict.REFUTED in self.names

    @property
    def minority(self) -> tuple[str, ...]:
        """The participants whose decisive verdict fewer others have."""
        return min((self.names.get(verdict, ()) for verdict in (Verdict.REFUTED, Verdict.CONFIRMED)), key=len)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number at one limit, over all participants."""

    #: The number and the limit.
    place: Place
    #: The number of each participant, by name.
    values: Mapping[str, float]

    @property
    def median(self) -> float:
        """The median over the participants."""
        return statistics.median(self.values.values())

    @property
    def lowest(self) -> float:
        """The smallest number."""
        return min(self.values.values())

    @property
    def highest(self) -> float:
        """The largest number."""
        return max(self.values.values())


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What the participants predicted of one number at one limit."""

    #: The number and the limit.
    place: Place
    #: The number in words.
    what: str
    #: How many participants predicted each value, the most frequent first.
    said: Mapping[str, int]
    #: How many participants measured each value, the most frequent first.
    measured: Mapping[str, int]
    #: How many predictions were right.
    right: int
    #: How many predictions were compared with a measured number.
    compared: int


@dataclass(frozen=True, kw_only=True)
class Class:
    """The participants, and what their sessions come to."""

    #: The participants, in the order of their names.
    participants: Sequence[Participant]
    #: Each claim at each limit that somebody has a verdict on.
    agreements: Sequence[Agreement]
    #: Each number at each limit that somebody has measured.
    spreads: Sequence[Spread]
    #: What was predicted of each number at each limit.
    predicted: Sequence[Predicted]
    #: The session that several participants have handed in -> their names.
    twice: Mapping[str, tuple[str, ...]]


def joined(participants: Sequence[Participant]) -> Class:
    """What the sessions of these participants come to."""
    return Class(
        participants=participants,
        agreements=agreements(participants),
        spreads=spreads(participants),
        predicted=predicted(participants),
        twice=handed_in_twice(participants),
    )


def agreements(participants: Sequence[Participant]) -> tuple[Agreement, ...]:
    """Each claim at each limit that somebody has a verdict on."""
    statements = {
        claim: text
        for participant in participants
        for each in participant.sessions
        for claim, text in each.statements.items()
    }
    verdicts = {participant.name: participant.verdicts for participant in participants}
    properties = {participant.name: participant.properties for participant in participants}
    places = dict.fromkeys(place for each in verdicts.values() for place in each)
    return tuple(_agreement(place, statements.get(place[0], ""), verdicts, properties) for place in sorted(places))


def _agreement(
    place: Place,
    statement: str,
    verdicts: Mapping[str, Mapping[Place, Verdict]],
    properties: Mapping[str, Mapping[str, str]],
) -> Agreement:
    by_name = {name: each[place] for name, each in verdicts.items() if place in each}
    names = {
        verdict: tuple(name for name, given in by_name.items() if given is verdict)
        for verdict in Verdict
        if verdict in by_name.values()
    }
    decisive = {name: verdict for name, verdict in by_name.items() if verdict.decisive}
    splits = tuple(_splits(decisive, properties)) if len(set(decisive.values())) > 1 else ()
    candidates = _candidates(decisive, properties) if len(set(decisive.values())) > 1 and not splits else ()
    return Agreement(place=place, statement=statement, names=names, splits=splits, candidates=candidates)


def _splits(verdicts: Mapping[str, Verdict], properties: Mapping[str, Mapping[str, str]]) -> list[Split]:
    """The properties that go with these verdicts, if all participants have them."""
    splits = []
    for name, values in _known(verdicts, properties):
        words = _by_limit(verdicts, values) if name in _ORDERED else _by_value(verdicts, values)
        if words:
            splits.append(Split(name=name, words=words))
    return splits


def _known(
    participants: Iterable[str], properties: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Each property that all of these participants have, with the value of each of them."""
    participants = list(participants)
    for name in dict.fromkeys(name for participant in participants for name in properties[participant]):
        values = {participant: properties[participant].get(name, "") for participant in participants}
        if all(values.values()):
            yield name, values


def _candidates(verdicts: Mapping[str, Verdict], properties: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """The properties of which no value has both verdicts, where too few participants have one of these verdicts."""
    if min(Counter(verdicts.values()).values()) >= FEWEST:
        return ()
    candidates = []
    for name, values in _known(verdicts, properties):
        pairs = {(values[participant], verdict) for participant, verdict in verdicts.items()}
        if len(pairs) == len(set(values.values())):
            candidates.append(name)
    return tuple(candidates)


def _by_value(verdicts: Mapping[str, Verdict], values: Mapping[str, str]) -> str:
    """Which values go with which verdict; empty where one value has both, or where the values are too many to tell."""
    of_value: dict[str, set[Verdict]] = {}
    for participant, value in values.items():
        of_value.setdefault(value, set()).add(verdicts[participant])
    counts = Counter(values.values())
    if any(len(given) > 1 for given in of_value.values()) or len(of_value) > len(values) / FEWEST:
        return ""
    if min(_supporting(verdict, verdicts, values, counts) for verdict in set(verdicts.values())) < FEWEST:
        return ""
    parts = []
    for verdict in sorted(set(verdicts.values())):
        those = sorted((value for value, given in of_value.items() if verdict in given), key=_natural)
        parts.append(f"{verdict} with {', '.join(those)}")
    return "; ".join(parts)


def _supporting(
    verdict: Verdict, verdicts: Mapping[str, Verdict], values: Mapping[str, str], counts: Mapping[str, int]
) -> int:
    """How many participants have the most frequent value that goes with a verdict."""
    return max(counts[values[participant]] for participant, given in verdicts.items() if given is verdict)


def _by_limit(verdicts: Mapping[str, Verdict], values: Mapping[str, str]) -> str:
    """The limit between the numbers that go with one verdict and those that go with the other; empty without one."""
    low, high = sorted(
        (
            sorted((int(values[participant]) for participant, given in verdicts.items() if given is verdict), key=int)
            for verdict in set(verdicts.values())
        ),
        key=lambda numbers: numbers[0],
    )
    if low[-1] >= high[0] or min(len(low), len(high)) < FEWEST:
        return ""
    first = next(verdict for participant, verdict in verdicts.items() if int(values[participant]) == low[0])
    (second,) = set(verdicts.values()) - {first}
    return f"{first} up to {low[-1]}; {second} from {high[0]}"


def _natural(text: str) -> list[tuple[int, str]]:
    """Orders 3.9 before 3.13."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.findall(r"\d+|\D+", text)]


def handed_in_twice(participants: Sequence[Participant]) -> Mapping[str, tuple[str, ...]]:
    """The session that several participants have handed in -> their names."""
    names: dict[str, list[str]] = {}
    for participant in participants:
        for session in dict.fromkeys(each.session for each in participant.sessions):
            names.setdefault(session, []).append(participant.name)
    return {session: tuple(those) for session, those in names.items() if len(those) > 1}


def spreads(participants: Sequence[Participant]) -> tuple[Spread, ...]:
    """Each number at each limit that somebody has measured."""
    numbers = {participant.name: participant.numbers for participant in participants}
    places = sorted({place for each in numbers.values() for place in each})
    return tuple(
        Spread(place=place, values={name: each[place].value for name, each in numbers.items() if place in each})
        for place in places
    )


def predicted(participants: Sequence[Participant]) -> tuple[Predicted, ...]:
    """What was predicted of each number at each limit, beside what was measured."""
    guesses = [participant.guesses for participant in participants]
    return tuple(
        _predicted(place, [each[place] for each in guesses if place in each])
        for place in sorted({place for each in guesses for place in each})
    )


def _predicted(place: Place, guesses: Sequence[Guess]) -> Predicted:
    def counted(text: Callable[[Guess], str]) -> dict[str, int]:
        return dict(Counter(text(guess) for guess in guesses if text(guess)).most_common())

    return Predicted(
        place=place,
        what=guesses[0].what,
        said=counted(lambda guess: guess.predicted),
        measured=counted(lambda guess: guess.measured),
        right=sum(guess.is_right is True for guess in guesses),
        compared=sum(guess.is_right is not None for guess in guesses),
    )
