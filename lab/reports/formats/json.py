"""The report for programs: one JSON document, described by lab/schema/session.schema.json."""

from __future__ import annotations

import json

from lab.messages import printable
from lab.model.session import Session
from lab.sessions.document import document


def render(session: Session) -> str:
    """The whole session as a JSON document."""
    text = json.dumps(document(session), indent=2, ensure_ascii=False)
    return "\n".join(line if line.isprintable() else "".join(map(_shown, line)) for line in text.split("\n")) + "\n"


def _shown(letter: str) -> str:
    """The character, or JSON's escape for it where it cannot be shown. A half of a surrogate pair is no character."""
    if letter.isprintable():
        return letter
    return printable(letter) if "\ud800" <= letter <= "\udfff" else json.dumps(letter)[1:-1]
