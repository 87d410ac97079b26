"""Handing things to a worker: what it gets (the thing itself, a copy, nothing), whichever way it was started."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
from typing import Any, Callable, Iterator, NamedTuple

from lab.cell.measuring.crew_worker import interpreters

SHARED, COPIED, REFUSED = "shared", "copied", "refused"


class Thing(NamedTuple):
    """An object to pass to a worker."""

    #: Makes the object.
    make: Callable[[], Any]
    #: Changes the object, as a worker does.
    change: Callable[[Any], object]
    #: Tells whether the object has been changed.
    changed: Callable[[Any], bool]


def _count() -> Iterator[int]:
    yield 1
    yield 2


def _file() -> Any:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is what is handed over
    file.write(b"ab")
    file.seek(0)
    return file


def _mark(function: Any) -> None:
    function.mark = function()


#: What a module keeps for itself; it is not handed over, a worker finds it, or one like it.
_state: list[int] = []

THINGS = {
    "list": Thing(list, lambda thing: thing.append(1), bool),
    "lambda": Thing(lambda: lambda: 1, _mark, lambda thing: hasattr(thing, "mark")),
    "lock": Thing(threading.Lock, lambda thing: thing.acquire(), lambda thing: bool(thing.locked())),
    "open file": Thing(_file, lambda thing: thing.read(1), lambda thing: bool(thing.tell())),
    "generator": Thing(_count, next, lambda thing: next(thing) == 2),
    "module state": Thing(lambda: None, lambda thing: _state.append(1), lambda thing: bool(_state)),
}


def use(name: str, thing: Any) -> None:
    """The worker's task: change the thing."""
    THINGS[name].change(thing)


def _thread(name: str, thing: Any) -> None:
    worker = threading.Thread(target=use, args=(name, thing))
    worker.start()
    worker.join()


def _process(method: str, name: str, thing: Any) -> None:
    # The stubs do not know the Process of a context that is chosen by its name.
    context: Any = multiprocessing.get_context(method)
    worker = context.Process(target=use, args=(name, thing))
    worker.start()
    worker.join()
    if worker.exitcode:
        raise ChildProcessError("the worker could not use it: exit status %d" % worker.exitcode)


def _interpreter(name: str, thing: Any) -> None:
    # The interpreter is closed after use: a process forked later would inherit it.
    (inside,) = interpreters(1)
    try:
        inside.call(use, name, thing)
    finally:
        inside.close()


def hand(executor: str, name: str) -> tuple[str, str]:
    """Hand a thing to a worker of that kind (``thread``, ``interpreter``, or a start method), which changes it.

    Returns what came of it, and of a refusal the type of the exception.
    """
    thing = THINGS[name].make()
    _state.clear()
    try:
        if executor == "thread":
            _thread(name, thing)
        elif executor == "interpreter":
            _interpreter(name, thing)
        else:
            _process(executor, name, thing)
    except Exception as error:  # whatever is raised: its type is the answer
        return REFUSED, type(error).__name__
    finally:
        changed = THINGS[name].changed(thing)
        if hasattr(thing, "close"):
            thing.close()
    return (SHARED if changed else COPIED), ""
