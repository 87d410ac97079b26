"""Failures that pytest could not show by itself."""

from __future__ import annotations

import pytest

from tests.support.lines import with_lines


def test_what_is_raised_between_two_lines_is_shown() -> None:
    """As where the time of a test is up within a loop: the way back to the beginning of a loop may have no line."""

    def ends() -> None:
        pytest.fail("its time is up")

    eight_instructions_without_a_line = b"\xff"
    code = ends.__code__
    ends.__code__ = code.replace(co_linetable=eight_instructions_without_a_line * -(-len(code.co_code) // 16))
    with pytest.raises(pytest.fail.Exception) as raised:
        ends()
    assert raised.value.__traceback__
    inner = raised.value.__traceback__.tb_next
    assert inner is not None
    lineless: int | None = inner.tb_lineno
    assert lineless is None
    with_lines(raised.value)
    shown = str(pytest.ExceptionInfo.from_exception(raised.value).getrepr())
    assert "its time is up" in shown
    assert "test_lines.py:" in shown
