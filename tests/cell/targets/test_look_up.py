"""The look-up of a target, from what its cell said: cases, or why there is none and what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cell.targets.case import FILE, Case
from lab.cell.targets.importing import TargetError
from lab.cell.targets.look_up import _observe_each, found

CALLED = {"name": "called", "value": "work.py:f"}
FUNCTION = Case(label="work.py:f", source=FILE, where="work.py", name="f")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            [CALLED, {"outcome": "timeout", "reason": "did not end within 60 s"}],
            "at its first calls it did not end within 60 s; give it less to do in a call",
        ),
        (
            [CALLED, {"outcome": "failed", "reason": "exited with status 7"}],
            "at its first calls it exited with status 7; call it once in a program of your own",
        ),
        (
            [{"outcome": "failed", "reason": "exited with status 7"}],
            "while it was imported it exited with status 7; put what it does as a program below if",
        ),
        ([CALLED], "when it was imported or called, its cell ended: the worker was killed; call it once"),
    ],
)
def test_a_target_that_ends_its_look_up_is_told_with_the_next_step(said: list[Mapping[str, Any]], message: str) -> None:
    with pytest.raises(TargetError, match=f"work.py:f cannot be measured: {message}"):
        found(FUNCTION, lambda passed: (said, "the worker was killed"))


def test_the_look_up_of_a_file_goes_on_behind_each_function_that_ends_it() -> None:
    cases = [FUNCTION._replace(label=f"work.py:{name}", name=name) for name in "abcd"]

    def ask(passed: int) -> tuple[list[Mapping[str, Any]], str]:
        said: list[Mapping[str, Any]] = []
        for case in cases[passed:]:
            said.append({"name": "called", "value": case.label})
            if case.name in "bd":
                return [*said, {"outcome": "failed", "reason": "was killed"}], ""
            said.append({"name": "case", "value": case.to_stored()})
        return [*said, {"outcome": "ok", "reason": None}], ""

    seen = found(FUNCTION._replace(label="work.py", name=""), ask)
    assert [case.name for case in seen.cases] == ["a", "c"]
    assert [label for label, _ in seen.left_out] == ["work.py:b", "work.py:d"]
    del cases[0], cases[1]
    with pytest.raises(TargetError, match=r"work\.py:b cannot be measured: at its first calls it was killed"):
        found(FUNCTION._replace(label="work.py", name=""), ask)


def test_what_is_wrong_is_told_with_the_package_that_is_missing() -> None:
    with pytest.raises(TargetError, match="no numpy") as caught:
        found(FUNCTION, lambda passed: ([{"name": "wrong", "value": ["no numpy", "numpy"]}], ""))
    assert caught.value.missing == "numpy"


@pytest.mark.parametrize("name", ["f", ""], ids=["function", "file"])
def test_a_look_up_hands_on_what_it_has_no_time_for_and_a_case_is_blamed_only_alone(name: str) -> None:
    """Twenty values of a parameter shared the 60 s of one look-up, and the value whose turn it was then was blamed."""
    target = FUNCTION._replace(name=name)
    cases = [FUNCTION._replace(label=f"work.py:f, n={number}") for number in range(6)]
    begun: list[list[str]] = []

    def ask(passed: int) -> tuple[list[Mapping[str, Any]], str]:
        said: list[Mapping[str, Any]] = []
        recorder: Any = SimpleNamespace(observe=lambda name, value: said.append({"name": name, "value": value}))

        until = {0: time.monotonic() + 0.01, 1: float("inf")}.get(passed, 0.0)

        def check(case: Case) -> None:
            if case is cases[1] and passed == 0:
                while time.monotonic() <= until:
                    pass
                raise TargetError("the other environment was not called in time")

        _observe_each(recorder, cases, passed, target.is_file, until, lambda case: case, check)
        called = [data["value"] for data in said if data["name"] == "called"]
        begun.append(called)
        if passed == 1:  # the third of these takes too long after the others
            del said[5:]
            return [*said, {"outcome": "timeout", "reason": "did not end within 60 s"}], ""
        return [*said, {"outcome": "ok", "reason": None}], ""

    assert found(target, ask).cases == cases
    assert [labels[0][-1] for labels in begun] == ["0", "1", "3", "4", "5"]
