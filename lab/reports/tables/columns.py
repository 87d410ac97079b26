"""Tables with a column for each build: their heads, and as many abreast as a terminal has room for. Pure.

Numbers of several builds are to be read across: a row is a figure under a limit.
"""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from lab.model import machine
from lab.model.session import Session
from lab.text import names as naming
from lab.text.table import GAP, WIDTH, Table

#: Longer names of figures are broken, so that six builds fit beside most of them.
_LONGEST_FIGURE = 19

#: (Figure, limit, build) -> what a table says there, in the order of its rows. A figure without a limit is a heading.
Values = Mapping[tuple[str, str, str], str]


def several(session: Session) -> bool:
    """Whether there is something to read across."""
    return len({result.cell.build for result in session.results}) > 1


def heads(session: Session) -> dict[str, str]:
    """Each build of a session -> what it is called in a table: its label; that of its Python where it is a path, with a
    number where several are called alike."""
    pythons = {result.cell.build: result.python for result in session.results if result.python}
    names = {}
    for build in dict.fromkeys(result.cell.build for result in session.results):
        known = machine.label_of(pythons.get(build, {})) if "/" in build else build
        names[build] = known or build.rpartition("/")[2]
    alike = Counter(names.values())
    found: dict[str, str] = {}
    for build, name in names.items():
        if alike[name] > 1:
            name = f"{name} ({sum(names[one] == name for one in found) + 1})"
        found[build] = name
    return found


def labels(session: Session) -> dict[str, str]:
    """Each cell's id -> its name where it has a row: the limit, and of several builds the build above it."""
    names = heads(session) if several(session) else {}
    return {
        result.cell.id: ",\n".join(filter(None, (names.get(result.cell.build), naming.limit_lines(result.cell))))
        for result in session.results
    }


def paths(session: Session) -> tuple[str, ...]:
    """A line for each build that is a path and has a short name in tables."""
    return tuple(f"{name}: {build}" for build, name in heads(session).items() if "/" in build)


def tables(
    session: Session, title: str, values: Values, corner: tuple[str, str] = ("", "CPUs"), notes: Sequence[str] = ()
) -> list[Table]:
    """Tables of these values, with the same rows, and under the last of them the notes. ``corner``: what stands above
    the figures and above the limits, which a table of a single limit leaves out (an empty text)."""
    names = heads(session)
    shown = [build for build in names if any(key[2] == build for key in values)]
    lead = [corner if corner[1] else corner[:1]]
    rows: list[list[str]] = []
    last = ""
    for figure, limit in dict.fromkeys((figure, limit) for figure, limit, _ in values):
        first = "" if figure == last else _broken(figure)
        last = figure
        lead.append((first, limit) if corner[1] else (first,))
        rows.append([values.get((figure, limit, build), "") for build in shown])
    if not rows:
        return []
    texts = zip(*rows, strict=True)
    columns = [[names[build].replace("+", "\n+"), *column] for build, column in zip(shown, texts, strict=True)]
    room = WIDTH - sum(_width(column) + GAP for column in zip(*lead, strict=True)) + GAP
    found = []
    for abreast in _abreast(columns, room):
        head, *body = zip(*zip(*lead, strict=True), *abreast, strict=True)
        found.append(Table(title=title, head=head, rows=tuple(body)))
    return [*found[:-1], Table(title=title, head=found[-1].head, rows=found[-1].rows, notes=tuple(notes))]


def _broken(figure: str) -> str:
    """A figure's name in lines that are short enough, broken behind a colon first; one that begins with blanks has none
    within."""
    if len(figure) <= _LONGEST_FIGURE or figure.startswith(" "):
        return figure
    parts = figure.replace(": ", ":\n").split("\n")
    return "\n".join(
        textwrap.fill(part, _LONGEST_FIGURE, break_long_words=False, break_on_hyphens=False) for part in parts
    )


def _width(column: Sequence[str]) -> int:
    return max(len(line) for text in column for line in text.split("\n"))


def _abreast(columns: Sequence[Sequence[str]], room: int) -> list[Sequence[Sequence[str]]]:
    """The columns in as few groups as fit into the room, about as many in each; one that does not fit is alone."""
    for count in range(1, len(columns) + 1):
        cuts = [len(columns) * number // count for number in range(count + 1)]
        groups = [columns[start:end] for start, end in itertools.pairwise(cuts)]
        if all(sum(GAP + _width(column) for column in group) <= room for group in groups):
            return groups
    return [[column] for column in columns]
