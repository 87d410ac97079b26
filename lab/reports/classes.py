"""What a class has measured, as text: for a terminal, a page, a pull request, a spreadsheet, and programs."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.judging import agreement
from lab.judging.agreement import Agreement, Predicted, Spread
from lab.messages import printable
from lab.model.participant import Participant, Place, Trust
from lab.model.session import Verdict
from lab.text import markdown, units
from lab.text.table import Table, fit_sentence, fit_table

#: The version of the JSON document.
SCHEMA = 1

FORMATS = ("screen", "markdown", "csv", "json", "page")

#: A verdict as a sign and a word, so that nobody has to tell colours apart.
_MARKS = {
    Verdict.CONFIRMED: "✓",
    Verdict.REFUTED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.UNTESTABLE: "–",
    Verdict.ERROR: "!",
}
_LEGEND = "✓ confirmed, ✗ refuted, ? inconclusive, – untestable, ! failed, empty: not run"

#: The numbers that the table of participants shows on a screen, as far as they were measured: at the largest limit.
_SHOWN = (
    ("pool.default-size", "Pool()\nworkers"),
    ("cores.threads", "threads\nspeed-up"),
    ("cores.processes", "processes\nspeed-up"),
)
#: A screen names so many people, and has so many rows of a table.
_MOST_NAMES, _MOST_ROWS = 6, 20


class Class:
    """The participants, and what their sessions come to."""

    def __init__(self, participants: Sequence[Participant]) -> None:
        self.participants = participants
        self.agreements = agreement.agreements(participants)
        self.spreads = agreement.spreads(participants)
        self.predicted = agreement.predicted(participants)


def render(form: str, participants: Sequence[Participant], width: int = 80) -> str:
    """The class in one of :data:`FORMATS`."""
    joined = Class(participants)
    if form == "csv":
        return _csv(joined)
    if form == "json":
        return json.dumps(_document(joined), indent=2) + "\n"
    if form == "page":
        return _page(joined)
    return _markdown(joined) if form == "markdown" else _screen(joined, width)


def _headline(joined: Class) -> str:
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


def _troubles(joined: Class) -> list[str]:
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
    twice = agreement.handed_in_twice(joined.participants)
    return lines + [f"{', '.join(names)}: the same session ({session})" for session, names in twice.items()]


def _tables(joined: Class) -> list[Table]:
    tables = (_people(joined), _differing(joined), _numbers(joined), _guesses(joined))
    return [table for table in tables if table.rows]


def _people(joined: Class) -> Table:
    """A row for each participant: the machine, some numbers, and how many claims have which verdict."""
    chosen = [(place, head) for name, head in _SHOWN if (place := _largest(name, joined.spreads))]
    guessed = any(each.guesses for each in joined.participants)
    head = ["participant", "CPUs", "Python"]
    head += [f"{title},\n{place[1]}" for place, title in chosen]
    head += ["✓", "✗", "?"] + ["predicted\nright"] * guessed
    rows = []
    for each in joined.participants:
        counts = Counter(each.verdicts.values())
        numbers = [_value(each.numbers[place].value) if place in each.numbers else "-" for place, _ in chosen]
        verdicts = [str(counts[verdict]) for verdict in (Verdict.CONFIRMED, Verdict.REFUTED, Verdict.INCONCLUSIVE)]
        right = [_right(each)] * guessed
        facts = each.properties
        rows.append((each.name, facts.get("CPUs", "-"), facts.get("Python", "-"), *numbers, *verdicts, *right))
    return Table(title="Participants", head=tuple(head), rows=tuple(rows))


def _largest(name: str, spreads: Sequence[Spread]) -> Place | None:
    """The limit at which most participants have that number; of several the last one; ``None`` where nobody has it."""
    places = {each.place: len(each.values) for each in spreads if each.place[0] == name}
    return max(places, key=lambda place: (places[place], place), default=None)


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


def _cut(table: Table, noun: str) -> Table:
    """The table with as many rows as a screen has room for, and a line about the others."""
    more = len(table.rows) - _MOST_ROWS
    if more <= 0:
        return table
    note = f"and {units.counted(more, f'more {noun}')}: --format page, markdown or csv"
    return replace(table, rows=table.rows[:_MOST_ROWS], notes=(*table.notes, note))


def _value(number: float) -> str:
    return f"{number:g}" if number == int(number) else units.ratio(number)


def _agreed(joined: Class) -> str:
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


def _screen(joined: Class, width: int) -> str:
    parts = [fit_sentence(_headline(joined), width), fit_sentence(_agreed(joined), width)]
    troubles = _troubles(joined)
    parts += ["\n".join(fit_sentence(line, width) for line in troubles)] if troubles else []
    for table in (_cut(table, "row") for table in _tables(joined)):
        notes = [fit_sentence(note, width) for note in table.notes]
        parts.append("\n".join([table.title, fit_table(table.head, table.rows, width), *notes]))
    return "\n".join(printable(line) for line in "\n\n".join(parts).split("\n")) + "\n"


def _markdown(joined: Class) -> str:
    parts = ["# A class", *(markdown.escaped(text) for text in (_headline(joined), _agreed(joined)))]
    parts += ["\n".join(f"- {markdown.escaped(line)}" for line in _troubles(joined))]
    for table in (*_tables(joined), _all_claims(joined)):
        head, *rows = ([markdown.escaped(text) for text in row] for row in (table.head, *table.rows))
        parts += [f"## {table.title}", markdown.table(head, rows), *map(markdown.escaped, table.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _all_claims(joined: Class) -> Table:
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


def _csv(joined: Class) -> str:
    """A row for each participant; a column for each property, claim, number and prediction."""
    properties = list(dict.fromkeys(name for each in joined.participants for name in each.properties))
    claims = [each.place for each in joined.agreements]
    numbers = [each.place for each in joined.spreads]
    guesses = [each.place for each in joined.predicted]
    columns: list[tuple[str, Callable[[Participant], object]]] = [
        ("participant", lambda each: each.name),
        ("sessions", lambda each: " ".join(session.session for session in each.sessions)),
        ("state", lambda each: " ".join(dict.fromkeys(session.trust.value for session in each.sessions))),
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [name for name, _ in columns] + properties
    heads += [f"{name} at {limit}" for name, limit in claims]
    heads += [f"number: {name} at {limit}" for name, limit in numbers]
    heads += [f"predicted: {name} at {limit}" for name, limit in guesses]
    writer.writerow(map(_field, heads))
    for each in joined.participants:
        facts, verdicts, values, said = each.properties, each.verdicts, each.numbers, each.guesses
        row: list[object] = [value(each) for _, value in columns] + [facts.get(name, "") for name in properties]
        row += [verdicts[place].value if place in verdicts else "" for place in claims]
        row += [values[place].value if place in values else "" for place in numbers]
        row += [said[place].predicted if place in said else "" for place in guesses]
        writer.writerow(map(_field, row))
    return text.getvalue()


def _field(value: object) -> object:
    """A text on one line, with an apostrophe in front if a spreadsheet would run it (OWASP, "CSV Injection")."""
    if not isinstance(value, str):
        return value
    text = printable(" ".join(value.split()))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _document(joined: Class) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "participants": [
            {
                "name": each.name,
                "properties": dict(each.properties),
                "sessions": [
                    {"session": s.session, "folder": s.folder, "state": s.trust.value, "fault": s.fault or None}
                    for s in each.sessions
                ],
                "verdicts": [
                    {"claim": claim, "limit": limit, "verdict": verdict.value}
                    for (claim, limit), verdict in each.verdicts.items()
                ],
                "numbers": [
                    {"number": name, "limit": limit, "value": number.value, "low": number.low, "high": number.high}
                    for (name, limit), number in each.numbers.items()
                ],
                "predictions": [
                    {
                        "of": of,
                        "limit": limit,
                        "predicted": guess.predicted,
                        "measured": guess.measured or None,
                        "right": guess.is_right,
                    }
                    for (of, limit), guess in each.guesses.items()
                ],
            }
            for each in joined.participants
        ],
        "claims": [
            {
                "claim": each.place[0],
                "limit": each.place[1],
                "statement": each.statement,
                "participants": {verdict.value: list(names) for verdict, names in each.names.items()},
                "goes_with": [{"property": split.name, "how": split.words} for split in each.splits],
            }
            for each in joined.agreements
        ],
        "predictions": [_prediction(each) for each in joined.predicted],
    }


def _prediction(each: Predicted) -> dict[str, Any]:
    return {
        "of": each.place[0],
        "what": each.what,
        "limit": each.place[1],
        "said": dict(each.said),
        "measured": dict(each.measured),
        "right": each.right,
        "compared": each.compared,
    }


def _page(joined: Class) -> str:
    """One HTML file without scripts, which loads nothing."""
    from importlib import resources

    import jinja2

    parts = resources.files("lab.reports.formats") / "page"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((parts / "class.html").read_text("utf-8"))
    return template.render(
        headline=_headline(joined),
        agreed=_agreed(joined),
        troubles=_troubles(joined),
        tables=[*_tables(joined), _all_claims(joined)],
        style=(parts / "style.css").read_text("utf-8"),
    )
