"""How the user names a target and its parameters: on a command line, and in the environment of a Compose service."""

from __future__ import annotations

import ast
import collections.abc
import json
from typing import Any, Mapping, Sequence

from lab.cell.targets.case import BOTH, FILE, MODULE, OWN, SHARED, STATEMENT, Case

#: Who may work on the argument that a setup has made.
STATES = (SHARED, OWN, BOTH)

#: The forms of a target, for messages.
FORMS = "name a target as package.module:function, file.py:function, file.py"


class WrongNameError(ValueError):
    """A text names no target, or no parameter. ``what`` says what is wrong, and ``fix`` what to do next."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__("%s; %s" % (what, fix))
        self.what = what
        self.fix = fix


def parse_target(text: str, setup: str, state: str) -> Case:
    """The case that a text names. Raises WrongNameError where it names none."""
    where, colon, name = text.rpartition(":")  # the path of a file may have a colon too: C:\\code\\logs.py:count
    if not colon or text.endswith(".py"):
        where, name = text, ""
    if where.endswith(".py"):
        return Case(label=text, source=FILE, where=where, name=name, setup=setup, state=state)
    if not all(part.isidentifier() for part in [*where.split("."), *(name.split(".") if name else ())]):
        raise WrongNameError("%r is not a target" % text, FORMS)
    return Case(label=text, source=MODULE, where=where, name=name, setup=setup, state=state)


def parse_params(texts: Sequence[str], option: str) -> dict[str, list[Any]]:
    """The values of each parameter, from ``n=1000,10000``. ``option`` is what the user writes before each text.

    Raises WrongNameError for what is no literal of Python, or would not arrive in a cell as it is.
    """
    params: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise WrongNameError("%s%r has no name and value" % (option, text), "write %sn=1000,10000" % option)
        if name in params:
            raise WrongNameError(
                "%s%s is given twice" % (option, name), "write all values in one: %s%s=1,2" % (option, name)
            )
        try:
            params[name] = list(ast.literal_eval("(%s,)" % values.strip()))
        except (ValueError, SyntaxError) as error:
            raise WrongNameError(
                "%s%s: %r is not a list of literals" % (option, name, values),
                "write numbers, or strings in quotes: %s'%s=\"text\",1'" % (option, name),
            ) from error
    check_values(params, option)
    return params


def check_values(params: Mapping[str, Sequence[Any]], option: str) -> None:
    """Raise WrongNameError where a parameter has no list of values, or a value that changes on its way to a cell.

    ``option`` is what the user writes before the name of a parameter.
    """
    for name, values in params.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, collections.abc.Sequence) or not len(values):
            raise WrongNameError("%s%s has no list of values" % (option, name), "give a list of one value at least")
        for value in values:
            if not _travels(value):
                raise WrongNameError(
                    "%s%s: a value of type %s changes on its way to a cell" % (option, name, type(value).__name__),
                    "take finite numbers, strings, lists, and dicts whose keys are strings; let --setup make others",
                )


def _travels(value: object) -> bool:
    """Whether a value arrives in a cell as it is: it travels as JSON, which has no tuples and no bytes."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def parse_chunks(text: str, option: str) -> list[int]:
    """Chunk sizes, from ``1,10,100``. ``option`` is what the user writes before the text.

    Raises WrongNameError for what is no whole number above 0.
    """
    chunks = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")] if text else []
    if not all(chunks):
        raise WrongNameError(
            "%s%r is not a list of sizes" % (option, text), "give whole numbers above 0, such as %s1,10" % option
        )
    return chunks


def check_chunks(case: Case, option: str) -> None:
    """Raise WrongNameError for sizes that are no whole numbers above 0, or that nothing has: there are no items.

    ``option`` is what the user writes before the sizes.
    """
    sizes = ",".join(map(str, case.chunks))
    parse_chunks(sizes, option)
    if sizes and not case.items:
        what = "%s%s says how many items of a list travel at a time, but there is no list" % (option, sizes)
        raise WrongNameError(what, "leave it out, or name a list of items")


def check_state(case: Case, option: str) -> None:
    """Raise WrongNameError for a state that is not known, or that would change nothing: own, where nothing is made.

    ``option`` is what the user writes before a state.
    """
    if case.state not in STATES:
        raise WrongNameError("%s%s is not known" % (option, case.state), "take one of %s" % ", ".join(STATES))
    if case.source != STATEMENT and case.state == OWN and (case.items or not case.setup):
        items = "the items give each call an item"
        why = items if case.items else "there is no setup, so there is no argument"
        raise WrongNameError("%sown gives each worker an argument of its own, but %s" % (option, why), "leave it out")
