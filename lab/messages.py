"""Messages to the user, beside the results. Light: every command loads it."""

from __future__ import annotations

import os
import sys


def printable(text: str, instead: str = "") -> str:
    """The text with a sign in the place of every character that cannot be shown: records and engines may say anything.

    The sign is ``instead``. Without it, a control character has a sign of its own (Unicode, Control Pictures), and
    every other character has a general one.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else instead or _sign(letter) for letter in text)


def _sign(letter: str) -> str:
    code = ord(letter)
    if letter == "\xa0":
        return " "
    return chr(0x2400 + code) if code < 32 else "\u2421" if code == 127 else "\ufffd"


def tell(line: str) -> None:
    """A message to the user, beside the results. Where nobody reads it (any more) the measurement goes on."""
    try:
        print("\n".join(map(printable, line.split("\n"))), file=sys.stderr, flush=True)  # noqa: T201 - messages are what this module is for
    except OSError:
        # What could not be written would be tried again at exit, and fail the whole run.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
