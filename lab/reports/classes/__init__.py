"""What a class has measured, as text: for a terminal, a page, a pull request, a spreadsheet, and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.errors import MissingExtraError
from lab.judging.agreement import Class, joined
from lab.messages import printable
from lab.model.participant import Participant
from lab.reports.classes import exports, tables
from lab.text import markdown, units
from lab.text.table import Table, fit_sentence, fit_table

FORMATS = ("screen", "markdown", "csv", "json", "page")

#: A screen has so many rows of a table.
_MOST_ROWS = 20


def render(form: str, participants: Sequence[Participant], width: int = 80) -> str:
    """The class in one of :data:`FORMATS`. Raises MissingExtraError where the library for pages is not installed."""
    everybody = joined(participants)
    if form == "screen":
        return _screen(everybody, width)
    makers = {"markdown": _markdown, "csv": exports.as_csv, "json": exports.as_json, "page": _page}
    return makers[form](everybody)


def _screen(everybody: Class, width: int) -> str:
    parts = [fit_sentence(text, width) for text in (tables.headline(everybody), tables.agreed(everybody))]
    troubles = tables.troubles(everybody)
    parts += ["\n".join(fit_sentence(line, width) for line in troubles)] if troubles else []
    for table in map(_cut, tables.main_tables(everybody)):
        notes = [fit_sentence(note, width) for note in table.notes]
        parts.append("\n".join([table.title, fit_table(table.head, table.rows, width), *notes]))
    return "\n".join(printable(line) for line in "\n\n".join(parts).split("\n")) + "\n"


def _cut(table: Table) -> Table:
    """The table with as many rows as a screen has room for, and a line about the others."""
    more = len(table.rows) - _MOST_ROWS
    if more <= 0:
        return table
    note = f"and {units.counted(more, 'more row')}: --format page, markdown or csv"
    return replace(table, rows=table.rows[:_MOST_ROWS], notes=(note, *table.notes))


def _markdown(everybody: Class) -> str:
    parts = ["# A class"]
    parts += [markdown.escaped(text) for text in (tables.headline(everybody), tables.agreed(everybody))]
    parts += ["\n".join(f"- {markdown.escaped(line)}" for line in tables.troubles(everybody))]
    for table in (*tables.main_tables(everybody), tables.all_claims(everybody)):
        head, *rows = ([markdown.escaped(text) for text in row] for row in (table.head, *table.rows))
        parts += [f"## {table.title}", markdown.table(head, rows), *map(markdown.escaped, table.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _page(everybody: Class) -> str:
    """One HTML file without scripts, which loads nothing."""
    from importlib import resources

    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingExtraError("the page of a class", "report", error) from error
    parts = resources.files("lab.reports.formats") / "page"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string((parts / "class.html").read_text("utf-8")).render(
        headline=tables.headline(everybody),
        agreed=tables.agreed(everybody),
        troubles=tables.troubles(everybody),
        tables=[*tables.main_tables(everybody), tables.all_claims(everybody)],
        style=(parts / "style.css").read_text("utf-8"),
    )
