"""The tables and the sentences of a class. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from lab.judging.agreement import Agreement, Class, Spread
from lab.model.participant import Participant, Place, Trust
from lab.model.session import Verdict
from lab.text import units
from lab.text.table import Table

#: A verdict as a sign and a word, so that nobody has to tell colours apart.
_MARKS = {
    Verdict.CONFIRMED: "✓",
    Verdict.REFUTED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.UNTESTABLE: "–",
    Verdict.ERROR: "!",
}
_LEGEND = "✓ confirmed, ✗ refuted, ? inconclusive, – untestable, ! failed, empty: not run"

#: The numbers that the table of participants shows on a screen, as far as they were measured: at one limit.
_SHOWN = (
    ("pool.default-size", "Pool()\nworkers"),
    ("cores.threads", "threads\nspeed-up"),
    ("cores.processes", "processes\nspeed-up"),
)
#: A line names so many people, or values.
_MOST_NAMES = 6


def headline(joined: Class) -> str:
    people = joined.participants
    sessions = units.counted(sum(len(each.sessions) for each in people), "session")
    machines = Counter(", ".join(_machine(each)) for each in people if each.properties)
    listed = "; ".join(f"{count} with {words}" for words, count in machines.most_common(4))
    more = len(machines) - 4
    kinds = f"{listed}{f'; and {more} other kinds' if more > 0 else ''}" if machines else "none can be read"
    return f"{units.counted(len(people), 'participant')}, {sessions}. Machines: {kinds}."


def _machine(participant: Participant) -> list[str]:
    facts = participant.properties
    cpus = units.cpus(int(facts["CPUs"])) if "CPUs" in facts else ""
    return [text for text in (cpus, facts.get("Python", ""), facts.get("engine", "")) if text]


def agreed(joined: Class) -> str:
    """How many claims all agree on."""
    shared = [each for each in joined.agreements if sum(len(names) for names in each.names.values()) > 1]
    divided = [each for each in shared if each.is_divided]
    alike = [each for each in shared if len(each.names) == 1 and next(iter(each.names)).decisive]
    if not shared:
        return "No claim was judged for several participants."
    others = len(shared) - len(alike) - len(divided)
    return (
        f"Several participants judged {units.counted(len(shared), 'claim')}, at each limit: {len(alike)} alike for all,"
        f" {len(divided)} true for some and false for others, {others} not decided for everybody."
    )


def troubles(joined: Class) -> list[str]:
    """A line for each session whose files are not as they were sealed, or that is not complete."""
    words = {
        Trust.EDITED: "edited, so it does not count",
        Trust.UNREADABLE: "cannot be read",
        Trust.INCOMPLETE: "incomplete",
        Trust.UNVERIFIED: "not verified",
    }
    lines = [
        f"{participant.name}: {words[each.trust]}: {each.fault} ({each.session})"
        for participant in joined.participants
        for each in participant.sessions
        if each.trust in words
    ]
    return lines + [f"{', '.join(names)}: the same session ({session})" for session, names in joined.twice.items()]


def main_tables(joined: Class) -> list[Table]:
    tables = (_differing(joined), _guesses(joined), _people(joined), _numbers(joined))
    return [table for table in tables if table.rows]


def _people(joined: Class) -> Table:
    """A row for each participant: how its machine differs, some numbers, and how many claims have which verdict."""
    chosen = [(place, head) for name, head in _SHOWN if (place := _telling(name, joined.spreads))]
    guessed = any(each.guesses for each in joined.participants)
    properties = [name for name in ("CPUs", "Python") if _differs(name, joined.participants)]
    head = ["participant", *properties]
    head += [f"{title},\n{place[1]}" for place, title in chosen]
    head += ["✓", "✗", "?"] + ["predicted\nright"] * guessed
    rows = []
    for each in joined.participants:
        counts = Counter(each.verdicts.values())
        numbers = [_value(each.numbers[place].value) if place in each.numbers else "-" for place, _ in chosen]
        verdicts = [str(counts[verdict]) for verdict in (Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE)]
        right = [_right(each)] * guessed
        facts = [each.properties.get(name, "-").removeprefix("CPython ") for name in properties]
        rows.append((each.name, *facts, *numbers, *verdicts, *right))
    legend = "✓ claims that are confirmed, ✗ refuted, ? inconclusive"
    return Table(title="Participants", head=tuple(head), rows=tuple(rows), notes=(legend,))


def _differs(name: str, participants: Sequence[Participant]) -> bool:
    """Whether a property is not the same for all. The headline says what is."""
    return len({each.properties.get(name) for each in participants if each.properties}) > 1


def _telling(name: str, spreads: Sequence[Spread]) -> Place | None:
    """The limit at which most participants have that number; of several one where they differ, or the largest.

    ``None`` where nobody has it.
    """
    those = [each for each in spreads if each.place[0] == name]
    best = max(those, key=lambda each: (len(each.values), each.lowest < each.highest, _size(each.place)), default=None)
    return best.place if best else None


def _size(place: Place) -> int:
    """The number of CPUs in the words of a limit; 0 where it has none."""
    size = re.match(r"\d+", place[1])
    return int(size[0]) if size else 0


def _right(participant: Participant) -> str:
    compared = [guess for guess in participant.guesses.values() if guess.is_right is not None]
    return f"{sum(guess.is_right is True for guess in compared)} of {len(compared)}" if compared else "-"


def _differing(joined: Class) -> Table:
    """The claims that are confirmed on some machines and refuted on others, and what goes with that."""
    rows = tuple(
        (
            f"{each.place[0]}, {each.place[1]}",
            str(len(each.names.get(Verdict.CONFIRMED, ()))),
            str(len(each.names.get(Verdict.REFUTED, ()))),
            _why(each),
            _named(each.minority),
        )
        for each in joined.agreements
        if each.is_divided
    )
    return Table(
        title="Claims that are true for some and false for others",
        head=("claim", "✓", "✗", "what goes with it", "in the minority"),
        rows=rows,
    )


def _why(divided: Agreement) -> str:
    """Which property of the machines goes with the verdicts."""
    if not divided.splits and divided.candidates:
        return f"too few machines to tell, but they differ in {', '.join(divided.candidates)}"
    if not divided.splits:
        return "no property of the machines"
    if len(divided.splits) == 1:
        return f"{divided.splits[0].name}: {divided.splits[0].words}"
    names = ", ".join(split.name for split in divided.splits)
    return f"not separable: {names} ({divided.splits[0].name}: {divided.splits[0].words})"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _numbers(joined: Class) -> Table:
    """The median and the range of the numbers that several participants have."""
    rows = [
        (each.place[0], each.place[1], str(len(each.values)), *map(_value, (each.median, each.lowest, each.highest)))
        for each in joined.spreads
        if len(each.values) > 1 and any(each.place[0] == name for name, _ in _SHOWN)
    ]
    return Table(title="Numbers", head=("number", "limit", "n", "median", "lowest", "highest"), rows=tuple(rows))


def _guesses(joined: Class) -> Table:
    rows = tuple(
        (each.what, each.place[1], _counts(each.said), _counts(each.measured), f"{each.right} of {each.compared}")
        for each in joined.predicted
    )
    head = ("prediction", "limit", "said (how many)", "measured", "right")
    return Table(title="Predictions beside measurements", head=head, rows=rows)


def _counts(counts: Mapping[str, int]) -> str:
    texts = [f"{text} ({count})" for text, count in counts.items()]
    more = len(texts) - _MOST_NAMES
    return ", ".join(texts[:_MOST_NAMES]) + (f", {more} others" if more > 0 else "")


def _value(number: float) -> str:
    return f"{number:g}" if number == int(number) else units.ratio(number)


def all_claims(joined: Class) -> Table:
    """A row for each claim at each limit, and a column for each participant."""
    people = joined.participants
    verdicts = [each.verdicts for each in people]
    rows = tuple(
        (
            f"{each.place[0]}, {each.place[1]}",
            *(_MARKS[given[each.place]] if each.place in given else "" for given in verdicts),
        )
        for each in joined.agreements
    )
    return Table(title="Every claim", head=("claim", *(each.name for each in people)), rows=rows, notes=(_LEGEND,))
