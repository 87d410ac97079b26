"""The report for one screen: the answer first, two tables, surprises and refutations, and where the rest is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.text import units

if TYPE_CHECKING:
    from lab.model.cell import CellResult
    from lab.model.session import Session
    from lab.reports.tables.answers import Answer
    from lab.reports.tables.highlights import Lesson
    from lab.reports.tables.scale import AdviceText
    from lab.text.table import Table

#: The most lines of a default run at full width, so that it fits on a screen.
MOST_LINES = 45
#: The widest lines.
WIDEST = 80
#: The narrowest terminal that lines are broken for.
NARROWEST = 40
#: This format is rendered for the width of the terminal.
FITS_WIDTH = True

#: Where the text of an answer begins.
_INDENT = 12

#: The lines of a section that only counts its items, with the empty line above it.
_LEAST_LINES = 2

#: With more cells than this, the cells of a refuted claim are only counted.
_MOST_CELLS = 2

#: The command that shows what the screen leaves out.
_TABLES = "lab report --terminal"

_REST = f"Tables: {_TABLES}. A page: lab report. Words: lab explain glossary."


@dataclass(frozen=True, kw_only=True)
class _Section:
    """What stands above a list of items, and what an item is."""

    #: The title.
    title: str
    #: What an item is, in one word.
    item: str
    #: What the items are, for those who read the title for the first time; empty: the title says it.
    what: str = ""


def check_libraries() -> None:
    """Load the libraries of the report now, while the program waits for an engine anyway."""
    import tabulate  # noqa: F401 - only to load it

    from lab.reports import tables  # noqa: F401 - only to load it


def most_lines(width: int) -> int:
    """The most lines of a default run at this width: narrow lines hold less, so there may be more of them."""
    return MOST_LINES * WIDEST // min(max(width, NARROWEST), WIDEST)


def render(session: Session, width: int = WIDEST) -> str:
    """The session as one screen of text, in lines of at most ``width`` characters, but at least 40."""
    from lab.judging.programs import is_of_programs
    from lab.reports.tables import overview, scale
    from lab.reports.tables.answers import answers
    from lab.reports.tables.highlights import errors, refuted, surprises

    width = min(max(width, NARROWEST), WIDEST)
    if scale.is_own_code(session):
        return _own_code(session, width)
    if is_of_programs(session):
        return _programs(session, width)
    parts = [_wrapped(overview.headline(session), width)]
    parts.append([line for answer in answers(session) for line in _answer(answer, width)])
    parts += [_table(table, width) for table in overview.overview_tables(session)]
    parts.append(_wrapped(overview.counts(session), width))
    notes = [line for note in session.notes for line in _wrapped(note, width, 2)]
    last = [*notes, *_wrapped(_REST, width)]
    room = most_lines(width) - sum(len(part) + 1 for part in parts if part) - len(last)
    changed = [_item(line, width) for line in overview.changes(session)]
    holding = [_item(line, width) for line in overview.confirmed(session)]
    false = _Section(title="False here, as expected", what="though many people believe it", item="sentence")
    sections = (
        (_Section(title="Surprises", item="surprise"), [_lesson(lesson, width) for lesson in surprises(session)]),
        (_Section(title="Errors", item="error"), [_lesson(lesson, width) for lesson in errors(session)]),
        (_Section(title="What holds on one Python, and not on another", item="difference"), changed),
        (false, _advised(refuted(session), room - 2, width)),
        (_Section(title="Confirmed here", item="sentence"), holding),
    )
    for number, (section, items) in enumerate(sections, 1):
        later = _LEAST_LINES * sum(bool(others) for _, others in sections[number:])
        parts.append(_shortened(section, items, room - later - 1, width))
        room -= len(parts[-1]) + 1 if parts[-1] else 0
    for table in overview.extra_tables(session):
        lines = _table(table, width)
        if len(lines) + 1 <= room:
            parts.append(lines)
            room -= len(lines) + 1
    return "\n\n".join("\n".join(part) for part in (*parts, last) if part) + "\n"


def so_far(results: Sequence[CellResult], width: int) -> list[str]:
    """The lines of the two tables for the cells that have been measured, while others still run."""
    from lab.reports.tables import overview

    return [line for table in overview.so_far(results) for line in ("", *_table(table, width))][1:]


def _table(table: Table, width: int) -> list[str]:
    """The lines of a table, with its title above it."""
    from lab.text import table as layout

    return [*_wrapped(table.title, width), *layout.fit_table(table.head, table.rows, width).splitlines()]


def _own_code(session: Session, width: int) -> str:
    """The screen of a session that measured the user's own code."""
    from lab.reports.tables import overview, scale
    from lab.reports.tables.answers import answers

    head = [_wrapped(overview.headline(session), width)]
    for table in scale.screen_tables(session):
        head.append([*_table(table, width), *(line for note in table.notes for line in _wrapped(note, width, 2))])
    advice = [line for text in scale.advice_texts(session) for line in _advice(text, width)]
    missing = [line for answer in answers(session) if not answer.figure for line in _answer(answer, width)]
    notes = [line for note in session.notes for line in _wrapped(note, width, 2)]
    last = [*notes, *_wrapped(_REST, width)]
    room = most_lines(width) - sum(len(part) + 1 for part in (*head, advice, missing) if part) - len(last)
    found = [_wrapped(line, width, 2) for line in scale.cause_lines(session)]
    undecided = [_wrapped(line, width, 2) for line in scale.open_lines(session)]
    later = _LEAST_LINES * bool(undecided)
    why = _shortened(_Section(title="Why", item="cause"), found, room - later - 1, width)
    room -= len(why) + 1 if why else 0
    open_ = _shortened(_Section(title="Not decided", what="whether", item="question"), undecided, room - 1, width)
    return "\n\n".join("\n".join(part) for part in (*head, why, advice, missing, open_, last) if part) + "\n"


def _programs(session: Session, width: int) -> str:
    """The screen of a session that ran programs of the user's."""
    from lab.reports.tables import overview, programs

    parts = [_wrapped(overview.place(session), width)]
    last = [*(line for note in session.notes for line in _wrapped(note, width, 2)), *_wrapped(_REST, width)]
    for table in programs.program_tables(session):
        parts.append(_table(table, width))
        for notes in (programs.unavailable_lines(session), table.notes):
            parts.append([line for note in notes for line in _wrapped(note, width, 4 if note[:1] == " " else 2)])
    return "\n\n".join("\n".join(part) for part in (*parts, last) if part) + "\n"


def _advice(text: AdviceText, width: int) -> list[str]:
    """The sentence, and the code, whose lines are never broken."""
    return [*_wrapped(text.sentence, width, 4), *(f"    {line}" for line in text.code)]


def _answer(answer: Answer, width: int) -> list[str]:
    """An answer in lines that begin below each other, unless that would leave too little room for long words."""
    indent = _INDENT if width >= 60 else 2
    heads = [answer.subject.ljust(_INDENT), *[" " * indent] * (len(answer.paragraphs) - 1)]
    texts = [f"{where} {text}" if where else text for where, text in answer.paragraphs]
    lines = [_wrapped(head + text, width, indent) for head, text in zip(heads, texts, strict=True)]
    return [line for paragraph in lines for line in paragraph]


def _shortened(section: _Section, items: Sequence[Sequence[str]], room: int, width: int) -> list[str]:
    """The title and as many items as there is room for, in lines. The last line counts the items that are left out."""
    if not items:
        return []
    lines = _wrapped(", ".join(filter(None, (section.title, section.what))) + ":", width)
    if len(lines) + len(items[0]) + (len(items) > 1) > room:
        return _wrapped(f"{section.title}: {units.counted(len(items), section.item)}, see {_TABLES}", width)
    for number, item in enumerate(items):
        is_last = number == len(items) - 1
        if len(lines) + len(item) + (not is_last) > room:
            more = units.counted(len(items) - number, f"more {section.item}")
            return [*lines, *_wrapped(f"- and {more}: {_TABLES}", width, 2)]
        lines += item
    return lines


def _advised(lessons: Sequence[Lesson], room: int, width: int) -> list[list[str]]:
    """A refuted claim in each item, with its advice where there is room for it.

    The shortest advice comes first.
    """
    texts = [_first_sentence(lesson.advice) for lesson in lessons]
    plain = [_item(_refuted(lesson), width) for lesson in lessons]
    advised = [_item(f"{_refuted(lesson)}. {text}", width) for lesson, text in zip(lessons, texts, strict=True)]
    room -= sum(map(len, plain))
    costs = [len(long) - len(short) for long, short in zip(advised, plain, strict=True)]
    for number in sorted(range(len(lessons)), key=lambda number: (costs[number], len(texts[number]))):
        if lessons[number].advice and costs[number] <= max(room, 0):
            plain[number] = advised[number]
            room -= costs[number]
    return plain


def _refuted(lesson: Lesson) -> str:
    """A refuted claim, with its cells if it is not refuted in all cells that could decide it."""
    cells = [cell for _, labels in lesson.places for cell in labels]
    where = _on_one_line(cells) if len(cells) <= _MOST_CELLS else f"{len(cells)} cells"
    quoted = f'"{lesson.statement}"'
    return f"{quoted} is false only at {where} ({lesson.claim})" if lesson.differs else f"{quoted} ({lesson.claim})"


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."


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
