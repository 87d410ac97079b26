"""How code to paste calls the user's function for an item, in the way that was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.cell.claims.claim import Evidence
from lab.cell.targets.case import STATEMENT, Case
from lab.cell.targets.form import ASYNC_GENERATOR, COROUTINE, GENERATOR, INSTEAD, NO, PLAIN, Form
from lab.judging.import_code import Imports
from lab.judging.statement_code import calling_lines, statement_lines

#: How what the function returns is run to its end.
_RUN = {
    COROUTINE: "asyncio.run({})",
    GENERATOR: "list({})",
    ASYNC_GENERATOR: "asyncio.run(collected({}))",
    PLAIN: "{}",
}

#: The modules of the standard library that the lines may need.
_MODULES = ("asyncio", "functools", "importlib", "sys", "threading")


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
    """The code for a case. With ``shared`` all workers have the same argument; with ``alone`` there is a plain loop.

    It runs in the folder of the project. Only ``items`` is the user's own, where no ``--items`` names it.
    """
    own = not shared and not alone
    if case.source == STATEMENT:
        lines = statement_lines(case.setup, case.where, own=own)
        needs = ("threading",) if "own = threading.local()" in lines else ()
        return CallCode(modules=needs, lines=tuple(lines), function="run", expression="run(item)")
    form = _form(evidence)
    imports = Imports(form.homes, form.folder)
    if not case.is_method:
        imports.name(case.where, case.name, "function")
    lines, function, expression = (_of_items if case.items else _of_calls)(case, form, imports, own, alone)
    lines = [*imports.lines, *_collected(form.kind), *lines]
    text = "\n".join([*lines, function, expression])
    modules = tuple(module for module in _MODULES if f"{module}." in text)
    return CallCode(modules=modules, lines=tuple(lines), function=function, expression=expression)


def _form(evidence: Evidence) -> Form:
    """The form of the function; sessions of earlier versions do not have all of it."""
    stored: dict[str, Any] = dict((evidence.all("form") or [{}])[-1])
    return Form(**{"kind": PLAIN, "item": "", **stored})


def _of_calls(case: Case, form: Form, imports: Imports, own: bool, alone: bool) -> tuple[list[str], str, str]:
    """(lines, function, expression) of a function that was called again and again."""
    lines, named = _prepared(case, form, imports), _named(case)
    run, item = _RUN[form.kind], ["item"] * (form.item != NO)
    made, expression, call = "", "", f"function({', '.join(item if form.item == INSTEAD else [*item, *named])})"
    if lines:
        made, expression, call = "call", "prepared()", "{}()" if form.item in (NO, INSTEAD) else "{}(item)"
    elif case.setup:
        made, expression = "argument", f"{_factory(case, imports)}()"
        call = f"function({', '.join(['{}', *item, *named])})"
    if made and alone:
        return [*lines, f"{made} = {expression}"], "", run.format(call.format(made))
    if made:
        return [*lines, *calling_lines(expression, made, run.format(call), own=own)], "run", ""
    if alone or (form.pickles and call == "function(item)" == run.format(call)):
        return [], "function", run.format(call)
    if form.pickles and form.kind == PLAIN and item:
        return [], _partial("function", named), ""
    return ["def run(item):", f"    return {run.format(call)}"], "run", ""


def _of_items(case: Case, form: Form, imports: Imports, own: bool, alone: bool) -> tuple[list[str], str, str]:
    """(lines, function, expression) of a function that was called with each item.

    Its argument is made once and travels with every item.
    """
    lines = _prepared(case, form, imports)
    words = [*([f"{_factory(case, imports)}()"] if case.setup else []), *_named(case)]
    function = "prepared()" if lines else _partial("function", words)
    if form.makes_items:
        lines.insert(0, f"items = {_beside(case, case.items, imports)}()")
    else:
        _beside(case, case.items, imports, "items")
    if alone and function != "function":
        return [*lines, f"call = {function}"], "", "call(item)"
    return lines, function, "function(item)"


def _prepared(case: Case, form: Form, imports: Imports) -> list[str]:
    """The lines of a function that prepares a benchmark as asv does, and returns what is called; none without that."""
    if not (case.is_method or form.params or form.cache or form.setups):
        return []
    owner, _, method = case.name.rpartition(".")
    lines, names = ["def prepared():"], {"function": "function"}
    if case.is_method:
        lines.append(f"    benchmark = {imports.name(case.where, owner)}()")
        names = {"function": f"benchmark.{method}", "object": "benchmark"}
    if "module" in (form.params, form.cache, *form.setups):
        names["module"] = imports.module(case.where)
    values = []
    if form.cache:
        lines.append(f"    cache = {names[form.cache]}.setup_cache()")
        values.append("cache")
    if form.params:
        parameters = f"{names[form.params]}.params"
        each = [f"{parameters}[{number}]" if form.nested else parameters for number, _ in enumerate(case.places)]
        values += [f"{one}[{place}]" for one, place in zip(each, case.places, strict=True)]
    lines += [f"    {names[source]}.setup({', '.join(values)})" for source in form.setups]
    argument = [f"{_factory(case, imports)}()"] if case.setup else []
    return [*lines, f"    return {_partial(names['function'], [*argument, *values, *_named(case)])}"]


def common_code(code: str) -> str:
    """What the code has in common with that of other functions: all but the import, and how asv prepares each."""
    lines = code.splitlines()
    if "def prepared():" in lines:
        return lines[0]
    return "\n".join(line for line in lines if not line.endswith(" as function"))


def _named(case: Case) -> list[str]:
    return [f"{name}={value!r}" for name, value in case.arguments.items()]


def _partial(function: str, words: list[str]) -> str:
    """An expression of the function with these arguments."""
    return f"functools.partial({', '.join([function, *words])})" if words else function


def _factory(case: Case, imports: Imports) -> str:
    """The expression of the function that makes the argument."""
    return _beside(case, case.setup, imports)


def _beside(case: Case, text: str, imports: Imports, alias: str = "") -> str:
    """The expression of ``module:name``, ``file.py:name``, or a name beside the function."""
    where, _, name = text.rpartition(":")
    return imports.name(where or case.where, name, alias)


def _collected(kind: str) -> tuple[str, ...]:
    """What comes before the helper function."""
    if kind == COROUTINE:
        return ("# as measured: an event loop for each call. asyncio.gather() needs only one",)
    if kind == ASYNC_GENERATOR:
        return ("async def collected(generator):", "    return [item async for item in generator]")
    return ()
