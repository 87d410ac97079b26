"""From a case to a function without arguments: imports it, and gives each worker the argument that it works on."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from typing import Any, Callable

from lab.cell.claims.recorder import NotMeasuredError, in_words
from lab.cell.targets import asv
from lab.cell.targets.case import FILE, STATEMENT, Case
from lab.cell.targets.form import COROUTINE, GENERATOR, PLAIN, kind_of

Call = Callable[[], object]

#: So many names are shown that a module has.
_MOST_NAMES = 5

#: What to do with a module that does the work of a program when it is imported.
BELOW_GUARD = 'put what it does as a program below if __name__ == "__main__":'


class TargetError(NotMeasuredError):
    """The target itself cannot be measured: the message says what is wrong, and what to do."""

    def __init__(self, message: str, missing: str = "", elsewhere: bool = False) -> None:
        super().__init__(message)
        #: The package that was not found; empty where none is missing.
        self.missing = missing
        #: Whether it works here, and not in the environment that this one is compared with.
        self.elsewhere = elsewhere


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
        function = attribute(self._module, case.name)
        if not callable(function):
            kind = type(function).__name__
            raise TargetError("%s is of type %s, and cannot be called; name a function" % (case.label, kind))
        positional = self._prepared(asv.Benchmark(function, sources_of(case, self._module, function)))
        if case.setup:
            positional.insert(0, made_by("--setup %s" % case.setup, factory(case)))
        return adapted(function, positional, case.arguments)

    def _method(self) -> Call:
        """A method of an object of its class, which is new for each that calls it."""
        case = self._case
        owner, _, name = case.name.rpartition(".")
        if case.setup or case.arguments:
            option = "--setup" if case.setup else "--param"
            raise TargetError(
                "%s is a method, which takes no %s; give its class a setup() and params" % (case.label, option)
            )
        instance = made_by("%s()" % owner, attribute(self._module, owner))
        method = getattr(instance, name)
        return adapted(method, self._prepared(asv.Benchmark(method, (method, instance, self._module))), {})

    def _prepared(self, benchmark: asv.Benchmark) -> list[Any]:
        """The arguments that a benchmark of asv is given. Raises SkippedError where asv would leave it out."""
        try:
            return benchmark.prepared(self._case.places)
        except NotImplementedError as error:
            raise SkippedError("the setup of %s raised NotImplementedError" % self._case.label) from error


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


def missing_package(error: BaseException) -> str:
    """The module that an import did not find; empty where none is missing, or where only a part of a package is."""
    name = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    return "" if name.partition(".")[0] in sys.modules else name


def code_path() -> str:
    """The zip file or the folder that the lab's own code was imported from."""
    path = os.path.abspath(__file__)
    for _ in range(4):  # lab/cell/targets/calling.py
        path = os.path.dirname(path)
    return path


def in_place(error: BaseException) -> str:
    """An exception in one line, with the file and the line that raised it, if that was in code of the user's."""
    import traceback  # seldom needed, and slow to load

    others = ("<", code_path(), os.path.dirname(os.__file__))
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(others)]
    if isinstance(error, SyntaxError) or not own:  # the words of a SyntaxError have them
        return in_words(error)
    path = own[-1].filename
    file = os.path.relpath(path)
    return "%s (%s, line %s)" % (in_words(error), path if file.startswith("..") else file, own[-1].lineno)


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
        import collections

        return lambda: collections.deque(call(), maxlen=0)
    import asyncio

    if kind == COROUTINE:
        return lambda: asyncio.run(call())

    async def drained() -> None:
        async for _ in call():
            pass

    return lambda: asyncio.run(drained())


def import_module(case: Case) -> Any:
    """The module of a case. Raises TargetError with the last line of the traceback, and with what was on the path."""
    folder, name = _place(case)
    _check_name(case, folder, name)
    try:
        if case.source == FILE and folder not in sys.path:
            sys.path.insert(1, folder)  # the first one is the lab's
        if case.source != FILE or "." in name:
            return importlib.import_module(name)
        return _from_file(case.where, name)
    except BaseException as error:  # whatever the user's module raises while it is imported
        missing = missing_package(error)
        raise TargetError(_import_failed(case, error, missing), missing) from error


def _place(case: Case) -> tuple[str, str]:
    """The folder that a case's module is imported from, and the name of the module there.

    A file in a package is imported by its whole name, so that it can import its neighbours.
    """
    if case.source != FILE:
        return case.project or os.getcwd(), case.where
    folder, file = os.path.split(os.path.abspath(case.where))
    stem = file[:-3] if file.endswith(".py") else file
    names = [] if stem == "__init__" else [stem]
    while stem.isidentifier() and os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        names.insert(0, package)
    return folder, ".".join(names) if len(names) > 1 or stem == "__init__" else stem


def _check_name(case: Case, folder: str, name: str) -> None:
    """Raise TargetError where the user's module has a name that workers import something else by."""
    top = name.partition(".")[0]
    known: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset(sys.builtin_module_names))
    owner = "the lab" if top == "lab" else "Python's standard library" if top in known else ""
    files = [os.path.join(folder, top + ".py"), os.path.join(folder, top, "__init__.py")]
    if owner and any(os.path.exists(file) for file in files):
        raise TargetError(
            "%s has the name %s, by which workers import a module of %s; rename it" % (case.where, top, owner)
        )


def _from_file(path: str, name: str) -> Any:
    """A file as a module of its own name, so that what it defines can be pickled and found again in each worker."""
    import importlib.util

    path = os.path.abspath(path)  # as the module itself has it from Python 3.10 on
    if name in sys.modules and os.path.abspath(getattr(sys.modules[name], "__file__", None) or "") == path:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError("%s is not a Python file" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)  # nobody is to find half of it
        raise
    return module


def _import_failed(case: Case, error: BaseException, missing: str) -> str:
    if isinstance(error, TargetError):
        return str(error)
    message = "%s cannot be imported: %s" % (case.where, in_place(error))
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    package = name.partition(".")[0]
    if isinstance(error, PermissionError):
        return message + ". The cell's user (number %d) may not read it; allow it: chmod -R o+rX FOLDER" % os.getuid()
    if package == "lab":
        what = 'call lab.scale() below if __name__ == "__main__":, and import modules of the lab there'
        return "%s; a cell has only a part of the lab: %s" % (message, what)
    if missing:
        where = [path for path in sys.path if path and not path.endswith(".zip")]
        return message + ". %s was looked for in %s" % (missing, ", ".join(where) or "no folder")
    if package:
        return message + ". The package %s is in %s; name what it has" % (package, _home(sys.modules[package]))
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "%s; %s" % (message, BELOW_GUARD)
    if isinstance(error, SyntaxError):
        return message + "; repair it, or take a Python that knows its syntax: --python"
    return message + "; repair it, or name another"


def _home(module: Any) -> str:
    """The folder or the file that a module was imported from."""
    folders = list(getattr(module, "__path__", ()))
    return ", ".join(folders) or getattr(module, "__file__", None) or "Python itself"


def attribute(module: Any, name: str) -> Any:
    """What a dotted name means in a module. Raises TargetError with the names that are nearest."""
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            import difflib

            names = [word for word, value in vars(found).items() if not word.startswith("_") and callable(value)]
            near = difflib.get_close_matches(part, names) or names[:_MOST_NAMES]
            hint = "; there is %s" % ", ".join(near) if near else "; name a function that it defines"
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
