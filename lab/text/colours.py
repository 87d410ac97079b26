"""Colours of verdicts on a terminal. The words stay, so nothing is said by colour alone. Pure."""

from __future__ import annotations

import re

#: A word -> the number of its colour (ECMA-48, SGR). Only what needs a reader's attention has a warning colour.
_COLOURS = {
    "confirmed": 32,
    "refuted": 36,
    "inconclusive": 33,
    "untestable": 2,
    "error": 31,
    "SURPRISE": 31,
    "surprise": 31,
    "surprises": 31,
}

_WORD = re.compile(r"(?<!no )(?<![\w.:-])(?:" + "|".join(_COLOURS) + r")(?![\w-])")


def painted(text: str) -> str:
    """The text with its verdicts in colour."""
    return _WORD.sub(lambda word: f"\x1b[{_COLOURS[word[0]]}m{word[0]}\x1b[0m", text)
