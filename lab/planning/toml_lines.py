"""In which line of a TOML document a key stands: a parser tells values only, and a message names the place. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*\[\[?\s*(?P<keys>[^\]]+?)\s*\]\]?\s*(#.*)?")
_SETTING = re.compile(r"\s*(?P<keys>(?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_KEY = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")


def line_of(text: str, path: Sequence[str]) -> int:
    """The number of the line, from 1, in which a key is set; of an inline table the line of its own key.

    Where the key itself is not there, it is the line of the nearest table above it; 0: there is none.
    """
    header: tuple[str, ...] = ()
    nearest, line = 0, 0
    for number, content in enumerate(text.splitlines(), 1):
        if match := _HEADER.fullmatch(content):
            keys = header = _keys(match["keys"])
        elif match := _SETTING.match(content):
            keys = header + _keys(match["keys"])
        else:
            keys = header
        common = _common(keys, path)
        if common == len(keys) and common < len(path) and _has_word(content, path[-1]):
            common = len(path)  # it stands in an inline table
        if common > nearest:
            nearest, line = common, number
    return line


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in _KEY.findall(text))


def _common(keys: Sequence[str], path: Sequence[str]) -> int:
    """How many keys both begin with."""
    count = 0
    for key, other in zip(keys, path, strict=False):
        if key != other:
            break
        count += 1
    return count


def _has_word(content: str, key: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])\s*=", content) is not None
