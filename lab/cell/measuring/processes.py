"""Worker processes that are started once and kept, each at the other end of a pipe."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Sequence, TypeVar

from lab.cell.cpus import process_limit

_Own = TypeVar("_Own", bound="Workers")


#: How long a worker may take to end after SIGTERM, in seconds.
_TERMINATION_SECONDS = 1.0


class WorkerLostError(Exception):
    """A worker ended, or did not answer in time."""


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

    def answer(self, pipe: Any, seconds: float) -> Any:
        """What a worker answers within so many seconds. Raises WorkerLostError where no answer comes."""
        if not pipe.poll(seconds):
            raise WorkerLostError("a worker did not answer within %.0f s" % seconds)
        try:
            return pipe.recv()
        except (EOFError, ConnectionError):
            process = self._processes[self.pipes.index(pipe)]
            process.join(1)
            raise WorkerLostError("a worker ended, %s" % _how(process.exitcode)) from None

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
        return "how is not known"
    return "killed by signal %d" % -code if code < 0 else "with exit status %d" % code


def _serve(pipe: Any, parents_end: Any, begin: Callable[..., Callable[[Any], Any]], arguments: Any) -> None:
    """The life of a worker that multiprocessing has started."""
    parents_end.close()
    serve(pipe, begin, arguments)


def serve(pipe: Any, begin: Callable[..., Callable[[Any], Any]], arguments: Any) -> None:
    """A worker's life: to answer what it is asked, until the pipe closes."""
    answer = begin(*arguments)
    while True:
        try:
            asked = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(answer(asked))
