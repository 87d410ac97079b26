"""Messages: nothing that an engine or a record says reaches a terminal raw."""

from __future__ import annotations

import pytest

from lab import __main__
from lab.errors import LabError
from lab.messages import printable, tell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain “text” é", "plain “text” é"),
        ("\x1b[2J", "␛[2J"),
        ("a\x00b\x7f", "a␀b␡"),
        ("\u202egnp.exe", "\ufffdgnp.exe"),
        ("\x9b31m", "\ufffd31m"),
        ("\udcff", "\ufffd"),
    ],
)
def test_what_cannot_be_shown_has_a_sign(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert len(printable(text)) == len(text)


def test_a_message_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("first \x1b[31m\nsecond \u2066")
    assert capsys.readouterr().err == "first ␛[31m\nsecond \ufffd\n"


def test_an_error_is_one_line_without_controls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: object) -> int:
        raise LabError("the engine said \x1b]0;title\x07")

    monkeypatch.setattr("lab.cli.main", refused)
    with pytest.raises(SystemExit):
        __main__.run()
    assert capsys.readouterr().err == "lab: the engine said ␛]0;title␇\n"
