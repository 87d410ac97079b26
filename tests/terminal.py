"""The command line as a user meets it, run within the test's process: arguments in; exit code and printed text out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab import __main__


class Lab:
    """Runs ``lab``; its sessions are kept in a folder of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sessions: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.sessions = sessions

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``lab`` with these arguments. Returns (exit code, standard output, standard error)."""
        self._monkeypatch.setattr(sys, "argv", ["lab", *arguments])
        with pytest.raises(SystemExit) as ended:
            __main__.run()
        printed = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """``lab run`` with these arguments."""
        return self("run", *arguments, "--output", str(self.sessions))
