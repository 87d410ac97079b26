"""The form of a function: what it gives, and what it takes. It says how to call the function as it was measured."""

from __future__ import annotations

import inspect
from typing import Any, Mapping, NamedTuple, Sequence

from lab.cell.targets.case import STATEMENT, Case

#: What a function gives: a value, or something that has to be run to its end.
PLAIN, COROUTINE, GENERATOR, ASYNC_GENERATOR = "plain", "coroutine", "generator", "asynchronous generator"
#: Whether a function takes an item: beside the arguments that it was measured with, instead of them, or not at all.
BESIDE, INSTEAD, NO = "beside", "instead", "no"


class Form(NamedTuple):
    """What a function gives, and what it takes."""

    #: ``plain``, ``coroutine``, ``generator`` or ``asynchronous generator``.
    kind: str
    #: ``beside``, ``instead`` or ``no``.
    item: str


def form_of(case: Case, function: Any) -> Form:
    """The form of the function of a case; that of a statement is plain."""
    if case.source == STATEMENT:
        return Form(PLAIN, BESIDE)
    is_known = bool(case.is_method or case.places or case.items)
    return Form(kind_of(function), BESIDE if is_known else _item_of(case, function))


def kind_of(function: Any) -> str:
    """What a function gives, or an object that is called as one."""
    kinds = {
        COROUTINE: inspect.iscoroutinefunction,
        GENERATOR: inspect.isgeneratorfunction,
        ASYNC_GENERATOR: inspect.isasyncgenfunction,
    }
    called: Any = getattr(type(function), "__call__", None)  # noqa: B004 - this is the one that a call of an object runs
    return next((kind for kind, is_one in kinds.items() if is_one(function) or is_one(called)), PLAIN)


def _item_of(case: Case, function: Any) -> str:
    """Whether a function takes an item, from its signature."""
    given = ["argument"] if case.setup else []
    is_example = not given and not case.arguments  # a function without arguments stands for one that takes an item
    if is_example or _takes(function, [*given, "item"], case.arguments):
        return BESIDE
    return INSTEAD if not given and _takes(function, ["item"], {}) else NO


def _takes(function: Any, positional: Sequence[str], named: Mapping[str, Any]) -> bool:
    """Whether a function can be called in this way, as far as its signature tells."""
    try:
        inspect.signature(function).bind(*positional, **named)
    except TypeError:
        return False
    except ValueError:  # it is written in C, and has no signature
        return True
    return True
