"""The report for one screen: the answer first, two tables, surprises and refutations, and where the rest is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.model.session import Session
    from lab.reports.tables.answers import Answer
    from lab.reports.tables.highlights import Lesson

#: The most lines of a default run, so that it fits on a screen.
MOST_LINES = 45
#: The widest lines.
WIDEST = 80
#: The narrowest terminal that lines are broken for.
NARROWEST = 40
#: This format is rendered for the width of the terminal.
FITS_WIDTH = True

#: Where the text of an answer begins.
_INDENT = 12

_REST = "All tables: lab report --terminal. A page with charts: lab report. The words: lab explain glossary."


_REFUTED = "Refuted, as expected: these sentences do not hold here:"


def check_libraries() -> None:
    """Load the libraries of the report now, while the program waits for an engine anyway."""
    import tabulate  # noqa: F401 - only to load it

    from lab.reports import tables  # noqa: F401 - only to load it


def render(session: Session, width: int = WIDEST) -> str:
    """The session as one screen of text, in lines of at most ``width`` characters, but at least 40."""
    from lab.reports.tables import overview
    from lab.reports.tables.answers import answers
    from lab.reports.tables.highlights import errors, refuted, surprises
    from lab.text import table as layout

    width = min(max(width, NARROWEST), WIDEST)
    parts = [_wrapped(overview.headline(session), width)]
    parts.append([line for answer in answers(session) for line in _answer(answer, width)])
    for table in overview.overview_tables(session):
        parts.append([*_wrapped(table.title, width), *layout.fit_table(table.head, table.rows, width).splitlines()])
    parts.append(_wrapped(overview.counts(session), width))
    notes = [line for note in session.notes for line in _wrapped(note, width, 2)]
    last = [*notes, *_wrapped(_REST, width)]
    room = MOST_LINES - sum(len(part) + 1 for part in parts if part) - len(last)
    for table in overview.extra_tables(session):
        text = layout.fit_table(table.head, table.rows, width).splitlines()
        if len(text) + 2 <= room:
            parts.append([*_wrapped(table.title, width), *text])
            room -= len(parts[-1]) + 1
    changed = [_item(line, width) for line in overview.changes(session)]
    holding = [_item(line, width) for line in overview.confirmed(session)]
    for title, items in (
        ("Surprises:", [_lesson(lesson, width) for lesson in surprises(session)]),
        ("Errors:", [_lesson(lesson, width) for lesson in errors(session)]),
        ("What changed between builds:", changed),
        (_REFUTED, [_item(_statement(lesson), width) for lesson in refuted(session)]),
        ("Confirmed: these sentences hold here:", holding),
    ):
        parts.append(_shortened(title, items, room - 1, width))
        room -= len(parts[-1]) + 1 if parts[-1] else 0
    return "\n\n".join("\n".join(part) for part in (*parts, last) if part) + "\n"


def _answer(answer: Answer, width: int) -> list[str]:
    """An answer in lines that begin below each other, unless that would leave too little room for long words."""
    indent = _INDENT if width >= 60 else 2
    heads = [answer.subject.ljust(_INDENT), *[" " * indent] * (len(answer.paragraphs) - 1)]
    texts = [f"{where}: {text}" if where else text for where, text in answer.paragraphs]
    lines = [_wrapped(head + text, width, indent) for head, text in zip(heads, texts, strict=True)]
    return [line for paragraph in lines for line in paragraph]


def _shortened(title: str, items: Sequence[Sequence[str]], room: int, width: int) -> list[str]:
    """The title and as many items as there is room for, in lines. The last line counts the items that are left out."""
    if not items:
        return []
    if len(items[0]) + 2 > room:
        return _wrapped(f"{title.partition(':')[0]}: {len(items)}, see lab report --terminal", width)
    lines = [title]
    for number, item in enumerate(items):
        is_last = number == len(items) - 1
        if len(lines) + len(item) + (not is_last) > room:
            return [*lines, f"- and {len(items) - number} more: lab report --terminal"]
        lines += item
    return lines


def _item(line: str, width: int) -> list[str]:
    return _wrapped(f"- {line}", width, 2)


def _lesson(lesson: Lesson, width: int) -> list[str]:
    """A surprise or an error with its statement, and the reason in each cell."""
    surprise = lesson.verdict.decisive
    word = f"SURPRISE, {lesson.verdict} (expected: {lesson.expected})" if surprise else str(lesson.verdict)
    lines = _wrapped(f"- {word}: {_statement(lesson)}", width, 2)
    for reason, cells in lesson.places:
        lines += _wrapped(f"  at {_on_one_line(cells)}: {reason}", width, 4)
    return lines


def _statement(lesson: Lesson) -> str:
    return f"{lesson.statement} ({lesson.claim})"


def _on_one_line(cells: Iterable[str]) -> str:
    return "; ".join(cell.replace(",\n", ", ") for cell in cells)


def _wrapped(line: str, width: int, indent: int = 0) -> list[str]:
    from lab.messages import printable

    return textwrap.wrap(printable(line), width, subsequent_indent=" " * indent, break_on_hyphens=False)
