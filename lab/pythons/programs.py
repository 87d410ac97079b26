"""Programs that may be a Python, by their names: each is asked what it is, and how it failed where it does not say."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.model.build import Build
from lab.pythons import identity
from lab.pythons.identity import ARGUMENTS, Answer

#: What an interpreter is called.
NAME = re.compile(r"(?P<kind>python|pypy)((?P<major>\d)(\.(?P<minor>\d+))?(?P<threads>t?))?")

#: Longest wait for an interpreter's answer; one takes 10 to 100 ms.
_SECONDS = 10.0
#: What a shell, or a version manager's shim, ends with where the program is not there (POSIX sh, 2.8.2).
_NO_SUCH_PROGRAM = 127
_LONGEST_TOLD = 100


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A program that has the name of a Python, or is named as a Python, and does not answer as one."""

    #: The path of the program.
    path: str
    #: What was seen, in words that follow the path.
    reason: str
    #: Whether the program could be started.
    ran: bool = True

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"

    @property
    def builds(self) -> frozenset[Build]:
        """What its name, and that of the file which it leads to, say that it is; empty where they have no version."""
        called = [NAME.fullmatch(Path(path).name) for path in (self.path, os.path.realpath(self.path))]
        return frozenset(_by_name(one) for one in called if one and one["minor"])


def _by_name(name: re.Match[str]) -> Build:
    return Build(
        version=(int(name["major"]), int(name["minor"])),
        free_threaded=bool(name["threads"]),
        implementation="pypy" if name["kind"] == "pypy" else "cpython",
    )


def ask(path: str) -> Answer | Broken:
    """What a program says to :mod:`lab.cell.worker.question`, or how it failed to answer as a Python does.

    Whatever it is, it gets a few seconds, no input, and cannot break the lab.
    """
    try:
        with subprocess.Popen(
            [path, *ARGUMENTS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
                return Broken(path=path, reason=f"gave no answer within {_SECONDS:g} s")
    except (OSError, ValueError) as error:
        return Broken(path=path, reason=_not_started(path, error), ran=False)
    code = process.returncode
    return identity.read_answer(output) or Broken(path=path, reason=_ended(code, errors), ran=code != _NO_SUCH_PROGRAM)


def _not_started(path: str, error: OSError | ValueError) -> str:
    """Why it could not be started; see the errors of man 2 execve."""
    if Path(path).is_dir():
        return "is a folder"
    if isinstance(error, PermissionError):
        return "is not executable"
    if isinstance(error, FileNotFoundError):
        return "cannot be started: its loader, or the program that its first line names, is missing"
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return f"cannot be started: {error.strerror} (damaged, or made for another processor)"
    return f"cannot be started: {getattr(error, 'strerror', None) or error}"


def _ended(code: int, errors: bytes) -> str:
    """How a program ended that gave no answer, and its last words."""
    if code < 0:
        return f"was killed by signal {-code} ({_signal_name(-code)})"
    last = errors[-4096:].decode(errors="replace").strip().splitlines()[-1:]
    said = f" and said {last[0].strip()[:_LONGEST_TOLD]!r}" if last else ""
    return f"exited with {code}{said}" if code else f"did not answer as a Python does{said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
