"""A class for programs and spreadsheets: everything that its tables are made of. Pure."""

from __future__ import annotations

import json
from typing import Any

from lab.judging.agreement import Agreement, Class, Predicted
from lab.model.participant import Participant
from lab.text import spreadsheets
from lab.text.spreadsheets import Value

#: The version of the JSON document.
SCHEMA = 1


def as_csv(joined: Class) -> str:
    """A row for each participant; a column for each property, claim, number and prediction."""
    properties = list(dict.fromkeys(name for each in joined.participants for name in each.properties))
    claims, numbers, guesses = (
        [each.place for each in several] for several in (joined.agreements, joined.spreads, joined.predicted)
    )
    head = ["participant", "sessions", "state", *properties]
    head += [f"{name} at {limit}" for name, limit in claims]
    head += [f"number: {name} at {limit}" for name, limit in numbers]
    head += [f"predicted: {name} at {limit}" for name, limit in guesses]
    rows: list[list[Value]] = [[*head]]
    for each in joined.participants:
        facts, verdicts, values, said = each.properties, each.verdicts, each.numbers, each.guesses
        row: list[Value] = [
            each.name,
            " ".join(session.session for session in each.sessions),
            " ".join(dict.fromkeys(session.trust.value for session in each.sessions)),
        ]
        row += [facts.get(name) for name in properties]
        row += [verdicts[place].value if place in verdicts else None for place in claims]
        row += [values[place].value if place in values else None for place in numbers]
        row += [said[place].predicted if place in said else None for place in guesses]
        rows.append(row)
    return spreadsheets.rows(rows)


def as_json(joined: Class) -> str:
    """All participants, and what their claims and predictions come to."""
    document = {
        "schema": SCHEMA,
        "participants": [_participant(each) for each in joined.participants],
        "claims": [_claim(each) for each in joined.agreements],
        "predictions": [_prediction(each) for each in joined.predicted],
        "handed_in_twice": {session: list(names) for session, names in joined.twice.items()},
    }
    return json.dumps(document, indent=2) + "\n"


def _participant(each: Participant) -> dict[str, Any]:
    return {
        "name": each.name,
        "properties": dict(each.properties),
        "sessions": [
            {
                "session": session.session,
                "folder": session.folder,
                "state": session.trust.value,
                "fault": session.fault or None,
            }
            for session in each.sessions
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


def _claim(each: Agreement) -> dict[str, Any]:
    return {
        "claim": each.place[0],
        "limit": each.place[1],
        "statement": each.statement,
        "participants": {verdict.value: list(names) for verdict, names in each.names.items()},
        "goes_with": [{"property": split.name, "how": split.words} for split in each.splits],
        "may_go_with": list(each.candidates),
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
