"""In which line of a TOML document a key stands: a parser tells values only, and a message names the place. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: A key of a table, or the place of an element in an array.
Step = str | int

_NAME = r"(?:[\w-]+|\"[^\"]*\"|'[^']*')"
_KEYS = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER = re.compile(rf"\s*(?P<open>\[\[?)\s*(?P<keys>{_KEYS})\s*\]\]?\s*")
_SETTING = re.compile(rf"\s*(?P<keys>{_KEYS})\s*=")
_KEY = re.compile(_NAME)
#: A string on one line, the beginning or end of one over several lines, or a comment.
_TEXT = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*")


class _Entry(NamedTuple):
    """A table's header or a setting, with the lines up to the next one."""

    #: The number of its first line, from 1.
    line: int
    #: Its whole path.
    path: tuple[Step, ...]
    #: Its lines, without comments, and without what stands in strings over several lines.
    code: list[str]


def line_of(text: str, path: Sequence[Step]) -> int:
    """The number of the line, from 1, in which a key is set, also within an inline table or an array.

    Where the key itself is not there, it is the line of the nearest table above it; 0: there is none.
    """
    entries = list(_entries(text))
    below = next((entry.line for entry in entries if entry.path[: len(path)] == tuple(path)), 0)
    above = [entry for entry in entries if entry.path == tuple(path[: len(entry.path)])]
    if above and not below:
        nearest = max(above, key=lambda entry: len(entry.path))  # of several the first
        return nearest.line + _within(nearest.code, path[len(nearest.path) :])
    return below


def _within(code: Sequence[str], rest: Sequence[Step]) -> int:
    """How many lines below an entry's first line the rest of a path stands."""
    place = 0
    text = "\n".join(code)
    for step in rest:
        opened = [match.start() for match in re.finditer(r"\{", text)]
        if isinstance(step, int):
            place = opened[step] if step < len(opened) else place
        elif match := re.search(rf"(?<![\w-])[\"']?{re.escape(step)}[\"']?\s*=", text[place:]):
            place += match.start()
    return text.count("\n", 0, place)


def _entries(text: str) -> Iterator[_Entry]:
    """The headers and settings of a document, in order."""
    header: tuple[Step, ...] = ()
    tables: Counter[tuple[Step, ...]] = Counter()
    current: _Entry | None = None
    depth = 0  # of brackets: in an array over several lines no table begins
    for number, line in enumerate(_code(text), 1):
        match = _HEADER.fullmatch(line) if not depth else None
        setting = _SETTING.match(line) if not depth else None
        if match:
            header = _keys(match["keys"])
            if match["open"] == "[[":
                tables[header] += 1
                header = (*header, tables[header] - 1)
            path = header
        elif setting:
            path = header + _keys(setting["keys"])
            depth = _opened(line)
        elif current is not None:
            current.code.append(line)
            depth += _opened(line)
            continue
        else:
            continue
        if current is not None:
            yield current
        current = _Entry(number, path, [line])
    if current is not None:
        yield current


def _opened(line: str) -> int:
    """How many brackets a line opens and does not close."""
    bare = _TEXT.sub("", line)
    return sum(bare.count(bracket) for bracket in "[{") - sum(bare.count(bracket) for bracket in "]}")


def _code(text: str) -> Iterator[str]:
    """The lines without their comments. Those within a string over several lines are empty."""
    open_string = ""
    for line in text.split("\n"):
        pieces, place = [], 0
        for match in _TEXT.finditer(line):
            token = match[0]
            if open_string:
                if token == open_string:
                    open_string, place = "", match.end()
                continue
            if token in ('"""', "'''"):
                pieces.append(line[place : match.start()])
                open_string = token
            elif token.startswith("#"):
                pieces.append(line[place : match.start()])
                place = len(line)
                break
        yield "".join(pieces) + ("" if open_string else line[place:])


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in _KEY.findall(text))
