"""Watching one container from its start to its end: its stream, its deadline, and whether it still runs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lab.containers import streams
from lab.containers.client import broken_connections
from lab.containers.container import quota_of
from lab.containers.endings import how_it_ended
from lab.engines import Sink
from lab.judging.records import read_records
from lab.model.cell import Outcome
from lab.pythons.listening import STDERR_KEPT, Patience

#: How often to ask the engine whether a container still runs, in seconds, while its stream is open. The question finds
#: a connection that broke silently. The answer takes the engine some milliseconds of a CPU, perhaps of a measured CPU.
_LOOK_SECONDS = 5.0
#: After an answer the engine is left alone for this many times as long as the answer took. An answer holds the code of
#: the cell, which is 70 to 340 kB, so over a slow connection it takes long.
_REST = 10.0

#: How long an engine is asked again whose connection breaks, and how often, in seconds.
_RECONNECT_SECONDS, _RECONNECT_PAUSE = 5.0, 0.2

#: How long a container may take to die after it was killed, in seconds.
_KILL_SECONDS = 10


class ContainerWatch:
    """The watch over one container: it takes frames of the stream, looks at the container, and kills it if need be.

    The container is in one of three states. It runs within its deadline. It was killed, because its deadline passed,
    and has :data:`_KILL_SECONDS` to end. It is over: it has ended, or it did not end although it was killed.
    """

    def __init__(self, api: Any, container: str, sink: Sink, patience: Patience) -> None:
        self._api = api
        self._container = container
        self._sink = sink
        self._patience = patience
        self._output = bytearray()
        self._error_tail = b""
        self._logged_bytes = 0
        self._killed_because: str | None = None
        self._overfull = False
        self._look_at = 0.0

    def begin(self) -> None:
        """Start the clock: the container is about to start."""
        self._patience.begin()
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def take(self, output: bytes, error: bytes, over: bool) -> None:
        """Take a frame of the stream; an empty frame means that nothing came. ``over``: the stream has ended."""
        if self._killed_because:  # what it had printed before it died may be endless
            output = b""
        self._output += output
        self._sink(output)  # also when nothing came: the sink may have a reason to stop
        self._error_tail = (self._error_tail + error)[-STDERR_KEPT:]
        if output or over:  # after the connection has ended, nothing more can arrive
            self._patience.heard(len(output))

    def look(self, over: bool) -> Mapping[str, Any] | None:
        """The engine's description of the container when it is over; ``None`` while it may still run."""
        late = self._patience.left < 0
        if over or late or time.monotonic() > self._look_at:
            began = time.monotonic()
            details = self._inspect()
            if not details["State"]["Running"] or (late and self._killed_because):
                return details  # it has ended; or it was killed and does not end, and will be removed by force
            now = time.monotonic()
            self._look_at = now + max(_LOOK_SECONDS, _REST * (now - began))
        if late and not self._still_talks():
            self.kill()
        return None

    def kill(self) -> None:
        """Kill the container, and give it a new deadline within which to end."""
        self._overfull = self._patience.overfull
        self._killed_because, self._patience = self._patience.why, Patience(_KILL_SECONDS, most=sys.maxsize)
        with contextlib.suppress(Exception):  # from the SDK or from HTTP; a container that cannot be killed is removed
            self._api.kill(self._container)

    def outcome(self, details: Mapping[str, Any], warnings: Sequence[str]) -> Outcome:
        """How the cell ended, from the engine's description of its container.

        The engine's log is read only if the stream is incomplete, because reading it takes time while the next cell
        starts. The log of a container that printed too much is not read.
        """
        whole = self._overfull or not read_records(self._output).faults
        log = None if whole else streams.log(self._api, self._container)
        state = details["State"]
        return Outcome(
            exit_code=state.get("ExitCode"),
            reason=how_it_ended(state, self._killed_because),
            outside={
                "cpuset": details["HostConfig"].get("CpusetCpus"),
                "quota_cpus": quota_of(details["HostConfig"]),
                "warnings": list(warnings),
                "oom_killed": bool(state.get("OOMKilled")),
            },
            stderr_tail=self._error_tail.decode(errors="replace"),
            stream=log if log is not None and log != self._output else None,
        )

    def _still_talks(self) -> bool:
        """Whether the engine has logged more than the stream brought. Then only the connection is broken."""
        if self._killed_because or self._patience.overfull:
            return False
        logged_bytes = len(streams.log(self._api, self._container) or b"")
        if logged_bytes <= max(len(self._output), self._logged_bytes):
            return False
        self._logged_bytes = logged_bytes
        self._patience.heard(0)
        return True

    def _inspect(self) -> Mapping[str, Any]:
        """What the engine says of the container. A connection that breaks is tried again for some seconds."""
        from docker.errors import APIError

        until = time.monotonic() + _RECONNECT_SECONDS
        while True:
            try:
                details: Mapping[str, Any] = self._api.inspect_container(self._container)
            except APIError:
                raise
            except broken_connections():
                if time.monotonic() > until:
                    raise
                self._sink(b"")  # it may have a reason to stop
                time.sleep(_RECONNECT_PAUSE)
            else:
                return details
