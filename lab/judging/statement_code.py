"""A statement of the user's as a function in code to paste, with its setup. Pure."""

from __future__ import annotations

import re
import symtable
import textwrap

from lab.judging.import_code import RESERVED

#: An import that is allowed at the top of a module only.
_STAR = re.compile(r"from\s.*\simport\s+\*")


def statement_lines(setup: str, statement: str, *, own: bool) -> list[str]:
    """The lines that define ``run(item)``, which runs the statement. With ``own`` each worker runs the setup itself.

    A name that the setup has made keeps what the statement assigns to it, as in timeit.
    """
    before, inside = _symbols(setup), _symbols(f"def statement():\n{textwrap.indent(statement, '    ')}")
    made = {symbol.get_name() for symbol in before if symbol.is_assigned() or symbol.is_imported()}
    kept = ", ".join(sorted(made.intersection(symbol.get_name() for symbol in inside if symbol.is_local())))
    makes_state = any(symbol.is_assigned() and not symbol.is_imported() for symbol in before)
    names = {symbol.get_name() for symbol in (*before, *inside)}
    body = statement.splitlines()
    if not (own and makes_state) and not names & RESERVED:
        return [*setup.splitlines(), "def run(item):", *_indented([f"global {kept}"] * bool(kept) + body)]
    top = [line for line in setup.splitlines() if _STAR.match(line)]
    first = [line for line in setup.splitlines() if line not in top]
    function = ["def statement():", *_indented([f"nonlocal {kept}"] * bool(kept) + body), "return statement"]
    return [
        *top,
        "def prepared():",
        *_indented(first + function),
        *calling_lines("prepared()", "call", "{}()", own=own),
    ]


def calling_lines(expression: str, name: str, call: str, *, own: bool) -> list[str]:
    """The lines that make something, once or in each worker, and define ``run(item)``, which calls it.

    ``call`` has a place for what was made. An ``own`` one needs no initializer, of which an interpreter would keep
    nothing.
    """
    if not own:
        return [f"{name} = {expression}", "def run(item):", f"    return {call.format(name)}"]
    return [
        "own = threading.local()",
        "def run(item):",
        f'    if not hasattr(own, "{name}"):',
        f"        own.{name} = {expression}",
        f"    return {call.format(f'own.{name}')}",
    ]


def _symbols(source: str) -> list[symtable.Symbol]:
    """The names in code, of its function if it has one alone; none where a newer Python is needed to read it."""
    try:
        table = symtable.symtable(source, "<code>", "exec")
    except SyntaxError:
        return []
    if source.startswith("def statement():\n"):
        # From Python 3.14 on a function has a scope for its annotations, which comes first.
        table = next(child for child in table.get_children() if child.get_name() == "statement")
    return list(table.get_symbols())


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]
