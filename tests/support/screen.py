"""A pseudo-terminal: what a program asks there is waited for, and answered."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

#: A text is waited for so many seconds.
_PATIENCE_SECONDS = 60


class Screen:
    """A program with a pseudo-terminal for standard input and error, and standard output apart."""

    def __init__(
        self, words: Sequence[str], folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._ours, terminal = pty.openpty()
        self.process = subprocess.Popen(
            words,
            stdin=terminal,
            stderr=terminal,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            cwd=folder,
            env=environment,
        )
        os.close(terminal)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        """Read what the terminal shows until this text comes, and forget it up to there."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while text not in self.seen:
            ready, _, _ = select.select([self._ours], [], [], max(until - time.monotonic(), 0))
            assert ready, f"{text!r} did not come; the terminal shows: {self.seen!r}"
            self.seen += os.read(self._ours, 4096).decode()
        self.seen = self.seen.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> tuple[int, str]:
        """The exit code and what went to standard output."""
        out, _ = self.process.communicate(timeout=120)
        return self.process.returncode, out

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._ours)
