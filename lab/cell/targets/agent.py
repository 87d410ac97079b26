"""A worker in another environment: another interpreter, or the same one with another project folder.

It is started as a program of its own, and speaks through a descriptor that it inherits. It keeps the crew's timetable
as every worker does, so two environments take turns in the same rounds, on the same CPUs. Before that, another agent
looks the functions up.

Another image has a container of its own beside the cell's, with the same limit and in the cell's network, where nobody
else is. A host of agents runs there. It connects to an abstract socket (man 7 unix), which is known to one network
only, starts an agent for each connection that is taken up, and connects again.
"""

from __future__ import annotations

import importlib
import json
import socket
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Sequence

from lab.cell.claims.recorder import in_words
from lab.cell.measuring.processes import serve
from lab.cell.targets.importing import TargetError, code_path

#: What the interpreter of the agent runs. Its arguments are the cell's code, the descriptor, and the task.
_SOURCE = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from lab.cell.targets.agent import main; main(int(sys.argv[2]), sys.argv[3])"
)


#: Where a cell waits for the agents of another image.
_ADDRESS = "\0multicore-lab-agents"
#: How long it waits for one, in seconds: another image has to be unpacked and started.
WAIT_SECONDS = 60.0
#: How often a host of agents tries to connect, in seconds.
_PAUSE_SECONDS = 0.05
#: The length of what a connection begins with.
_LENGTH = struct.Struct("!I")


class Task(NamedTuple):
    """What an agent does. It travels as JSON."""

    #: A module of this package, whose ``begin`` returns what answers the questions of the cell.
    module: str
    #: The arguments of ``begin``.
    arguments: Sequence[Any] = ()


class Agent:
    """An agent, seen from the process that started it. It has what a crew wants of a process.

    Raises TargetError where ``python`` cannot be started here.
    """

    def __init__(self, python: str, task: Task) -> None:
        own, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _started(python, theirs, json.dumps(task))
            except OSError as error:
                own.close()
                message = "the other environment cannot be started: %s" % in_words(error)
                raise TargetError(message, elsewhere=True) from error
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

    def __init__(self, listener: socket.socket, task: Task) -> None:
        connection, _ = listener.accept()
        text = json.dumps(task).encode()
        connection.settimeout(None)
        connection.sendall(_LENGTH.pack(len(text)) + text)
        self.pipe = Connection(connection.detach())

    def terminate(self) -> None:
        """Do nothing: it ends when its pipe is closed."""

    def kill(self) -> None:
        """Do nothing: the container ends with the cell."""

    def join(self, seconds: float | None = None) -> None:
        """Do nothing: nobody here can wait for it."""


def listener(seconds: float) -> socket.socket:
    """The socket at which a cell waits for the agents of another image, for so many seconds each."""
    waiting = socket.socket(socket.AF_UNIX)
    waiting.bind(_ADDRESS)
    waiting.listen()
    waiting.settimeout(seconds)
    return waiting


def host() -> None:
    """Start agents for the cell of this network, until somebody ends this process."""
    agents: list[subprocess.Popen[bytes]] = []
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(_ADDRESS)
            (size,) = _LENGTH.unpack(connection.recv(_LENGTH.size, socket.MSG_WAITALL))
            task = connection.recv(size, socket.MSG_WAITALL).decode()
            agents.append(_started(sys.executable, connection, task))
        except (OSError, struct.error, ValueError):  # the cell does not listen yet, or no longer
            time.sleep(_PAUSE_SECONDS)
        connection.close()
        agents = [agent for agent in agents if agent.poll() is None]


def _started(python: str, connection: socket.socket, task: str) -> subprocess.Popen[bytes]:
    """An agent as a program, which speaks through this socket."""
    # -I and -S as for every worker: the agent enters the user's environment itself.
    command = [python, "-B", "-I", "-S", "-c", _SOURCE, code_path(), str(connection.fileno()), task]
    return subprocess.Popen(command, pass_fds=[connection.fileno()], stdin=subprocess.DEVNULL)


def main(descriptor: int, text: str) -> None:
    """The life of an agent with a task."""
    sys.argv[:] = ["agent"]
    task = Task(*json.loads(text))
    serve(Connection(descriptor), importlib.import_module("lab.cell.targets." + task.module).begin, task.arguments)
