"""The lab's nouns, where they say more than they hold."""

from __future__ import annotations

import pytest

from lab.model.cell import Outcome

#: Python 3.13 that may not read its own library.
FATAL = """Could not find platform independent libraries <prefix>
Fatal Python error: init_fs_encoding: failed to get the Python codec of the filesystem encoding
Python runtime state: core initialized
ModuleNotFoundError: No module named 'encodings'

Current thread 0x00007f2a4d5c6740 (most recent call first):
  <no Python frame>
"""


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        ("", ""),
        (" \n", ""),
        ("a\nboom\n", "boom"),
        (FATAL, FATAL.splitlines()[1]),
        ("Traceback\nValueError: first\nTraceback\nOSError: last\n[tini] gone\n", "OSError: last"),
    ],
    ids=["nothing", "blanks", "the last line", "a fatal error", "the last error"],
)
def test_the_last_words_of_a_cell_are_those_that_say_why(tail: str, words: str) -> None:
    assert Outcome(exit_code=1, stderr_tail=tail).last_words == words


def test_how_a_cell_ended_is_said_with_its_last_words() -> None:
    assert Outcome(exit_code=2).ending == "exit code 2"
    assert Outcome(exit_code=137, reason="it was killed", stderr_tail="a\nb").ending == "it was killed; it said 'b'"
