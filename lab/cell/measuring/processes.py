"""Worker processes that are started once and kept, each at the other end of a pipe."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

_Own = TypeVar("_Own", bound="Workers")


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

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(self, *exception: object) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(pipe: Any, parents_end: Any, begin: Callable[..., Callable[[Any], Any]], arguments: Any) -> None:
    """A worker's life."""
    parents_end.close()
    answer = begin(*arguments)
    while True:
        try:
            asked = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(answer(asked))
