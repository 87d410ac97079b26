"""The look-up of a target, from what its cell said: cases, or why there is none and what to do."""

from __future__ import annotations

import pytest

from lab.cell.targets.calling import TargetError
from lab.cell.targets.look_up import found


@pytest.mark.parametrize(
    ("outcome", "reason", "step"),
    [
        ("timeout", "did not end within 60 s", "give it less to do in a call"),
        ("failed", "exited with status 7", "call it once in a program of your own"),
    ],
)
def test_a_target_that_ends_its_look_up_is_told_with_the_next_step(outcome: str, reason: str, step: str) -> None:
    with pytest.raises(TargetError, match=f"work.py:f cannot be measured: at its first calls it {reason}; {step}"):
        found("work.py:f", [{"outcome": outcome, "reason": reason}], "")


def test_what_is_wrong_is_told_with_the_package_that_is_missing() -> None:
    with pytest.raises(TargetError, match="no numpy") as caught:
        found("work.py:f", [{"name": "wrong", "value": ["no numpy", "numpy"]}], "")
    assert caught.value.missing == "numpy"
