"""The form of a function: what it gives, and what it takes. It says how to call the function as it was measured."""

from __future__ import annotations

import inspect
from typing import Any, Mapping, NamedTuple, Sequence

from lab.cell.targets import asv
from lab.cell.targets.case import STATEMENT, Case

#: What a function gives: a value, or something that has to be run to its end.
PLAIN, COROUTINE, GENERATOR, ASYNC_GENERATOR = "plain", "coroutine", "generator", "asynchronous generator"
#: Whether a function takes an item: beside the arguments that it was measured with, instead of them, or not at all.
BESIDE, INSTEAD, NO = "beside", "instead", "no"
#: Where asv looks for what belongs to a method, and to a function, the nearest first.
OF_METHOD, OF_FUNCTION = ("function", "object", "module"), ("function", "module")


class Form(NamedTuple):
    """What a function gives, what it takes, and what runs before it."""

    #: ``plain``, ``coroutine``, ``generator`` or ``asynchronous generator``.
    kind: str
    #: ``beside``, ``instead`` or ``no``.
    item: str
    #: Whose ``params`` are its arguments: of the ``function``, the ``object`` or the ``module``; empty: nobody's.
    params: str = ""
    #: Whether these have a list for each parameter.
    nested: bool = False
    #: Whose ``setup_cache`` makes its first argument; empty: nobody's.
    cache: str = ""
    #: Whose ``setup`` runs before it, in this order.
    setups: Sequence[str] = ()
    #: Whether ``--items`` names a function that makes the items.
    makes_items: bool = False
    #: Whether the function itself can be pickled, as a pool of processes does; workers import it by its name.
    pickles: bool = True
    #: The path of a file -> the module that it is imported as.
    homes: Mapping[str, str] = {}
    #: The folder of the project that its packages are in, such as ``src``; empty: the project itself.
    folder: str = ""


def form_of(case: Case, function: Any, sources: Sequence[Any] = ()) -> Form:
    """The form of the function of a case; that of a statement is plain. asv looks for what it runs in ``sources``."""
    if case.source == STATEMENT:
        return Form(PLAIN, BESIDE)
    named = dict(zip(OF_METHOD if case.is_method else OF_FUNCTION, sources))
    params = next((name for name, source in named.items() if hasattr(source, "params")), "") if case.places else ""
    cache = next((name for name, source in named.items() if asv.has_own(source, "setup_cache")), "")
    given = ["argument"] * bool(case.setup) + ["cache"] * bool(cache) + ["value"] * len(case.places)
    return Form(
        kind_of(function),
        NO if case.is_method else BESIDE if case.items else _item_of(case, function, given),
        params,
        bool(params) and isinstance(next(iter(named[params].params)), (list, tuple)),
        cache,
        [name for name, source in reversed(list(named.items())) if asv.has_own(source, "setup")],
    )


def kind_of(function: Any) -> str:
    """What a function gives, or an object that is called as one."""
    kinds = {
        COROUTINE: inspect.iscoroutinefunction,
        GENERATOR: inspect.isgeneratorfunction,
        ASYNC_GENERATOR: inspect.isasyncgenfunction,
    }
    called: Any = getattr(type(function), "__call__", None)  # noqa: B004 - this is the one that a call of an object runs
    return next((kind for kind, is_one in kinds.items() if is_one(function) or is_one(called)), PLAIN)


def _item_of(case: Case, function: Any, given: Sequence[str]) -> str:
    """Whether a function takes an item beside what it is given, from its signature."""
    if _takes(function, [*given, "item"], case.arguments):
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
