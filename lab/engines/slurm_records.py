"""The records of a step: from its output stream and, where the stream breaks, from a file on the node.

The stream goes through two programs, ``slurmstepd`` and ``srun``, and a network. Any of them may end or stop, while the
cell measures on. So the worker writes the same bytes into a file on its node first. Where nothing has come for some
time, another step looks there: whether a process of the cell lives, and what the file has beyond the bytes that came.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from typing import IO

from lab.cell.worker.job import MARK
from lab.engines import Sink
from lab.engines.slurm_allocation import OpenAllocation
from lab.engines.slurm_guard import REMOVE_REST, TEMPORARY
from lab.engines.temporary import temporary_file
from lab.errors import CellError
from lab.pythons.listening import Patience

#: Says whether a process with the variable ``$2`` lives, and then prints the file ``$1`` from its byte ``$3`` on,
#: counted from 1. With ``$4`` it kills these processes first, and removes what they leave.
_LOOK = f"""\
{TEMPORARY}
living=$(grep -slxz "$2" /proc/[0-9]*/environ)
if [ "$4" ]; then
    for path in $living; do path=${{path%/environ}}; kill -KILL "${{path#/proc/}}"; done
    mark=${{2#*=}}; {REMOVE_REST}
fi
if [ "$living" ]; then echo living; else echo gone; fi
tail -c "+$3" "$folder/$1" 2>/dev/null || true
"""

#: How long nothing has to come before it is looked for, in seconds. The time doubles while a look finds nothing.
_SILENT_SECONDS, _MOST_SILENT_SECONDS = 10.0, 320.0
#: How often it is looked for once the stream has broken, in seconds.
_BROKEN_SECONDS = 1.0
#: How long a look may take, in seconds.
_LOOK_SECONDS = 15.0
_POLL_SECONDS = 0.1


class StepRecords:
    """The records of one step, each byte once, whether it came from the stream or from the file."""

    def __init__(self, allocation: OpenAllocation, cell: str, mark: str, sink: Sink) -> None:
        self._allocation, self._cell, self._mark, self._sink = allocation, cell, mark, sink
        self._patience = Patience(0.0)
        self._streamed = 0  # how many bytes came on the stream
        self._passed_on = 0  # how many bytes the sink has
        self._line = b""  # what came of the last line
        self._look: _Look | None = None
        self._pause = _SILENT_SECONDS  # how long it is waited for the stream, or after the last look
        self._quiet_since = time.monotonic()
        self._is_broken = False  # whether some records came from the file alone
        self._is_closed = False  # whether the stream has closed
        self._missed = 0  # how many looks in a row have found no process of the cell
        self._is_deaf = False  # whether the last look did not answer
        #: Whether the end record has come.
        self.have_ended = False

    @property
    def file(self) -> str:
        """The name of the file on the node."""
        return self._allocation.file_of(self._mark)

    @property
    def have_come(self) -> bool:
        """Whether any record has come."""
        return self._passed_on > 0

    @property
    def are_all_there(self) -> bool:
        """Whether no other record will come."""
        return self.have_ended or self._is_gone

    @property
    def _is_gone(self) -> bool:
        """Whether no process of the cell lives any more, and what it has sent has come."""
        return self._missed >= 1 if self._is_closed else self._missed >= 2 and self.have_come

    @property
    def lost(self) -> str | None:
        """Why the end record has not come, where the stream alone does not tell; else ``None``."""
        if self._is_gone:
            return f"its processes on the node {self._allocation.node} have vanished"
        if self._is_deaf:
            return f"the node {self._allocation.node} does not answer any more; see scontrol show node"
        return None

    def begin(self, patience: Patience) -> Patience:
        """Start to listen, with this patience, which is returned."""
        self._patience = patience
        self._quiet_since = time.monotonic()
        return patience

    def hear(self, piece: bytes) -> None:
        """Take the next piece of the stream, or ``b""`` where nothing came.

        Raises CellError where the allocation has ended, and what the sink raises.
        """
        if piece:
            start, self._streamed = self._streamed, self._streamed + len(piece)
            self._take(start, piece)
        else:
            self._sink(b"")
            self._look_if_quiet()

    def follow(self) -> str | None:
        """Read the file as it grows, after the stream has closed: to the end record, or until no process lives.

        Returns why the patience ended, or ``None``. Raises as :meth:`hear` does.
        """
        self.close()  # what was true before the stream closed may not be true any more
        self._is_closed, self._pause, self._missed = True, 0.0, 0
        while not self.are_all_there:
            if self._patience.left <= 0:
                return self._patience.why
            self.hear(b"")
            time.sleep(_POLL_SECONDS)
        return None

    def collect(self) -> None:
        """Kill every process of the cell on the node, and take what the file has beyond what came.

        Raises what the sink raises.
        """
        self.close()
        if self._is_gone or self._is_deaf:
            return
        look = self._start_look("kill")
        until = time.monotonic() + _LOOK_SECONDS
        while not look.has_ended and time.monotonic() < until:
            time.sleep(_POLL_SECONDS / 4)
        with contextlib.suppress(CellError):  # the allocation has ended
            self._finish(look)

    def close(self) -> None:
        """End a look that has not ended."""
        look, self._look = self._look, None
        if look:
            look.close()

    def _take(self, start: int, piece: bytes) -> bool:
        """Pass on what is new in a piece that begins at this byte. Returns whether anything is."""
        fresh = piece[self._passed_on - start :]
        if not fresh:
            return False
        self._passed_on += len(fresh)
        self._missed = 0
        self._quiet_since = time.monotonic()
        *lines, self._line = (self._line + fresh).split(b"\n")
        self.have_ended = self.have_ended or any(map(_is_end, lines))
        self._sink(fresh)
        return True

    def _look_if_quiet(self) -> None:
        now = time.monotonic()
        if self._look and (self._look.has_ended or now - self._look.began > _LOOK_SECONDS):
            look, self._look = self._look, None
            self._finish(look)
        elif not self._look and not self.have_ended and now - self._quiet_since >= self._pause:
            self._look = self._start_look()
        # The step of a stream that has broken does not end by itself.
        if self._is_gone or (self.have_ended and (self._is_broken or now - self._quiet_since >= _SILENT_SECONDS)):
            self._patience.finish()

    def _start_look(self, act: str = "") -> _Look:
        words = (self.file, f"{MARK}={self._mark}", str(self._passed_on + 1), act)
        return _Look(self._allocation, self._passed_on, words)

    def _finish(self, look: _Look) -> None:
        """Take what a look has found, and decide when to look again.

        Raises CellError where the allocation has ended.
        """
        answer, _, content = look.close().partition(b"\n")
        self._is_deaf = answer not in (b"living", b"gone")
        if self._is_deaf:
            self._allocation.check()
        missed = self._missed + 1 if answer == b"gone" else 0
        self._quiet_since = time.monotonic()
        if self._take(look.start, content):
            self._patience.heard(len(content))
            if not self._is_broken:
                self._is_broken = True
                self._allocation.note(f"{self._cell}: its stream broke; its records come from a file on the node")
        self._missed = missed
        is_slow = not (self._is_broken or self._is_closed)
        self._pause = min(2 * self._pause, _MOST_SILENT_SECONDS) if is_slow else _BROKEN_SECONDS


def _is_end(line: bytes) -> bool:
    """Whether a line is an end record."""
    if b'"kind":"end"' not in line:
        return False
    with contextlib.suppress(ValueError, AttributeError):
        return bool(json.loads(line).get("kind") == "end")
    return False


class _Look:
    """A step that looks at the file, while the lab does other things."""

    def __init__(self, allocation: OpenAllocation, start: int, words: tuple[str, ...]) -> None:
        #: The byte that its content begins at, from 0.
        self.start = start
        #: When it was started, on the clock of :func:`time.monotonic`, in seconds.
        self.began = time.monotonic()
        self._output: IO[bytes] | None = None
        self._step: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(CellError):  # it cannot be started: it answers nothing
            self._output = temporary_file()
            self._step = allocation.start_look(("/bin/sh", "-c", _LOOK, "sh", *words), self._output)

    @property
    def has_ended(self) -> bool:
        """Whether its answer is there."""
        return self._step is None or self._step.poll() is not None

    def close(self) -> bytes:
        """End it. Returns what it has answered; nothing where it has failed or has not ended."""
        with self._output or contextlib.nullcontext() as output:
            if self._step is None or output is None:
                return b""
            if self._step.poll() is None:
                self._step.kill()
            if self._step.wait() != 0:
                return b""
            output.seek(0)
            return output.read()
