"""A worker in another environment: another interpreter, or the same one with another project folder.

It is started as a program of its own, and speaks through a descriptor that it inherits. It keeps the crew's timetable
as every worker does, so two environments take turns in the same rounds, on the same CPUs.

Another image has a container of its own beside the cell's, with the same limit and in the cell's network, where nobody
else is. A host of agents runs there. It connects to an abstract socket (man 7 unix), which is known to one network
only, starts an agent for each connection that is taken up, and connects again.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, Mapping

from lab.cell.measuring.processes import serve

#: What the interpreter of the agent runs. Its arguments are the cell's code, the descriptor, the case, and how many
#: workers there are.
_SOURCE = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from lab.cell.targets.agent import main; main(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
)


#: Where a cell waits for the agents of another image.
_ADDRESS = "\0multicore-lab-agents"
#: How long it waits for one, in seconds: another image has to be unpacked and started.
_WAIT_SECONDS = 60.0
#: How often a host of agents tries to connect, in seconds.
_PAUSE_SECONDS = 0.05
#: The length of what a connection begins with.
_LENGTH = struct.Struct("!I")


class Agent:
    """An agent, seen from the process that started it. It has what a crew wants of a process."""

    def __init__(self, python: str, stored: Mapping[str, Any], workers: int) -> None:
        own, theirs = socket.socketpair()
        with theirs:
            self._process = _started(python, theirs, json.dumps(dict(stored)), workers)
        self.pipe = Connection(own.detach())

    @property
    def exitcode(self) -> int | None:
        """As that of a process of multiprocessing."""
        return self._process.poll()

    def terminate(self) -> None:
        """End it."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def join(self, seconds: float | None = None) -> None:
        """Wait for its end, at most for so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


class GuestAgent:
    """An agent in the container of another image, seen from the cell. It has what a crew wants of a process."""

    #: How it ended: nobody here knows.
    exitcode = None

    def __init__(self, listener: socket.socket, stored: Mapping[str, Any], workers: int) -> None:
        connection, _ = listener.accept()
        text = json.dumps([dict(stored), workers]).encode()
        connection.settimeout(None)
        connection.sendall(_LENGTH.pack(len(text)) + text)
        self.pipe = Connection(connection.detach())

    def terminate(self) -> None:
        """Do nothing: it ends when its pipe is closed."""

    def kill(self) -> None:
        """Do nothing: the container ends with the cell."""

    def join(self, seconds: float | None = None) -> None:
        """Do nothing: nobody here can wait for it."""


def listener() -> socket.socket:
    """The socket at which a cell waits for the agents of another image."""
    waiting = socket.socket(socket.AF_UNIX)
    waiting.bind(_ADDRESS)
    waiting.listen()
    waiting.settimeout(_WAIT_SECONDS)
    return waiting


def host() -> None:
    """Start agents for the cell of this network, until somebody ends this process."""
    agents: list[subprocess.Popen[bytes]] = []
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(_ADDRESS)
            (size,) = _LENGTH.unpack(connection.recv(_LENGTH.size, socket.MSG_WAITALL))
            stored, workers = json.loads(connection.recv(size, socket.MSG_WAITALL))
            agents.append(_started(sys.executable, connection, json.dumps(stored), workers))
        except (OSError, struct.error, ValueError):  # the cell does not listen yet, or no longer
            time.sleep(_PAUSE_SECONDS)
        connection.close()
        agents = [agent for agent in agents if agent.poll() is None]


def _started(python: str, connection: socket.socket, case: str, workers: int) -> subprocess.Popen[bytes]:
    """An agent as a program, which speaks through this socket."""
    # -I and -S as for every worker: the agent enters the user's environment itself.
    words = [code_path(), str(connection.fileno()), case, str(workers)]
    command = [python, "-B", "-I", "-S", "-c", _SOURCE, *words]
    return subprocess.Popen(command, pass_fds=[connection.fileno()], stdin=subprocess.DEVNULL)


def code_path() -> str:
    """The zip file or the folder that the lab's own code was imported from."""
    path = os.path.abspath(__file__)
    for _ in range(4):  # lab/cell/targets/agent.py
        path = os.path.dirname(path)
    return path


def main(descriptor: int, text: str, workers: int) -> None:
    """The life of an agent that is one of so many workers."""
    from lab.cell.targets.worker import begin

    sys.argv[:] = ["agent"]
    serve(Connection(descriptor), begin, (None, json.loads(text), workers))
