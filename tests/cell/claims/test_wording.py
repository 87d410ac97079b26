"""How a long text is cut."""

from __future__ import annotations

import pytest

from lab.cell.claims.wording import shortened


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("short enough", 12, "short enough"),
        ("cannot pickle a weakref object", 20, "cannot pickle a…"),
        ("two words", 5, "two…"),
        ("onelongword", 5, "onel…"),
        ("error: onelongword", 15, "error: onelong…"),
        ("", 5, ""),
    ],
)
def test_a_long_text_is_cut_between_two_words(text: str, most: int, expected: str) -> None:
    assert shortened(text, most) == expected
    assert len(shortened(text, most)) <= most
