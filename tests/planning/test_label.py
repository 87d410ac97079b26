"""The name that a participant gives a session."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.planning.label import parse_label


@pytest.mark.parametrize(("text", "label"), [("anna", "anna"), (" Ünal Ö. \n", "Ünal Ö."), ("", "")])
def test_a_label_is_taken_as_it_is(text: str, label: str) -> None:
    assert parse_label(text) == label


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31m", "a" * 41])
def test_what_does_not_fit_into_a_table_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--label"):
        parse_label(text)
