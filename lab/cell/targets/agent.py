"""A worker in another environment: another interpreter, or the same one with another project folder.

It is started as a program of its own, and speaks through a descriptor that it inherits. It keeps the crew's timetable
as every worker does, so two environments take turns in the same rounds, on the same CPUs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any, Mapping

from lab.cell.measuring.processes import serve

#: What the interpreter of the agent runs. Its arguments are the cell's code, the descriptor, the case, and how many
#: workers there are.
_SOURCE = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from lab.cell.targets.agent import main; main(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
)


class Agent:
    """An agent, seen from the process that started it. It has what a crew wants of a process."""

    def __init__(self, python: str, stored: Mapping[str, Any], workers: int) -> None:
        own, theirs = socket.socketpair()
        with theirs:
            # -I and -S as for every worker: the agent enters the user's environment itself.
            words = [code_path(), str(theirs.fileno()), json.dumps(dict(stored)), str(workers)]
            command = [python, "-I", "-S", "-c", _SOURCE, *words]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
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
