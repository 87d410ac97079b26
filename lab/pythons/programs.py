"""Programs that have the name of a Python: each is asked which Python it is, and may fail to answer."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import interrupts
from lab.cell.claims.wording import shortened
from lab.model.build import Build
from lab.pythons import identity
from lab.pythons.identity import ARGUMENTS, Answer
from lab.pythons.listening import MEBIBYTE, Patience, listen

#: The names of an interpreter. CPython's own build names a free-threaded one ``python3.14t``, and a debug build
#: ``python3.14d``; packages also use words, such as ``python3.13-nogil`` and ``python3.13-dbg``.
NAME = re.compile(
    r"(?P<kind>python|pypy)"
    r"((?P<major>\d)(\.(?P<minor>\d+)(\.\d+)?)?(?P<threads>t?)d?(?P<words>(-(nogil|freethread(ed|ing)|dbg|debug))*))?"
)

#: The words of a name that stand for a free-threaded build.
_FREE_THREADED = ("nogil", "freethread")

#: Longest wait for an interpreter's answer, in seconds. An answer usually takes 10 to 100 ms.
_SECONDS = 10.0
#: The most bytes that an answer may have. An answer usually has some hundred bytes.
_MOST_BYTES = MEBIBYTE
#: The exit code of a shell, or of a version manager's shim, if the program does not exist (POSIX sh, 2.8.2).
_NO_SUCH_PROGRAM = 127
#: How many characters of a program's last words a message quotes.
_MOST_QUOTED = 100


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A program that should be a Python, by its name or because the user named it, and that does not answer."""

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
        """The builds that its name and the name of the file behind it stand for. It is empty without a version."""
        matches = [NAME.fullmatch(Path(path).name) for path in (self.path, os.path.realpath(self.path))]
        return frozenset(_by_name(match) for match in matches if match and match["minor"])


def _by_name(name: re.Match[str]) -> Build:
    return Build(
        version=(int(name["major"]), int(name["minor"])),
        free_threaded=bool(name["threads"]) or any(word in name["words"] for word in _FREE_THREADED),
        implementation="pypy" if name["kind"] == "pypy" else "cpython",
    )


def ask(path: str) -> Answer | Broken:
    """The answer of a program to the question of :mod:`lab.pythons.identity`, or how it failed to answer.

    The program may be anything. It gets a few seconds and no input, and it cannot break the lab.
    """
    patience = Patience(_SECONDS, most=_MOST_BYTES)
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        interrupts.check()
        pieces.append(piece)

    try:
        with contextlib.ExitStack() as stack:
            with interrupts.signals_held():  # a signal finds either no program, or one that will be ended
                process = stack.enter_context(_started(path))
                stack.callback(_end, process)
            try:
                errors, trouble = listen(process, take, patience)
                process.wait(0 if trouble else _SECONDS)
            except subprocess.TimeoutExpired:  # it hangs, or goes on printing
                trouble = patience.why
    except (OSError, ValueError) as error:
        return Broken(path=path, reason=_not_started(path, error), ran=False)
    if trouble:
        printed = f"gave no answer and printed more than {_MOST_BYTES // MEBIBYTE} MiB"
        return Broken(path=path, reason=printed if patience.overfull else f"gave no answer within {_SECONDS:g} s")
    code = process.returncode
    return identity.read_answer(b"".join(pieces)) or Broken(
        path=path, reason=_ended(code, errors), ran=code != _NO_SUCH_PROGRAM
    )


def _started(path: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [path, *ARGUMENTS], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that has not ended, with its children."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def _not_started(path: str, error: OSError | ValueError) -> str:
    """Why a program could not be started; see the errors of man 2 execve."""
    if Path(path).is_dir():
        return "is a folder"
    if isinstance(error, PermissionError):
        return "is not executable"
    if isinstance(error, FileNotFoundError):
        return "cannot be started: its loader, or the program that its first line names, is missing"
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return f"cannot be started: {error.strerror} (damaged, or made for another processor)"
    return f"cannot be started: {getattr(error, 'strerror', None) or error}"


def _ended(code: int, errors: str) -> str:
    """How a program without an answer ended, and its last words."""
    if code < 0:
        return f"was killed by signal {-code} ({_signal_name(-code)})"
    lines = errors.strip().splitlines()
    quote = f" and said {shortened(lines[-1].strip(), _MOST_QUOTED)!r}" if lines else ""
    return f"exited with {code}{quote}" if code else f"did not answer as a Python does{quote}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
