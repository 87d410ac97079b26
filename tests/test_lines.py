"""Failures that pytest could not show by itself."""

from __future__ import annotations

import traceback

import pytest

from tests.conftest import pytest_runtest_makereport


def test_what_is_raised_between_two_lines_is_shown() -> None:
    """As where the time of a test is up within a loop: the way back to the beginning of a loop may have no line."""

    def ends() -> None:
        pytest.fail("its time is up")

    eight_instructions_without_a_line = b"\xff"
    code = ends.__code__
    ends.__code__ = code.replace(co_linetable=eight_instructions_without_a_line * -(-len(code.co_code) // 16))
    call = pytest.CallInfo.from_call(ends, "call")
    assert call.excinfo
    assert call.excinfo.value.__traceback__
    lines: list[int | None] = [line for _, line in traceback.walk_tb(call.excinfo.value.__traceback__)]
    assert lines[-2] is None
    pytest_runtest_makereport(call)
    shown = str(call.excinfo.getrepr())
    assert "its time is up" in shown
    assert "test_lines.py:" in shown
