"""Worker processes that are started once and kept, each at the other end of a pipe."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import Any, Callable, Iterator, NamedTuple, Sequence, TypeVar

from lab.cell.claims.recorder import in_words
from lab.cell.cpus import process_limit

_Own = TypeVar("_Own", bound="Workers")


#: How long all workers together may take to end by themselves once their pipes are closed, in seconds.
_CLOSING_SECONDS = 0.5
#: How long a worker may take to end after SIGTERM, in seconds.
_TERMINATION_SECONDS = 1.0


class WorkerLostError(Exception):
    """A worker could not begin, has ended, or did not answer in time. The message goes on from "the function"."""

    def __init__(self, message: str, place: int) -> None:
        super().__init__(message)
        #: The place of the worker among all that were started.
        self.place = place


class Refusal(NamedTuple):
    """What a worker answers that could not begin."""

    #: What it raised.
    reason: str


class Workers:
    """Processes that answer what they are asked, until the pipe closes; use as a context manager."""

    def __init__(self) -> None:
        self.pipes: list[Any] = []
        self._processes: list[Any] = []

    def start(self, context: Any, begin: Callable[..., Callable[[Any], Any]], *arguments: object) -> None:
        """Start one more, of a multiprocessing context: there ``begin(*arguments)`` returns what makes an answer."""
        own_end, workers_end = context.Pipe()
        process = context.Process(target=_serve, args=(workers_end, own_end, begin, arguments), daemon=True)
        process.start()
        workers_end.close()
        self.pipes.append(own_end)
        self._processes.append(process)

    def take_in(self, processes: Sequence[Any]) -> None:
        """Take in workers that were started elsewhere, each with a ``pipe``, and with a process's methods."""
        for process in processes:
            self.pipes.append(process.pipe)
            self._processes.append(process)

    def ask(self, pipe: Any, question: object) -> None:
        """Ask a worker something. That it has ended is found out when it should answer."""
        with contextlib.suppress(ConnectionError):
            pipe.send(question)

    def answer(self, pipe: Any, seconds: float) -> Any:
        """What a worker answers within so many seconds. Raises WorkerLostError where no answer comes."""
        place = self.pipes.index(pipe)
        if not pipe.poll(seconds):
            raise WorkerLostError("did not return within %.0f s" % seconds, place)
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionError):
            process = self._processes[place]
            process.join(1)
            raise WorkerLostError("its process %s" % _how(process.exitcode), place) from None
        if isinstance(answer, Refusal):
            raise WorkerLostError(answer.reason, place)
        return answer

    @contextlib.contextmanager
    def all_or_none(self, wanted: int) -> Iterator[None]:
        """Within this context so many workers are started, or none is left. Raises BlockingIOError, with how many could
        not start, where a limit on processes is met."""
        try:
            yield
        except BaseException as error:
            started = len(self._processes)
            self.__exit__()
            if process_limit.is_met(error):
                raise BlockingIOError(process_limit.not_started(started, wanted)) from error
            raise

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(self, *exception: object) -> None:
        for pipe in self.pipes:
            pipe.close()
        until = time.monotonic() + _CLOSING_SECONDS
        for process in reversed(self._processes):  # a forked one holds the pipes of those before it
            process.join(max(0.0, until - time.monotonic()))
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_TERMINATION_SECONDS)
            if process.exitcode is None:  # it does not listen to SIGTERM
                process.kill()
                process.join()


def _how(code: int | None) -> str:
    """An exit code of multiprocessing, in words: negative ones are signals."""
    if code is None:
        return "ended, and nobody knows how"
    return "was killed by signal %d" % -code if code < 0 else "ended with exit status %d" % code


def _refuse(refusal: Refusal, asked: object) -> Refusal:
    return refusal


def _serve(pipe: Any, parents_end: Any, begin: Callable[..., Callable[[Any], Any]], arguments: Any) -> None:
    """The life of a worker that multiprocessing has started."""
    parents_end.close()
    serve(pipe, begin, arguments)


def serve(pipe: Any, begin: Callable[..., Callable[[Any], Any]], arguments: Any) -> None:
    """A worker's life: to answer what it is asked, until the pipe closes. If it cannot begin, it answers why."""
    try:
        answer = begin(*arguments)
    except BaseException as error:  # whatever the code of the user raises while it is imported
        refusal = Refusal(in_words(error))
        answer = functools.partial(_refuse, refusal)
    while True:
        try:
            asked = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(answer(asked))
