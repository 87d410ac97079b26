"""What the entries of a session.json may be. Anybody may have written that file, so each entry is checked. Pure."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from lab.cell.programs.program import Program
from lab.cell.targets.case import Case

#: The first second that no calendar of Python can show any more: the year 10000.
_END_OF_TIME = 253402300800


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _time(value: Any) -> bool:
    return _number(value) and 0 <= value < _END_OF_TIME - 86400


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _seconds(value: Any) -> bool:
    return _number(value) and 0 <= value < _END_OF_TIME


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _table(value: Any) -> bool:
    return isinstance(value, dict)


def _case(value: Any) -> bool:
    """A function of the user's, as :class:`lab.cell.targets.case.Case` is stored."""
    if not isinstance(value, dict) or not {"label", "source", "where"} <= {*value} <= {*Case._fields}:
        return False
    texts = ("label", "source", "where", "name", "setup", "state", "items", "project")
    other = value.get("against") or {}
    known = isinstance(other, dict) and (not other or isinstance(other.get("label"), str))
    return known and all(isinstance(value.get(name, ""), str) for name in texts)


def _program(value: Any) -> bool:
    """A program of the user's, as :class:`lab.cell.programs.program.Program` is stored."""
    if not isinstance(value, dict) or not {"label", "words"} <= {*value} <= {*Program._fields}:
        return False
    texts = ("label", "folder", "output", "setup", "prepare", "conclude", "cleanup")
    numbers = ("warmup", "least_runs", "seconds", "deadline_seconds")
    tables = [value.get(name, {}) for name in ("parameters", "environment")]
    codes = value.get("ignored_codes") or []
    return (
        all(isinstance(value.get(name, ""), str) for name in texts)
        and all(_seconds(value.get(name, 1)) for name in numbers)
        and all(isinstance(table, dict) and all(map(_text, table.values())) for table in tables)
        and isinstance(value["words"], list)
        and bool(value["words"])
        and all(map(_text, value["words"]))
        and isinstance(codes, list)
        and all(map(_count, codes))
    )


def _mount(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], bool)


#: A form is a test of a value, a list of one form, or the forms of a table's entries. An entry whose name ends with
#: ``?`` may be missing or null. Entries that are not named may be anything: nothing is read from them.
Form = Callable[[Any], bool] | list[Any] | Mapping[str, Any]

_VERDICT: Form = {"claim": _text, "cell": _text, "verdict": _text, "surprise": lambda value: isinstance(value, bool)}
_CELL: Form = {
    "id": _text,
    "label": _text,
    "size": _count,
    "cpus": [_count],
    "notes?": [_text],
    "build?": _text,
    "turn?": _count,
}
_PYTHON: Form = {"version?": [_count], "release?": _text, "implementation?": _text, "options?": _table}

MANIFEST: Form = {
    "session": _text,
    "began": _time,
    "engine": _text,
    "arguments": {
        "experiments": [_text],
        "cpus?": _text,
        "quota?": _text,
        "level?": _text,
        "python?": [_text],
        "seconds?": _seconds,
        "width?": _number,
        "seed?": _count,
        "engine?": _text,
        "image?": _text,
        "cases?": [_case],
        "workload?": {
            "programs": [_program],
            "runs?": lambda value: _count(value) and value >= 1,
            "room": {
                "mounts": [_mount],
                "network": _text,
                "entrypoint?": _text,
            },
        },
        "left_out?": _table,
        "label?": _text,
        "merged?": [_text],
        "host?": _text,
        "hosts?": [
            {
                "name": _text,
                "session?": _text,
                "cpus?": _count,
                "facts?": lambda value: isinstance(value, dict) and all(map(_text, value.values())),
                "clock_seconds?": _number,
                "reason?": _text,
            }
        ],
        "own?": _table,
        "target?": {"case": _case, "params": _table, "project": _text},
    },
    "machine?": {
        "engine?": _text,
        "cpus?": [_count],
        "host_cpus?": [_count],
        "image?": _text,
        "python?": _PYTHON,
        "details?": {"host?": _table, "probe?": _table},
        "topology?": _table,
    },
    "cells?": [_CELL],
    "versions?": {"lab?": _text, "code_sha256?": _text},
    "host?": _table,
    "noise?": _table,
    "resumed?": [_time],
    "forced?": [_text],
    "report?": {
        "session": {
            "wall_seconds": _seconds,
            "notes?": [_text],
            "host?": _table,
            "details?": _table,
            "image?": _text,
            "interrupted": lambda value: isinstance(value, bool),
        },
        "cells": [{"id": _text, "status": _text, "wall_seconds": _seconds, "cpus": [_count], "proof?": _table}],
        "verdicts": [_VERDICT],
    },
}


def check(value: Any, form: Form = MANIFEST, where: str = "") -> None:
    """Raise ValueError, with the place and the value, where a value does not have its form."""
    if isinstance(form, Mapping):
        _check_table(value, form, where)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise ValueError(f"{where} is {_short(value)}")  # noqa: TRY004 - a wrong file, not a wrong call
        for number, entry in enumerate(value):
            check(entry, form[0], f"{where}[{number}]")
    elif not form(value):
        raise ValueError(f"{where} is {_short(value)}")


def _check_table(value: Any, form: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'the whole'} is {_short(value)}")  # noqa: TRY004 - a wrong file, not a wrong call
    for name, entry_form in form.items():
        entry = name.removesuffix("?")
        if value.get(entry) is not None or not name.endswith("?"):
            check(value.get(entry), entry_form, f"{where}.{entry}".lstrip("."))


def _short(value: Any) -> str:
    return "missing" if value is None else reprlib.repr(value)
