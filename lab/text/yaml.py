"""Documents in YAML, for values that JSON could hold. Pure.

A word stands as it is, and every other string in quotes, so that none is taken for a number or a truth value. A text of
several lines stands below a ``|``. Source: yaml.org, YAML 1.2, 7.3 and 8.1.2; the words of YAML 1.1 are quoted too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

#: What needs no quotes, unless it is one of the words below.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9./_-]*")
_TRUTH_VALUES = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])


def document(value: Mapping[str, Any]) -> str:
    """The value as a document that begins with ``---``."""
    return "---\n" + "\n".join(_lines(value)) + "\n"


def _lines(value: Mapping[str, Any] | Sequence[Any]) -> list[str]:
    """The lines of a mapping or of a list that has something in it."""
    lines = []
    pairs = value.items() if isinstance(value, Mapping) else ((None, entry) for entry in value)
    for key, entry in pairs:
        label = "-" if key is None else f"{_scalar(key)}:"
        if isinstance(entry, Mapping | list | tuple) and entry:
            first, *others = _lines(entry)
            beside = key is None  # the first line of a list's entry stands beside its dash
            lines += [f"- {first}"] if beside else [label, f"  {first}"]
            lines += [f"  {line}" if line else "" for line in others]
        elif isinstance(entry, str) and _can_stand_alone(entry):
            lines += [f"{label} |", *(f"  {line}" if line else "" for line in entry[:-1].split("\n"))]
        else:
            lines.append(f"{label} {_scalar(entry)}")
    return lines


def _scalar(value: object) -> str:
    """A value of one line."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _WORD.fullmatch(value) and value.lower() not in _TRUTH_VALUES:
        return value
    if '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)


def _can_stand_alone(text: str) -> bool:
    """Whether a text has several lines, of which each can be read again as it stands."""
    lines = text.split("\n")
    indented = next((line for line in lines if line), "")[:1].isspace()
    return len(lines) > 2 and lines[-1] == "" != lines[-2] and not indented and all(map(str.isprintable, lines))
