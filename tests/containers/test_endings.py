"""How a container ended, from what the engine says of it."""

from __future__ import annotations

from typing import Any

import pytest

from lab.containers.endings import how_it_ended


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"ExitCode": 0}, None),
        ({"ExitCode": 3}, None),
        ({"ExitCode": 137}, "the worker was killed by signal 9 (Killed)"),
        ({"ExitCode": 137, "OOMKilled": True}, "killed: out of memory (OOM)"),
        ({"ExitCode": 0, "OOMKilled": True}, None),  # a process in it, and not the worker
        ({"ExitCode": 127, "Error": "no such file"}, "no such file"),
    ],
)
def test_the_reason_is_that_of_the_worker_and_not_of_what_it_started(state: dict[str, Any], reason: str | None) -> None:
    assert how_it_ended(state) == reason
    assert how_it_ended(state, "Ctrl-C") == "Ctrl-C"
