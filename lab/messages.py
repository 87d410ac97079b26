"""What goes to the user: results to standard output, messages beside them. Light: every command loads it.

This module is the one door: nothing else in the lab writes to these two streams, so nothing gets past it raw.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Iterator

from lab.errors import OutputError

#: The width of what is no terminal, in characters.
_USUAL_COLUMNS = 80


def printable(text: str) -> str:
    """The text with a sign in the place of every character that cannot be shown: records and engines may say anything.

    A control character has a sign of its own (Unicode, Control Pictures), and every other character a general one.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _sign(letter) for letter in text)


def _sign(letter: str) -> str:
    code = ord(letter)
    if letter == "\xa0":
        return " "
    return chr(0x2400 + code) if code < 32 else "\u2421" if code == 127 else "\ufffd"


def tell(line: str, *, end: str = "\n", painted: bool = False) -> None:
    """A message to the user, beside the results. Where nobody reads it (any more) the measurement goes on."""
    try:
        sys.stderr.write((line if painted else _shown(line)) + end)
        sys.stderr.flush()
    except OSError:
        _drop(2)


def show(text: str = "", *, end: str = "\n", painted: bool = False) -> None:
    """Results for a reader, on standard output. Raises OutputError.

    ``painted`` text has colours of our own, so whoever painted it has made everything in it printable before.
    """
    with _standard_output():
        sys.stdout.write((text if painted else _shown(text)) + end)


def show_document(text: str) -> None:
    """A document, on standard output: in UTF-8, whatever the terminal has. Raises OutputError.

    Its format says how it writes a character that cannot be shown.
    """
    with _standard_output():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))


def columns() -> int:
    """How many characters a line of the terminal has: what COLUMNS says, else standard output's terminal, else 80."""
    # shutil tells the same, but it loads every library that compresses files.
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(1).columns or _USUAL_COLUMNS
    except (OSError, ValueError):  # no terminal, or a stream that is closed
        return _USUAL_COLUMNS


def ended(code: int, reason: str) -> int:
    """Say why the exit code of a command is not 0, as its last message. Returns the exit code."""
    if code:
        tell(f"exit code {code}: {reason}")
    return code


@contextlib.contextmanager
def kept(where: str) -> Iterator[None]:
    """Within the context, what cannot be printed ends with an error that says where the results are kept."""
    try:
        yield
    except OutputError as error:
        raise OutputError(error.what, where) from error


def prepare_streams() -> None:
    """Make the standard streams ready: one that is closed fails when it is used, and an odd character does not."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next file that is opened would get this number, and with it what is printed. Writing fails.
            os.open(os.devnull, os.O_RDONLY)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show “ still shows the tables


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        _drop(1)
        raise OutputError("standard output was closed before everything was printed") from error
    except OSError as error:
        _drop(1)
        raise OutputError(
            f"cannot write to standard output: {error.strerror}", "send the output to another place"
        ) from error


def _drop(number: int) -> None:
    """Send what goes to this stream to nowhere. Python would try it again at exit, and change the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _shown(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
