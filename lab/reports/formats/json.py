"""The report for programs: one JSON document, described by lab/schema/session.schema.json."""

from __future__ import annotations

import json

from lab.model.session import Session
from lab.sessions.document import document


def render(session: Session) -> str:
    """The whole session as a JSON document."""
    return json.dumps(document(session), indent=2, ensure_ascii=False) + "\n"
