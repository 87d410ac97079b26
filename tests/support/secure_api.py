"""A fake engine behind TLS, with real certificates, and an engine behind a real sshd."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.fake_api import Engine, Handler

#: Passes standard input on to a unix socket, and what comes from there to standard output.
_RELAY = """
import socket, sys, os, threading
engine = socket.socket(socket.AF_UNIX); engine.connect(sys.argv[1])
def back():
    while piece := engine.recv(65536): os.write(1, piece)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while piece := os.read(0, 65536): engine.sendall(piece)
"""


def make_certificates(folder: Path, host: str = "127.0.0.1", *, days: int = 2, authority: Path | None = None) -> None:
    """An authority and a certificate that it has signed for this host: ``ca.pem``, ``cert.pem`` and ``key.pem``.

    The certificate is valid for so many days, or expired if the number is negative. ``authority`` is the folder of
    another certificate that the same authority has signed; ``None``: the authority is new.
    """
    folder.mkdir(parents=True)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if authority:
        for name in ("ca.pem", "ca-key.pem"):
            shutil.copy(authority / name, folder)
    else:
        openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=engine")
    (folder / "names").write_text(f"subjectAltName=IP:{host}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", str(days), "-extfile", "names")
    openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "cert.pem")


class TlsServer(socketserver.ThreadingTCPServer):
    """Serves one fake engine at a port, to clients with a certificate of the engine's own authority."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.engine = Engine()
        self.url = f"tcp://127.0.0.1:{self.server_address[1]}"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._context.load_verify_locations(folder / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with contextlib.suppress(OSError), self._context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, *_: object) -> None:
        """A client that hung up is not worth a traceback."""


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """A real sshd at a port, which lets one key in."""

    #: The port that it listens at.
    port: int
    #: The folder with its keys: ``host`` and ``user``, each with ``.pub``.
    folder: Path

    @property
    def known_host(self) -> str:
        """The line of ``known_hosts`` for it."""
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"


def no_sshd() -> str | None:
    """Why no sshd can be started here; ``None``: it can."""
    if not _program():
        return "sshd is not installed"
    return None if os.geteuid() == 0 else "an sshd with a command of its own takes root"


def _program() -> str | None:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def sshd(folder: Path, socket_path: str | None) -> Iterator[Sshd]:
    """Starts an sshd whose every command is a connection to this socket, or, without one, a command that fails."""
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "relay.py").write_text(_RELAY)
    relay = shlex.join([sys.executable, str(folder / "relay.py"), socket_path or ""])
    command = relay if socket_path else "sh -c 'echo docker: not found >&2; exit 127'"
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"ForceCommand {command}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd keeps a process without rights there
    words = [str(_program()), "-D", "-e", "-f", str(folder / "config")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        try:
            for line in server.stderr:
                if "listening" in line:
                    break
            yield Sshd(port=port, folder=folder)
        finally:
            server.terminate()
