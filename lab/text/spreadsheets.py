"""Fields of CSV files, which spreadsheets open. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from lab.messages import printable

#: What may stand in a field: a number, a word, or ``None`` if it is not known.
Value = str | int | float | None

#: A spreadsheet takes a text that begins with one of these for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def field(value: Value) -> Value:
    """A text on one line, with an apostrophe in front if a spreadsheet would run it. Numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = printable(" ".join(value.split()))
    return f"'{text}" if text.startswith(_FORMULA) else text


def rows(lines: Iterable[Iterable[Value]]) -> str:
    """These rows as a CSV file (RFC 4180), in which no field is run."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([field(value) for value in line] for line in lines)
    return text.getvalue()
