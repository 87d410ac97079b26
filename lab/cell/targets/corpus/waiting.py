"""Functions that wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.request
from typing import IO, cast

#: Answers every request after 10 ms, until its standard input ends.
_SERVER = """
import http.server, os, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.01)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
"""

_lock = threading.Lock()
_servers: list[subprocess.Popen[str]] = []
_ports: list[int] = []


def sleep() -> None:
    """Wait for the clock."""
    time.sleep(0.005)


def fetch() -> bytes:
    """Fetch a page from a server on this machine, which takes 10 ms to answer."""
    with urllib.request.urlopen("http://127.0.0.1:%d/" % _port()) as answer:  # noqa: S310 - it is our own
        return cast(bytes, answer.read())


def _port() -> int:
    """The port of the server, which the first call starts. It ends with the process that has started it."""
    with _lock:
        if not _ports:
            server = subprocess.Popen(
                [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            _servers.append(server)
            _ports.append(int(cast("IO[str]", server.stdout).readline()))
        return _ports[0]
