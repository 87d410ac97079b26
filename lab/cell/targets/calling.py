"""From a case to a function without arguments: imports it, and gives each worker the argument that it works on."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from typing import Any, Callable

from lab.cell.targets.case import FILE, STATEMENT, Case

Call = Callable[[], object]


class TargetError(Exception):
    """The target itself cannot be measured: the message says what is wrong, and what to do."""


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
        function = attribute(self._module, case.name)
        if not callable(function):
            raise TargetError("%s is a %s, and cannot be called" % (case.name, type(function).__name__))
        positional = chosen_parameters(function, case)
        if case.setup:
            positional.insert(0, factory(case)())
        return adapted(function, positional, case.arguments)

    def _method(self) -> Call:
        """A method of a class, with the ``setup`` that asv calls before it."""
        owner, _, name = self._case.name.rpartition(".")
        instance = attribute(self._module, owner)()
        chosen = chosen_parameters(instance, self._case)
        prepare = getattr(instance, "setup", None)
        if prepare is not None:
            prepare(*chosen)
        return adapted(getattr(instance, name), chosen, {})


def parameter_lists(owner: Any) -> list[list[Any]]:
    """The lists that asv calls ``params``: of one parameter, or one list for each parameter; empty without any."""
    params = getattr(owner, "params", None) or []
    if not params:
        return []
    return [list(values) for values in params] if isinstance(params[0], (list, tuple)) else [list(params)]


def chosen_parameters(owner: Any, case: Case) -> list[Any]:
    """The values that stand at the case's places."""
    return [values[place] for values, place in zip(parameter_lists(owner), case.places)]


def adapted(function: Any, positional: list[Any], arguments: Any) -> Call:
    """The function with its arguments. A coroutine is run, and a generator is read to its end, at every call."""
    call: Call = functools.partial(function, *positional, **arguments) if positional or arguments else function
    if inspect.iscoroutinefunction(function):
        import asyncio

        return lambda: asyncio.run(call())  # type: ignore[arg-type] # it is a coroutine
    if inspect.isgeneratorfunction(function):
        import collections

        return lambda: collections.deque(call(), maxlen=0)  # type: ignore[call-overload] # an iterator
    return call


def import_module(case: Case) -> Any:
    """The module of a case. Raises TargetError with the last line of the traceback, and with what was on the path."""
    try:
        return _from_file(case.where) if case.source == FILE else importlib.import_module(case.where)
    except BaseException as error:  # whatever the user's module raises while it is imported
        raise TargetError(_import_failed(case, error)) from error


def _from_file(path: str) -> Any:
    """A file as a module of its own name, so that what it defines can be pickled and found again in each worker."""
    import importlib.util

    folder, name = os.path.split(path)
    name = name[:-3] if name.endswith(".py") else name
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == path:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError("%s is not a Python file" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _import_failed(case: Case, error: BaseException) -> str:
    if isinstance(error, TargetError):
        return str(error)
    last = ("%s: %s" % (type(error).__name__, error)).rstrip(": ").splitlines()[0]
    message = "%s cannot be imported: %s" % (case.where, last)
    missing = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and missing:
        where = [path for path in sys.path if path and not path.endswith(".zip")]
        message += ". %s was looked for in %s" % (missing, ", ".join(where) or "no folder")
    return message


def attribute(module: Any, name: str) -> Any:
    """What a dotted name means in a module. Raises TargetError with the names that are nearest."""
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            import difflib

            near = difflib.get_close_matches(part, [word for word in vars(found) if not word.startswith("_")])
            hint = "; there is %s" % " and ".join(near) if near else ""
            raise TargetError("%s has no %s%s" % (getattr(found, "__name__", found), part, hint))
        found = getattr(found, part)
    return found


def factory(case: Case, name: str = "") -> Callable[..., Any]:
    """The function that makes the argument: ``module:factory``, ``file.py:factory`` or a name beside the target."""
    where, colon, function = (name or case.setup).rpartition(":")
    if not colon:
        module = import_module(case)
    else:
        source = FILE if where.endswith(".py") else "module"
        path = os.path.join(case.project, where) if source == FILE else where
        module = import_module(case._replace(source=source, where=path))
    made: Callable[..., Any] = attribute(module, function)
    return made


def compiled(case: Case) -> Callable[[], Call]:
    """Makes functions of a statement. The setup runs once for each of them, in a namespace of its own, as in timeit.

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
        exec(source, namespace)  # noqa: S102 - likewise
        call: Call = namespace["statement"]
        return call

    return make
