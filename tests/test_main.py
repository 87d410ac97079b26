"""The door: every end of the program has an exit code and a line, also one that nobody foresaw."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from lab.__main__ import run
from lab.commands import list_
from tests.support.terminal import Lab, as_before


def broken(_: object) -> int:
    raise ZeroDivisionError("a count\nof nothing")


def test_a_defect_is_one_line_that_asks_for_a_report_and_exit_code_3(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DEBUG", raising=False)
    monkeypatch.setattr(list_, "run", broken)
    code, out, err = lab("list")
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith("lab: this is a defect of the lab: ZeroDivisionError: a count of nothing. Please report it")
    assert "LAB_DEBUG=1" in line


@pytest.mark.parametrize("path", ["/shared/anna", b"/shared/anna"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP])
def test_a_path_that_the_system_refuses_is_no_defect(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int, path: str | bytes
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(list_, "run", refused)
    code, _, err = lab("list")
    reason = f"cannot use /shared/anna: {os.strerror(number)}; give yourself the right to it, or name another path"
    assert (code, err) == (3, f"lab: {reason}\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_defect(lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A write to an open file names no path."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(list_, "run", refused)
    code, _, err = lab("list")
    reason = f"cannot write: {os.strerror(number)}; make room, or name a folder on another disk"
    assert (code, err) == (3, f"lab: {reason}\n")


def test_the_traceback_of_a_defect_is_shown_to_whoever_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_DEBUG", "1")
    monkeypatch.setattr(list_, "run", broken)
    monkeypatch.setattr(sys, "argv", ["lab", "list"])
    with as_before(), pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Traceback (most recent call last):")
    assert "ZeroDivisionError: a count" in err


def test_a_request_within_a_callback_of_python_is_kept_and_prints_no_traceback() -> None:
    code = """
import os, signal, weakref
from lab import interrupts
class Thing: pass
interrupts.listen_to_signals()
thing = Thing()
reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
del thing
print(interrupts.requested())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
