"""The report for spreadsheets and data frames: a row for every claim in every cell, as RFC 4180 describes CSV."""

from __future__ import annotations

import csv
import datetime
import io

from lab.model.cell import CellResult
from lab.model.session import Judgement, Session
from lab.reports.tables import cell_fields
from lab.reports.tables.cell_fields import Value
from lab.text import names

#: A text that begins so is a formula to a spreadsheet (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

#: The names of the columns, the same for every session; docs/formats.md says what they hold.
COLUMNS = (
    "session",
    "began",
    "lab",
    "engine",
    "image",
    "implementation",
    "python",
    "gil",
    "cell",
    "cpus",
    "quota_cpus",
    "cpu_ids",
    "pinned_by",
    "status",
    "parallelism_cpus",
    "rate_cpus",
    "delivered_cpus",
    "experiment",
    "claim",
    "statement",
    "verdict",
    "expected",
    "surprise",
    "value",
    "low",
    "high",
    "unit",
    "ceiling",
    "accepted",
    "rejected",
    "reason",
    "build",
)


def render(session: Session) -> str:
    """All claims of the session, one a line; the first line names the columns."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
    results = {result.cell.id: result for result in session.results}
    writer.writeheader()
    for one in session.judgements:
        row = _row(session, results[one.cell], one)
        writer.writerow({name: _field(value) for name, value in row.items()})
    return lines.getvalue()


def _row(session: Session, result: CellResult, one: Judgement) -> dict[str, Value]:
    cell = cell_fields.fields_of_cell(session, result)
    return {
        "session": session.id,
        "began": f"{datetime.datetime.fromtimestamp(session.began, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "lab": session.lab_version,
        **cell,
        "experiment": one.claim.partition(".")[0],
        "claim": one.claim,
        "statement": one.statement,
        "verdict": one.verdict.value,
        "expected": one.expected.value if one.expected else None,
        "surprise": "true" if one.surprise else "false",
        "value": one.value,
        "low": one.low,
        "high": one.high,
        "unit": one.unit or None,
        "ceiling": one.ceiling,
        "accepted": one.accepted,
        "rejected": one.rejected,
        "reason": one.reason,
        "build": cell["build"] and f"Python {cell['build']}",  # a bare 3.10 is the number 3.1 to whoever reads it
    }


def _field(value: Value) -> Value:
    """Text on one line; one that a spreadsheet would run gets an apostrophe, which tells it that it is text. Numbers
    stay numbers."""
    if not isinstance(value, str):
        return value
    text = " ".join(names.printable(value, " ").split())
    return f"'{text}" if text.startswith(_FORMULA) else text
