"""Tables with a column for each build: their heads, and as many columns side by side as a terminal has room for. Pure.

Numbers of several builds are read from left to right: a row is a figure under a limit.
"""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.model import machine
from lab.model.session import Session
from lab.reports.tables.rows import grouped_rows
from lab.text import names as naming
from lab.text.table import GAP, WIDTH, Table

#: Longer names of figures are broken, so that six builds fit beside most figures.
_LONGEST_FIGURE = 19

#: (Figure, limit, build) -> what a table says there, in the order of its rows. A figure without a limit is a heading.
Values = Mapping[tuple[str, str, str], str]


def has_builds(session: Session) -> bool:
    """Whether the session has several builds, so that tables have a column for each build."""
    return len({result.cell.build for result in session.results}) > 1


def build_names(session: Session) -> dict[str, str]:
    """Each build of a session -> its name in a table.

    The name is the build's label, or the label of its Python if the build is a path. Equal names get a number.
    """
    pythons = {result.cell.build: result.python for result in session.results if result.python}
    names = {}
    for build in dict.fromkeys(result.cell.build for result in session.results):
        known = machine.label_of(pythons.get(build, {})) if "/" in build else build
        names[build] = known or build.rpartition("/")[2]
    uses = Counter(names.values())
    unique_names: dict[str, str] = {}
    for build, name in names.items():
        if uses[name] > 1:
            name = f"{name} ({sum(names[earlier] == name for earlier in unique_names) + 1})"
        unique_names[build] = name
    return unique_names


def cell_labels(session: Session) -> dict[str, str]:
    """Each cell's id -> its name in a row: the limit, and above the limit the build, if the session has several."""
    names = build_names(session) if has_builds(session) else {}
    return {
        result.cell.id: ",\n".join(filter(None, (names.get(result.cell.build), naming.limit_lines(result.cell))))
        for result in session.results
    }


def build_paths(session: Session) -> tuple[str, ...]:
    """A line for each build that is a path, with the short name that tables use for it."""
    return tuple(f"{name}: {build}" for build, name in build_names(session).items() if "/" in build)


def build_tables(
    session: Session, title: str, values: Values, corner: tuple[str, str] = ("", "CPUs"), notes: Sequence[str] = ()
) -> list[Table]:
    """Tables of these values, all with the same rows; the last table has the notes below it.

    ``corner`` has the heads of the figures and of the limits. A table of a single limit has no column of limits: then
    the second head is empty.
    """
    names = build_names(session)
    shown = [build for build in names if any(key[2] == build for key in values)]
    figures = list(dict.fromkeys((figure, limit) for figure, limit, _ in values))
    rows = [[values.get((*figure, build), "") for build in shown] for figure in figures]
    if not rows:
        return []
    names_of_rows = grouped_rows((_broken(figure), limit) for figure, limit in figures)
    lead = [row if corner[1] else row[:1] for row in (corner, *names_of_rows)]
    texts = zip(*rows, strict=True)
    columns = [[names[build].replace("+", "\n+"), *column] for build, column in zip(shown, texts, strict=True)]
    room = WIDTH - sum(_width(column) + GAP for column in zip(*lead, strict=True)) + GAP
    tables = []
    for group in _column_groups(columns, room):
        head, *body = zip(*zip(*lead, strict=True), *group, strict=True)
        tables.append(Table(title=title, head=head, rows=tuple(body)))
    return [*tables[:-1], replace(tables[-1], notes=tuple(notes))]


def _broken(figure: str) -> str:
    """A figure's name in short lines, broken behind a colon if possible. A name that begins with blanks stays whole."""
    if len(figure) <= _LONGEST_FIGURE or figure.startswith(" "):
        return figure
    parts = figure.replace(": ", ":\n").split("\n")
    return "\n".join(
        textwrap.fill(part, _LONGEST_FIGURE, break_long_words=False, break_on_hyphens=False) for part in parts
    )


def _width(column: Sequence[str]) -> int:
    return max(len(line) for text in column for line in text.split("\n"))


def _column_groups(columns: Sequence[Sequence[str]], room: int) -> list[Sequence[Sequence[str]]]:
    """The columns in as few groups as fit into the room, of about equal size. A column that is too wide is alone."""
    for count in range(1, len(columns) + 1):
        cuts = [len(columns) * number // count for number in range(count + 1)]
        groups = [columns[start:end] for start, end in itertools.pairwise(cuts)]
        if all(sum(GAP + _width(column) for column in group) <= room for group in groups):
            return groups
    return [[column] for column in columns]
