"""How code to paste calls the user's function for an item, in the way that was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.cell.claims.claim import Evidence
from lab.cell.targets.case import STATEMENT, Case
from lab.cell.targets.form import ASYNC_GENERATOR, COROUTINE, GENERATOR, INSTEAD, NO, PLAIN

#: How what the function returns is run to its end.
_RUN = {
    COROUTINE: "asyncio.run({})",
    GENERATOR: "list({})",
    ASYNC_GENERATOR: "asyncio.run(collected({}))",
    PLAIN: "{}",
}

#: What each worker makes for itself. It needs no initializer, of which an interpreter would keep nothing.
_OWN = ('    if not hasattr(own, "argument"):', "        own.argument = {}()")


@dataclass(frozen=True, kw_only=True)
class CallCode:
    """Lines of code that call the user's function for an item."""

    #: The modules to import.
    modules: tuple[str, ...]
    #: The lines between the imports and the pool, at the top of the module, where workers find them.
    lines: tuple[str, ...]
    #: What is called for each item: the name of a function, or an expression that makes one.
    function: str
    #: The expression of a plain loop, which calls the function for ``item``.
    expression: str


def call_code(case: Case, evidence: Evidence, *, shared: bool, alone: bool = False) -> CallCode:
    """The code for a case. With ``shared`` all workers have the same argument; with ``alone`` there is a plain loop."""
    form = (evidence.all("form") or [{}])[-1]  # sessions of earlier versions do not have it
    kind, item = form.get("kind", PLAIN), form.get("item", "")
    factory = case.setup if case.source != STATEMENT else ""
    named = [f"{name}={value!r}" for name, value in case.arguments.items()]
    given = ["argument" if shared or alone else "own.argument"] if factory else []
    words = ["item"] if item == INSTEAD else [*given, *["item"] * (item != NO), *named]
    expression = _RUN[kind].format(f"function({', '.join(words)})")
    modules = ["asyncio"] * ("asyncio" in _RUN[kind])
    lines = list(_collected(kind))
    if factory:
        lines += _imported(factory) + (
            [f"argument = {_name(factory)}()"] if shared or alone else ["own = threading.local()"]
        )
    is_plain = expression == "function(item)"
    if alone or is_plain:
        return CallCode(modules=tuple(modules), lines=tuple(lines), function="function", expression=expression)
    if kind == PLAIN and not factory and item != NO:
        partial = f"functools.partial(function, {', '.join(named)})"
        return CallCode(modules=("functools",), lines=(), function=partial, expression=expression)
    lines.append("def run(item):")
    if factory and not shared:
        modules.append("threading")
        lines += [line.format(_name(factory)) for line in _OWN]
    lines.append(f"    return {expression}")
    return CallCode(modules=tuple(modules), lines=tuple(lines), function="run", expression=expression)


def _collected(kind: str) -> tuple[str, ...]:
    """What comes before the helper function."""
    if kind == COROUTINE:
        return ("# as measured: an event loop for each call. asyncio.gather() needs only one",)
    if kind == ASYNC_GENERATOR:
        return ("async def collected(generator):", "    return [item async for item in generator]")
    return ()


def _name(factory: str) -> str:
    return factory.rpartition(":")[2]


def _imported(factory: str) -> list[str]:
    """The import of a factory that does not stand beside the function."""
    where, colon, name = factory.rpartition(":")
    module = where.removesuffix(".py").replace("/", ".")
    return [f"from {module} import {name.partition('.')[0]}"] if colon else []
