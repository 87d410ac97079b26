"""A proxy on a unix socket between the lab and an engine. It stalls, slows, refuses or cuts the connections
on request."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from contextlib import suppress
from pathlib import Path


class Proxy(socketserver.ThreadingUnixStreamServer):
    """Passes every connection on to an engine's socket; use as a context manager."""

    daemon_threads = True

    def __init__(self, path: Path, engine: str) -> None:
        super().__init__(str(path), _Passing)
        self.engine = engine
        #: Set while everything flows. While it is not set, no byte is passed on, and no connection is closed.
        self.flows = threading.Event()
        self.flows.set()
        #: How long each piece of a connection is held back, in seconds.
        self.delay = 0.0
        #: Whether new connections are closed at once.
        self.refuses = False
        #: The sockets of all connections.
        self.sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def address(self) -> str:
        """The value of ``DOCKER_HOST``."""
        return f"unix://{self.server_address!s}"

    def stall(self) -> None:
        """Pass nothing on any more."""
        self.flows.clear()

    def cut(self) -> None:
        """Close all connections that there are. New connections are passed on."""
        for connection in self.sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cut()
        self.flows.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Passing(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        if self.server.refuses:
            return
        with socket.socket(socket.AF_UNIX) as engine, suppress(ConnectionError, FileNotFoundError):
            engine.connect(self.server.engine)
            self.server.sockets += [self.request, engine]
            back = threading.Thread(target=self._copy, args=(engine, self.request), daemon=True)
            back.start()
            self._copy(self.request, engine)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # the other side is gone, or the connection was cut
            while piece := source.recv(65536):
                self.server.flows.wait()
                time.sleep(self.server.delay)
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
