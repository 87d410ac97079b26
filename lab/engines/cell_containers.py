"""The containers of a session's cells: each is created, attached to, started, watched, and removed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.cell.cpus import cpulist
from lab.containers import streams
from lab.containers.cleanup import remove_container
from lab.containers.client import CELL_LABEL, SESSION_LABEL, translated
from lab.containers.container import create_container, isolated_host_config
from lab.containers.exception_words import short
from lab.containers.owner import others
from lab.engines import Sink
from lab.engines.container_watch import ContainerWatch
from lab.errors import EngineError
from lab.interrupts import signals_held
from lab.model.cell import PERIOD_US, Cell, Outcome
from lab.pythons.listening import Patience

if TYPE_CHECKING:
    from docker import DockerClient

#: What the name of a container ends with when its cell is run again.
AGAIN = "-again"


class NoInterpreterError(Exception):
    """The image has no such program."""


def settings(cell: Cell | None) -> dict[str, Any]:
    """The host configuration of a cell's container: its limit, and what isolates the container.

    ``cell`` is ``None`` for the probe, which no CPU set limits.
    """
    limit: dict[str, Any] = {"cpuset_cpus": cpulist.render(cell.cpus)} if cell and cell.pinned else {}
    if cell and cell.quota_cpus:
        limit |= {"cpu_period": PERIOD_US, "cpu_quota": round(cell.quota_cpus * PERIOD_US)}
    return limit | isolated_host_config(cell.size if cell else 64)


class CellContainers:
    """The containers of one session that are made from one image."""

    def __init__(self, client: DockerClient, image: str, session: str) -> None:
        self._client, self._image, self._session = client, image, session
        #: Threads that remove containers while the next container is made.
        self._removals: list[threading.Thread] = []

    def name(self, cell: str) -> str:
        """The name of a cell's container."""
        return f"multicore-lab-{self._session}-{cell}"

    def run(
        self,
        cell: Cell | None,
        name: str,
        command: Sequence[str],
        user: str,
        sink: Sink,
        patience: Patience,
        host: Mapping[str, Any],
    ) -> Outcome:
        """Run a command in a container with the limit of the cell; ``None``: without one. ``host`` is added to the host
        configuration. Raises NoInterpreterError, CellError and EngineError.
        """
        other_sessions = others(self._client, self._session)
        with translated(f"creating the container of {name}"), signals_held():
            response = create_container(
                self._client,
                self._image,
                command,
                settings(cell) | dict(host),
                name=self.name(name),
                labels={SESSION_LABEL: self._session, CELL_LABEL: name.removesuffix(AGAIN)},
                user=user,
            )
        container = response["Id"]
        try:
            outcome = self._watch(container, command[0], response["Warnings"], sink, patience)
        except EngineError:
            self._remove(container)
            raise
        except BaseException:  # not swallowed: the container is removed first, also at an interruption
            with signals_held():
                self._remove(container).join()
            raise
        other_sessions |= others(self._client, self._session)
        self._remove(container)
        if not other_sessions:
            return outcome
        return replace(outcome, outside={**outcome.outside, "other_sessions": sorted(other_sessions)})

    def _remove(self, container: str) -> threading.Thread:
        """Remove a container in a thread, which :meth:`await_removals` waits for."""
        removal = threading.Thread(target=remove_container, args=(self._client, container), daemon=True)
        self._removals.append(removal)
        removal.start()
        return removal

    def await_removals(self) -> None:
        """Wait until every container that has ended is removed."""
        with contextlib.suppress(IndexError):  # another thread may wait for them too
            while True:
                self._removals.pop().join()

    def _watch(self, container: str, program: str, warnings: Sequence[str], sink: Sink, patience: Patience) -> Outcome:
        """Start a container and watch it to its end."""
        api = self._client.api
        watch = ContainerWatch(api, container, sink, patience)
        with translated("running the cell"), contextlib.ExitStack() as stack:
            stream = api.attach(container, stdout=True, stderr=True, stream=True, demux=True)
            stack.callback(streams.hang_up, stream)
            sink(b"")
            watch.begin()
            _start(api, container, program)
            frames = stack.enter_context(contextlib.closing(streams.frames(stream)))
            for (output, error), over in frames:
                watch.take(output or b"", error or b"", over)
                details = watch.look(over)
                if details is not None:
                    return watch.outcome(details, warnings)
        raise AssertionError("the frames of a stream never end")


def _start(api: Any, container: str, program: str) -> None:
    from docker.errors import APIError

    try:
        api.start(container)
    except APIError as error:
        text = str(error)  # runc: exec: "python3": executable file not found; crun: executable file `python3` not found
        if "executable file" in text and "not found" in text and program in text:
            raise NoInterpreterError(short(error)) from error
        raise
