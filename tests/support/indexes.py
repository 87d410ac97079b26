"""A package index and an image registry on this machine, to which a release is made."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_START_SECONDS = 60.0
#: Ends with 0 where somebody answers at an address.
_ASK = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=5)
except urllib.error.URLError:
    sys.exit(1)
"""
#: The settings of docker-registry: no log, and its files in one folder.
_REGISTRY = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def package_index(folder: Path) -> Iterator[str]:
    """The address of an index that keeps what is uploaded in ``folder``, and has all packages of the public index."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "pypiserver", "run", "--interface", "127.0.0.1", "--port", str(port)]
    command += ["--passwords", ".", "--authenticate", "."]
    with _served([*command, str(folder)], f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def image_registry(folder: Path, port: int, enter: Sequence[str] = ()) -> Iterator[None]:
    """A registry at ``localhost:PORT`` that keeps its images in ``folder``.

    ``enter`` begins its command, such as words that enter another network namespace.
    """
    folder.mkdir(exist_ok=True)
    settings = folder / "registry.yml"
    settings.write_text(_REGISTRY.format(folder=folder, port=port))
    with _served([*enter, "docker-registry", "serve", str(settings)], f"http://127.0.0.1:{port}/v2/", enter):
        yield


@contextlib.contextmanager
def _served(command: Sequence[str], address: str, enter: Sequence[str] = ()) -> Iterator[None]:
    """Run a server until it is no longer needed; begin when it answers."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            until = time.monotonic() + _START_SECONDS
            while subprocess.run([*enter, sys.executable, "-c", _ASK, address], check=False).returncode:
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(command)} does not start")
            yield
        finally:
            server.kill()
