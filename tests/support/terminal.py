"""The command line as a user meets it, run within the test's process: arguments in; exit code and printed text out."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import __main__, interrupts, system


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """What the command line sets for the whole process is not to outlive it here: a pool's workers that a later test
    forks would be terminated by an exception, which may get lost, and never end."""
    handlers = {number: signal.getsignal(number) for number in system.ENDING_SIGNALS}
    threshold = gc.get_threshold()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(interrupts, "_requested_at", None)
            patch.setattr(interrupts, "_guard", lambda: None)  # it would end the tests
            patch.setattr(__main__, "_leave", lambda: sys.exit(130))
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.set_threshold(*threshold)
        gc.unfreeze()  # what the command has left is to be collected, and not at once: the SDK forgets sockets


class Lab:
    """Runs ``lab``; its sessions are kept in a folder of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sessions: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.sessions = sessions

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``lab`` with these arguments. Returns (exit code, standard output, standard error)."""
        self._monkeypatch.setattr(sys, "argv", ["lab", *arguments])
        with as_before(), pytest.raises(SystemExit) as ended:
            __main__.run()
        printed = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert "Traceback" not in printed.err, printed.err
        return code, printed.out, printed.err

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """``lab run`` with these arguments."""
        return self("run", *arguments, "--output", str(self.sessions))
