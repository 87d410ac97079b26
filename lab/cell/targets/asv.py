"""What asv makes of a benchmark: its parameters, and what it runs before and after it, all of it unchanged.

Source: https://asv.readthedocs.io/en/stable/writing_benchmarks.html, and asv_runner/benchmarks/_base.py, which looks
for each attribute at the function first, then at the object of its class, then at its module.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from multiprocessing import util
from typing import Any, Callable, Iterator, NamedTuple, Sequence

#: What asv times has a name that begins with this.
PREFIX = "time_"

#: What is to be run after the benchmarks of this process, in the order in which they were prepared.
_endings: list[util.Finalize] = []


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """A context at whose end everything is run that asv runs after the benchmarks that this process has prepared.

    Raises whatever the user's functions raise.
    """
    try:
        yield
    finally:
        while _endings:
            _endings.pop()()


def is_benchmark(name: str) -> bool:
    """Whether asv would time what has this name, of a function or of ``Class.method``."""
    return name.rpartition(".")[2].startswith(PREFIX)


def methods(owner: type) -> list[str]:
    """The names of the methods of a class that asv times, also of those that it inherits, in alphabetical order."""
    return [name for name in sorted(dir(owner)) if is_benchmark(name) and callable(getattr(owner, name))]


class Benchmark(NamedTuple):
    """A function, and where asv looks for what belongs to it."""

    #: The function, or the method of an object.
    function: Callable[..., Any]
    #: What may have an attribute for it, the nearest first: the function, the object of its class, its module.
    sources: Sequence[Any]

    @property
    def lists(self) -> list[list[Any]]:
        """The values of each parameter."""
        return parameter_lists(self.sources)

    def prepared(self, places: Sequence[int]) -> list[Any]:
        """The arguments of the function, after all that asv runs before it. ``places`` are those of chosen values.

        What asv runs after it is run when a worker ends, or at the end of :func:`ending`. Raises whatever the user's
        functions raise, and NotImplementedError where asv would leave the benchmark out.
        """
        arguments = [values[place] for values, place in zip(self.lists, places)]
        cache = next(iter(self._own("setup_cache")), None)
        if cache is not None:
            arguments.insert(0, cache())
        for prepare in reversed(list(self._own("setup"))):
            prepare(*arguments)
        for finish in self._own("teardown"):
            _endings.append(util.Finalize(None, functools.partial(finish, *arguments), exitpriority=0))
        return arguments

    def _own(self, name: str) -> Iterator[Callable[..., Any]]:
        """The functions of that name, the nearest first."""
        yield from (getattr(source, name) for source in self.sources if has_own(source, name))


def has_own(source: Any, name: str) -> bool:
    """Whether a source has a function of that name. A module's own counts, and none that it has imported."""
    found = getattr(source, name, None)
    return callable(found) and not (inspect.ismodule(source) and _home(found) != source.__name__)


def _home(function: Callable[..., Any]) -> str | None:
    """The name of the module that defines a function."""
    return getattr(function, "__module__", None)


def parameter_lists(sources: Sequence[Any]) -> list[list[Any]]:
    """The lists that asv calls ``params``: of one parameter, or one list for each parameter; empty without any."""
    given = next((source.params for source in sources if hasattr(source, "params")), ())
    values = list(given)
    if values and not isinstance(values[0], (list, tuple)):
        return [values]
    return [list(each) for each in values]


def parameter_names(sources: Sequence[Any], count: int) -> list[str]:
    """The names of so many parameters: the user's own, then ``param1`` and so on."""
    given = next((source.param_names for source in sources if hasattr(source, "param_names")), ())
    names = [str(name) for name in given]
    return [*names, *("param%d" % number for number in range(len(names) + 1, count + 1))]
