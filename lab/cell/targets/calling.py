"""From a case to a function without arguments: imports it, and gives each worker the argument that it works on."""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any, Callable

from lab.cell.targets import asv
from lab.cell.targets.case import FILE, STATEMENT, Case
from lab.cell.targets.form import COROUTINE, GENERATOR, PLAIN, kind_of
from lab.cell.targets.generators import Drained, DrainedLater
from lab.cell.targets.importing import TargetError, attribute, import_module, in_place, missing_package

Call = Callable[[], object]


class SkippedError(TargetError):
    """The setup of a benchmark raised NotImplementedError, which is asv's way to leave a case out."""


class Caller:
    """Calls one case, in this interpreter. Raises TargetError where the target cannot be called."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._shared: Call | None = None
        self._own: dict[int, Call] = {}
        self._statement = compiled(case) if case.source == STATEMENT else None
        self._module = None if case.source == STATEMENT else import_module(case)

    def call(self, number: int, own: bool) -> Call:
        """The function that worker ``number`` of this process calls, with an ``own`` argument or the shared one."""
        if not own:
            if self._shared is None:
                self._shared = self._made()
            return self._shared
        if number not in self._own:
            self._own[number] = self._made()
        return self._own[number]

    def _made(self) -> Call:
        case = self._case
        if self._statement is not None:
            return self._statement()
        if case.is_method:
            return self._method()
        function, positional = function_with_arguments(case, self._module)
        return adapted(function, positional, case.arguments)

    def _method(self) -> Call:
        """A method of an object of its class, which is new for each that calls it."""
        case = self._case
        owner, _, name = case.name.rpartition(".")
        if case.setup or case.arguments:
            raise _not_of_a_method(case, "--setup" if case.setup else "--param")
        instance = made_by("%s()" % owner, attribute(self._module, owner))
        method = getattr(instance, name)
        return adapted(method, _prepared(case, asv.Benchmark(method, (method, instance, self._module))), {})


def function_with_arguments(case: Case, module: Any) -> tuple[Any, list[Any]]:
    """The function of a case that is no method, and the arguments that its setups make: that of ``--setup`` first.

    Raises TargetError for what cannot be called, and SkippedError where asv would leave the benchmark out.
    """
    function = attribute(module, case.name)
    if case.is_method:
        raise _not_of_a_method(case, "--items")
    if not callable(function):
        kind = type(function).__name__
        raise TargetError("%s is of type %s, and cannot be called; name a function" % (case.label, kind))
    positional = _prepared(case, asv.Benchmark(function, sources_of(case, module, function)))
    if case.setup:
        positional.insert(0, made_by("--setup %s" % case.setup, factory(case)))
    return function, positional


def _prepared(case: Case, benchmark: asv.Benchmark) -> list[Any]:
    """The arguments that a benchmark of asv is given. Raises SkippedError where asv would leave it out."""
    try:
        return benchmark.prepared(case.places)
    except NotImplementedError as error:
        raise SkippedError("the setup of %s raised NotImplementedError" % case.label) from error


def _not_of_a_method(case: Case, option: str) -> TargetError:
    """The error for an option that a method does not take."""
    step = "name a function that takes an item" if option == "--items" else "give its class a setup() and params"
    return TargetError("%s is a method, which takes no %s; %s" % (case.label, option, step))


def sources_of(case: Case, module: Any, function: Any) -> tuple[Any, ...]:
    """Where parameters and setups of a function are looked for: in its module only if asv would time it."""
    return (function, module) if asv.is_benchmark(case.name) else (function,)


def made_by(who: str, make: Callable[..., Any]) -> Any:
    """What a function of the user's makes. Raises TargetError where it raises."""
    try:
        return make()
    except BaseException as error:  # whatever the user's function raises
        message = "%s raised %s; repair it, or name another" % (who, in_place(error))
        raise TargetError(message, missing_package(error)) from error


def parameters_of(case: Case) -> str:
    """The parameters of the function of a case, as its definition has them."""
    return "%s%s" % (case.name, inspect.signature(attribute(import_module(case), case.name)))


def adapted(function: Any, positional: list[Any], arguments: Any) -> Call:
    """The function with its arguments. A coroutine is run, and a generator is read to its end, at every call."""
    call: Any = functools.partial(function, *positional, **arguments) if positional or arguments else function
    kind = kind_of(function)
    if kind == PLAIN:
        plain: Call = call
        return plain
    if kind == GENERATOR:
        return Drained(call)
    import asyncio

    if kind == COROUTINE:
        return lambda: asyncio.run(call())
    return DrainedLater(call)


def factory(case: Case, name: str = "") -> Callable[..., Any]:
    """The function that makes the argument: ``module:factory``, ``file.py:factory`` or a name beside the target."""
    where, _, function = (name or case.setup).rpartition(":")
    made: Callable[..., Any] = attribute(module_of(case, where), function)
    return made


def module_of(case: Case, where: str) -> Any:
    """The module, or the file as one, that a factory is in; the one of the target where the factory names none."""
    if not where:
        return import_module(case)
    source = FILE if where.endswith(".py") else "module"
    path = os.path.join(case.project, where) if source == FILE else where
    return import_module(case._replace(source=source, where=path))


def compiled(case: Case) -> Callable[[], Call]:
    """Makes functions of a statement. The setup runs once for each of them, in a namespace of its own, as in timeit.

    A name that the setup has made keeps what the statement assigns to it, also as in timeit. All others are local.

    Raises TargetError for code that has no valid syntax.
    """
    import textwrap

    body = textwrap.indent(case.where, "    ")
    try:
        setup = compile(case.setup or "pass", "<setup>", "exec")
        source = compile("def statement():\n%s\n" % body, "<statement>", "exec")
    except SyntaxError as error:
        raise TargetError(
            "the statement has no valid syntax: %s, in %r" % (error.msg, error.text or case.where)
        ) from error

    def make() -> Call:
        namespace: dict[str, Any] = {"__name__": "statement"}
        exec(setup, namespace)  # noqa: S102 - the user's own code is what is measured
        made = {*namespace}
        exec(source, namespace)  # noqa: S102 - likewise
        if assigned := sorted(made.intersection(namespace["statement"].__code__.co_varnames)):
            lines = "def statement():\n    global %s\n%s\n" % (", ".join(assigned), body)
            exec(compile(lines, "<statement>", "exec"), namespace)  # noqa: S102 - likewise
        call: Call = namespace["statement"]
        return call

    return make
