"""A guard that removes what a session has on its engine where the lab itself cannot any more, as after ``kill -9``.

The guard is a shell that waits for a line from the lab. If the pipe between them closes without one, whatever has ended
the lab, the shell runs ``lab clean`` for that session. Windows has no such shell, and there is no guard.
"""

from __future__ import annotations

import contextlib
import subprocess

from lab import system

_SCRIPT = 'read -r line || exec "$@"'


class Guard:
    """Watches over a session's containers on one engine, from its creation to :meth:`release`."""

    def __init__(self, session: str, host: str) -> None:
        """``host`` is what ``--host`` names; empty: the engine is that of the environment."""
        clean, environment = system.this_lab("clean", "--session", session, *(("--host", host) if host else ()))
        self._process: subprocess.Popen[bytes] | None = None
        if system.IS_UNIX:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "multicore-lab-guard", *clean],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                **system.APART,  # what ends the lab must not reach the guard
            )

    def release(self) -> None:
        """End the guard: the lab has removed everything itself, or has said what is left."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.communicate(b"\n")
