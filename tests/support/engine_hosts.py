"""Three real dockerd as three hosts: at a port, behind a real sshd, and behind TLS of their own.

All are reached through relays, which cut or slow their connections on request.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import pty
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lab.model.host import name_of
from tests.support import secure_api
from tests.support.daemons import Daemon

#: The port of the dockerd behind TLS, in a network of its own.
_TLS_PORT = 2376
#: From linux/sched.h, and from linux/sockios.h and linux/if.h.
_NEW_NETWORK, _GET_FLAGS, _SET_FLAGS, _UP = 0x40000000, 0x8913, 0x8914, 1


class Relay(socketserver.ThreadingTCPServer):
    """Passes connections on, all of which it can cut. Use as a context manager."""

    daemon_threads = True

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.connect = connect
        #: The sockets of all connections.
        self.sockets: list[socket.socket] = []
        #: Whether connections are cut, and new ones too.
        self.is_cut = False
        #: How many bytes of each connection pass in a second, each way; 0: all.
        self.bytes_a_second = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self.server_address[1])

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self.is_cut = True
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Pass new connections on."""
        self.is_cut = False

    def server_close(self) -> None:
        self.cut()
        self.shutdown()
        super().server_close()


class _Passing(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        if self.server.is_cut:
            return
        with contextlib.suppress(OSError), self.server.connect() as engine:
            self.server.sockets += [self.request, engine]
            back = threading.Thread(target=self._copy, args=(engine, self.request), daemon=True)
            back.start()
            self._copy(self.request, engine)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other side is gone, or the connection was cut
            while piece := source.recv(min(self.server.bytes_a_second or 65536, 65536)):
                target.sendall(piece)
                if self.server.bytes_a_second:
                    time.sleep(len(piece) / self.server.bytes_a_second)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def to_socket(path: Path) -> socket.socket:
    """A connection to this socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _in_network_of(process_id: int) -> socket.socket:
    """A connection to the port of TLS in the network of a process. Only this thread enters that network."""
    with Path(f"/proc/{process_id}/ns/net").open() as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
    with socket.socket() as any_socket:  # the loopback of a new network is down
        name, flags = b"lo".ljust(16, b"\0"), struct.calcsize("16sh")
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack("16sh22x", name, 0))
        now = struct.unpack("16sh", answer[:flags])[1]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", name, now | _UP))
    return socket.create_connection(("127.0.0.1", _TLS_PORT))


@dataclass(kw_only=True)
class EngineHost:
    """One of the hosts."""

    #: What ``--host`` names.
    name: str
    #: Its engine.
    daemon: Daemon
    #: What its connections pass through.
    relay: Relay

    def says(self, text: str) -> str:
        """A message of the lab about this host."""
        return f"{name_of(self.name)}: {text}"


@dataclass(kw_only=True)
class EngineHosts:
    """The hosts, and the environment of a program that can reach them."""

    #: The hosts: ``plain``, ``ssh`` and ``tls``.
    by_kind: dict[str, EngineHost]
    #: The variables that the program needs besides.
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """What ``--host`` names, in the order of the hosts."""
        return [host.name for host in self.by_kind.values()]

    @property
    def words(self) -> Sequence[str]:
        """The options that name all hosts."""
        return [word for name in self.names for word in ("--host", name)]

    def left(self) -> list[str]:
        """What carries the lab's label on any of the engines."""
        return [line for host in self.by_kind.values() for line in host.daemon.left()]


def impossible() -> str | None:
    """Why the hosts cannot be started here; ``None`` where they can."""
    from tests.support import daemons

    return daemons.impossible("docker") or secure_api.no_sshd() or (None if shutil.which("openssl") else "no openssl")


def _write_context(folder: Path, name: str, url: str, certificates: Path | None = None) -> None:
    """A context of the Docker client, as ``docker context create`` writes it."""
    number = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / number / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": url, "SkipTLSVerify": False}}}))
    if certificates:
        own = folder / "contexts" / "tls" / number / "docker"
        own.mkdir(parents=True)
        for part in ("ca", "cert", "key"):
            shutil.copy(certificates / f"{part}.pem", own)


@contextlib.contextmanager
def engine_hosts() -> Iterator[EngineHosts]:
    """Starts the three engines at the same time, with the base image, and everything that leads to them."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-hosts-")))
        secure_api.make_certificates(folder / "tls")
        listening = ["--host", f"tcp://0.0.0.0:{_TLS_PORT}", "--tlsverify"]
        listening += [f"--tls{name}={folder}/tls/{file}.pem" for name, file in (("cacert", "ca"), ("cert", "cert"))]
        daemons = [Daemon("docker"), Daemon("docker"), Daemon("docker", *listening, f"--tlskey={folder}/tls/key.pem")]
        with ThreadPoolExecutor() as pool:
            tasks = [pool.submit(daemon.__enter__) for daemon in daemons]
        for daemon, task in zip(daemons, tasks, strict=True):
            if not task.exception():
                stack.push(daemon.__exit__)
        plain, by_ssh, by_tls = (task.result() for task in tasks)

        sshd = stack.enter_context(secure_api.sshd(folder / "sshd", str(by_ssh.socket)))
        plain_relay = Relay(lambda: to_socket(plain.socket))
        ssh_relay = Relay(lambda: socket.create_connection(("127.0.0.1", sshd.port)))
        tls_relay = Relay(lambda: _in_network_of(by_tls.process_id))
        for relay in (plain_relay, ssh_relay, tls_relay):
            stack.callback(relay.server_close)
        home = folder / "home" / ".ssh"
        home.mkdir(parents=True)
        home.joinpath("known_hosts").write_text(sshd.known_host.replace(str(sshd.port), str(ssh_relay.port)))
        home.joinpath("id_ed25519").write_bytes((sshd.folder / "user").read_bytes())
        _write_context(folder / "docker", "plain", f"tcp://127.0.0.1:{plain_relay.port}")
        _write_context(folder / "docker", "secure", f"tcp://127.0.0.1:{tls_relay.port}", folder / "tls")
        yield EngineHosts(
            by_kind={
                "plain": EngineHost(name="plain", daemon=plain, relay=plain_relay),
                "ssh": EngineHost(name=f"ssh://root@127.0.0.1:{ssh_relay.port}", daemon=by_ssh, relay=ssh_relay),
                "tls": EngineHost(name="secure", daemon=by_tls, relay=tls_relay),
            },
            environment={"HOME": str(home.parent), "DOCKER_CONFIG": str(folder / "docker"), "SSH_AUTH_SOCK": ""},
        )


#: Starts a program whose controlling terminal is the one that the first argument names, which a session without a
#: terminal gets by opening it.
_IN_TERMINAL = 'terminal=$1; shift; exec "$@" <"$terminal" >"$terminal" 2>&1'


class HostsRun:
    """``lab`` in a process of its own, whose messages are read as they come. Use as a context manager."""

    def __init__(self, hosts: EngineHosts, *words: str, in_terminal: bool = False) -> None:
        self.lines: list[str] = []
        environment = {**os.environ, **hosts.environment}
        command = [sys.executable, "-m", "lab", *words]
        if in_terminal:
            end, terminal = pty.openpty()
            within = ["sh", "-c", _IN_TERMINAL, "sh", os.ttyname(terminal), *command]
            self.process = subprocess.Popen(
                within,
                text=True,
                start_new_session=True,
                env=environment,
                pass_fds=(terminal,),  # reading fails while nobody has the terminal open
            )
            os.close(terminal)
            self.messages: IO[str] = os.fdopen(end, encoding="utf-8")
        else:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )
            assert self.process.stderr
            self.messages = self.process.stderr

    def __enter__(self) -> HostsRun:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.end()

    @property
    def parts(self) -> dict[str, int]:
        """The hosts, each with the id of the process of the lab that measures there."""
        parts = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                words = (folder / "cmdline").read_text().split("\0")
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if parent == str(self.process.pid) and "--host" in words:
                    parts[words[words.index("--host") + 1]] = int(folder.name)
        return parts

    def act(self, acts: Mapping[str, Callable[[], object]]) -> None:
        """Read on until each of these texts has been said, and then act at once.

        Raises AssertionError at the end of what is said.
        """
        missing = dict(acts)
        with contextlib.suppress(OSError):  # a terminal whose program has ended
            for line in self.messages:
                self.lines.append(line)
                for text in [text for text in missing if text in line]:
                    missing.pop(text)()
                if not missing:
                    return
        raise AssertionError("".join(self.lines))

    def close_terminal(self) -> None:
        """Close the terminal that it runs in."""
        self.messages.close()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end. Returns the exit code and both outputs, the first of which a terminal does not keep."""
        out, err = self.process.communicate()
        return self.process.returncode, out or "", "".join(self.lines) + (err or "")
